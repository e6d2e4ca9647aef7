"""Classifier chains beyond parity: every option, constant labels, missing modalities, saving."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.multioutput import ClassifierChain
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from harness.data.batch import Batch
from harness.engine.checkpoint import load_tensors, restore, save_tensors, snapshot
from harness.errors import ConfigError
from harness.specs import TaskInfo
from harness_baselines import cc_links
from harness_baselines.cc import ClassifierChains, ClassifierChainsConfig
from tests.helpers import LABELS, MODALITIES, TrainData, make_batch


def build(kind: str = "multilabel", aligned: bool = True, **config: Any) -> ClassifierChains:
    task = TaskInfo("made", MODALITIES, LABELS, label_kind=kind, aligned=aligned)  # type: ignore[arg-type]
    return ClassifierChains(ClassifierChainsConfig(**config), task)


def fitted(seed: int = 0, data: TrainData | None = None, **config: Any) -> ClassifierChains:
    model = build(**config)
    ctx = SimpleNamespace(generator=torch.Generator().manual_seed(seed))
    model.fit(data or TrainData(), ctx)  # type: ignore[arg-type]
    return model.eval()


OPTIONS: list[dict[str, Any]] = [
    {},
    {"base": "gaussian_nb"},
    {"base": "linear_svm"},
    {"base": "rbf_svm", "chain_method": "soft"},
    {"base": "rbf_svm", "ensemble": 3},
    {"order": "random", "cv": 3},
    {"order": "explicit", "explicit_order": (3, 1, 0, 2)},
    {"pooling": "mean_std", "missing_indicator": True},
    {"pooling": "flatten"},
]


@pytest.mark.parametrize("config", OPTIONS, ids=str)
def test_scores_survive_saving_and_do_not_depend_on_the_batch(
    config: dict[str, Any], tmp_path: Path
) -> None:
    model, batch = fitted(**config), make_batch(32, seed=5)
    scores = model.predict_step(batch)
    assert scores.shape == (32, 4) and scores.dtype == torch.float32
    assert scores.min() >= 0 and scores.max() <= 1
    assert scores.std(dim=0).min() > 0
    save_tensors(tmp_path / "fitted.safetensors", snapshot(model))
    other = build(**config)
    restore(other, load_tensors(tmp_path / "fitted.safetensors"))
    assert torch.equal(other.eval().predict_step(batch), scores)
    halves = [
        model.predict_step(make_batch(32, seed=5, rows=r)) for r in (slice(16), slice(16, 32))
    ]
    torch.testing.assert_close(torch.cat(halves), scores, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("base", "machine"),
    [
        ("rbf_svm", SVC(kernel="rbf", gamma="scale")),
        ("linear_svm", SVC(kernel="linear")),
    ],
)
def test_svm_chains_decide_as_scikit_learn(base: Any, machine: SVC) -> None:
    model, data = fitted(base=base), TrainData()
    rows = torch.cat([model.pool(b) for b in data.batches(1000)]).numpy()
    scaler = StandardScaler().fit(rows)
    chain = ClassifierChain(machine).fit(scaler.transform(rows), data.labels.numpy())
    batch = make_batch(64, seed=9)
    expected = chain.predict(scaler.transform(model.pool(batch).numpy()))
    assert np.array_equal(model.predict_step(batch).numpy() > 0.5, expected == 1)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("base", ["logistic", "gaussian_nb", "rbf_svm"])
def test_label_with_one_class_gives_its_probability_and_the_chain_goes_on(
    base: Any, value: float
) -> None:
    data = TrainData()
    data.labels[:, 1] = value
    model = fitted(base=base, data=data)
    scores = model.predict_step(make_batch(16, seed=2))
    assert torch.equal(scores[:, 1], torch.full((16,), value))
    assert scores[:, 2].std() > 0
    assert model.describe()["constant_labels"] == [LABELS[1]]


def test_infinite_and_masked_frames_count_as_nothing() -> None:
    model, batch = build(), make_batch(6, seed=1)
    clean = model.pool(batch)
    batch.features["text"][~batch.mask["text"]] = 1e6
    assert torch.equal(model.pool(batch), clean)
    batch.features["audio"][0, 0, 0] = -torch.inf
    zeroed = make_batch(6, seed=1)
    zeroed.features["audio"][0, 0, 0] = 0.0
    assert torch.equal(model.pool(batch), model.pool(zeroed))


def test_missing_modality_gives_zeros_and_is_flagged() -> None:
    model, batch = build(missing_indicator=True), make_batch(6, seed=1)
    batch.mask["text"][2] = False
    batch.present[2, 0] = False
    pooled = model.pool(batch)
    assert torch.equal(pooled[2, : MODALITIES[0].dim], torch.zeros(MODALITIES[0].dim).double())
    assert pooled[:, -2:].tolist() == [[0, 0], [0, 0], [1, 0], [0, 0], [0, 0], [0, 0]]


def test_frequency_order_is_descending_and_recorded() -> None:
    model, data = fitted(order="frequency"), TrainData()
    counts = data.labels.sum(0)[model.order[0]]
    assert (counts.diff() <= 0).all()
    assert model.describe()["orders"] == [[LABELS[i] for i in model.order[0].tolist()]]


def test_random_orders_follow_the_seed() -> None:
    first, same, other = (fitted(s, ensemble=4).order for s in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert first.sort(dim=1).values.tolist() == [[0, 1, 2, 3]] * 4


def test_cv_feeds_out_of_fold_outputs_instead_of_the_truth() -> None:
    truth, held_out = fitted(), fitted(cv=4)
    first, same = (m.get_buffer("weight_x")[0, 0] for m in (truth, held_out))
    torch.testing.assert_close(first, same, rtol=0, atol=1e-5)
    assert not torch.allclose(truth.get_buffer("weight_y"), held_out.get_buffer("weight_y"))


def test_single_label_scores_sum_to_one() -> None:
    data = TrainData()
    data.labels = torch.nn.functional.one_hot(data.labels.argmax(1), 4).float()
    scores = fitted(kind="singlelabel", data=data).predict_step(make_batch(16, seed=2))
    torch.testing.assert_close(scores.sum(1), torch.ones(16))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"order": "explicit", "explicit_order": (0, 0, 1, 2)}, "explicit_order"),
        ({"pooling": "flatten", "aligned": False}, "flatten"),
        ({"cv": 1}, "cv"),
    ],
)
def test_impossible_settings_are_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build(**config)


def test_svm_without_scikit_learn_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(cc_links.importlib, "import_module", absent)
    with pytest.raises(ConfigError, match=r"emotion-harness\[cc\]"):
        fitted(base="rbf_svm")


def test_views_of_single_vectors() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 9)).astype(np.float32)
    y = (x[:, :4] + 0.3 * rng.normal(size=(240, 4)) > 0).astype(np.float32)
    model = build()

    def vectors(rows: slice) -> Batch:
        return make_batch(len(x[rows]), vectors=torch.from_numpy(x[rows]))

    class Songs:
        labels: Tensor = torch.from_numpy(y[:160])

        def batches(self, batch_size: int) -> Iterator[Batch]:
            for start in range(0, 160, batch_size):
                yield vectors(slice(start, min(160, start + batch_size)))

        def __len__(self) -> int:
            return 160

    model.fit(Songs(), SimpleNamespace(generator=torch.Generator()))  # type: ignore[arg-type]
    found = model.predict_step(vectors(slice(160, 240))).numpy() > 0.5
    assert (found == y[160:]).mean() > 0.85


def test_logistic_links_are_optimal_with_fewer_samples_than_features() -> None:
    """The gradient of the whole objective vanishes, outside the span of the samples as well."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, 40, generator=generator, dtype=torch.float64)
    y = (torch.rand(9, 3, generator=generator) > 0.4).double()
    y[0], y[1] = 0.0, 1.0
    visible = torch.ones(3, 3, dtype=torch.bool).tril(-1)
    base = cc_links.LogisticBase(2.0)
    found = base.fit(x, y, y, visible)
    assert found["weight_x"].shape == (3, 40)
    static = base.static(found, x)
    for link in range(3):
        gap = torch.sigmoid(base.margin(found, static, y, link)) - y[:, link]
        zero = torch.zeros(40, dtype=torch.float64)
        torch.testing.assert_close(
            gap @ x + found["weight_x"][link] / 2.0, zero, atol=1e-4, rtol=0.0
        )
        assert abs(float(gap.sum())) < 1e-4
        assert not found["weight_y"][link][~visible[link]].any()
