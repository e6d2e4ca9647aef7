"""Any modalities, both label kinds, every option, the presets, and the size of the models."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
import torch
import yaml

from harness.errors import ConfigError
from harness.specs import ModalitySpec, TaskInfo, TrainingConfig
from harness_ramer import harness_models
from harness_ramer.config import RamerConfig, RamerPublicConfig
from harness_ramer.public import AlignedEncoder, RamerPublic
from harness_ramer.ramer import Ramer
from tests.unit.ramer.made import VAT, Context, batch_of, paper_config, public_config, task_of

TRAINING = TrainingConfig(optimizer="bertadam", lr=1e-3)
ODD = (
    ModalitySpec("skin.conductance", "g", 2, 9),
    ModalitySpec("face", "f", 3, 4),
    ModalitySpec("pose", "p", 6, 5),
    ModalitySpec("weight", "w", 1, 1),
)
MODELS: list[Any] = [(Ramer, paper_config), (RamerPublic, public_config)]


@pytest.mark.parametrize(("model", "config"), MODELS, ids=["paper", "public"])
@pytest.mark.parametrize("modalities", [ODD, ODD[:2], ODD[3:], VAT[1:]], ids=len)
@pytest.mark.parametrize("kind", ["multilabel", "singlelabel"])
def test_any_modalities_and_both_kinds_of_labels(
    model: Any, config: Any, modalities: tuple[ModalitySpec, ...], kind: Any
) -> None:
    task = task_of(modalities, labels=3, kind=kind)
    made = model(config(), task).train()
    batch = batch_of(task, size=5)
    output = made.training_step(batch, Context(made, TRAINING))
    output.loss.backward()
    assert output.loss.isfinite() and len(output.terms) >= 10
    with torch.no_grad():
        scores = made.eval().predict_step(batch.without_labels())
        again = made.predict_step(batch.without_labels())
        shown = made.analysis(batch.without_labels())
    assert torch.equal(scores, again) and scores.shape == (5, 3)
    assert ((scores >= 0) & (scores <= 1)).all()
    if kind == "singlelabel":
        assert torch.allclose(scores.sum(1), torch.ones(5))
    count, width = len(modalities), made.config.hidden_size
    assert shown["embeddings"].shape == (5, 3, count, 2, width)
    assert shown["X_gamma"].shape == (5, 3, count, width)
    for name in ("alpha", "beta", "gamma"):
        assert shown[f"winner_{name}"].shape == (5, 3)
        assert int(shown[f"winner_{name}"].max()) < count


def test_single_label_loss_is_cross_entropy() -> None:
    task = task_of(labels=3, kind="singlelabel")
    model, batch = Ramer(paper_config(), task).train(), batch_of(task)
    f = model.features(batch)
    terms = model.objective(f, batch.targets, torch.Generator()).terms
    logits = model.level_logits(f)[:, 0]
    want = torch.nn.functional.cross_entropy(logits, batch.targets.argmax(1))
    assert torch.allclose(terms["clf_gamma"], want)


def test_aligner_shortens_what_is_longer() -> None:
    task = task_of()
    model = RamerPublic(public_config(align_to=5), task).eval()
    aligned = [isinstance(e, AlignedEncoder) for e in model.embedding.encoders]
    assert aligned == [True, True, False]
    batch = batch_of(task)
    for encoder, name in zip(model.embedding.encoders, batch.features, strict=True):
        tokens, mask = encoder(batch.features[name], batch.mask[name])
        assert tokens.shape[1] == mask.shape[1] == 5
    assert model.predict_step(batch.without_labels()).isfinite().all()


def test_layers_by_modality() -> None:
    model = Ramer(paper_config(layers=2, modality_layers={"visual": 1}), task_of())
    assert [len(e.encoder.layers) for e in model.embedding.encoders] == [2, 1, 2]  # type: ignore[union-attr,arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_size": 10, "heads": 3},
        {"norm": "l1"},
        {"inference_prototypes": "best"},
        {"queue_size": 0},
        {"layers": -1},
        {"modality_layers": {"text": -1}},
        {"dropout": 1.0},
        {"prototype_momentum": 1.5},
        {"temperature": 0.01},
        {"gamma_weight": -1.0},
        {"contrastive_weight": float("inf")},
        {"gamma_weight": 0.0, "beta_weight": 0.0, "alpha_weight": 0.0, "shuffle_weight": 0.0},
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"model\."):
        RamerConfig(**wrong)


def mosei(labels: int = 6) -> TaskInfo:
    streams = (("text", "t", 300), ("visual", "v", 35), ("audio", "a", 74))
    return task_of([ModalitySpec(n, k, d, 60) for n, k, d in streams], labels=labels)


def memor() -> TaskInfo:
    streams = (("text", "t", 1024), ("visual", "v", 4302), ("audio", "a", 6373))
    modalities = [ModalitySpec(n, k, d, 100) for n, k, d in streams]
    return task_of(modalities, labels=9, kind="singlelabel", personality=118)


def size(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_public_has_as_many_parameters_as_the_authors_use() -> None:
    assert size(RamerPublic(RamerPublicConfig(), mosei())) == 5_594_113
    layers = {"text": 12, "visual": 1, "audio": 1}
    config = RamerPublicConfig(modality_layers=layers, personality_layers=12)
    assert size(RamerPublic(config, memor())) == 15_597_095


def presets(package_file: str) -> dict[str, Any]:
    package, name = package_file.split(":")
    loaded: dict[str, Any] = yaml.safe_load((files(package) / name).read_text())
    return loaded


def test_presets_fit_the_configs() -> None:
    specs = list(harness_models())
    assert [m.name for m in specs] == ["ramer", "ramer-public"]
    for spec, config in zip(specs, (RamerConfig, RamerPublicConfig), strict=True):
        sheet = presets(spec.defaults)
        assert sheet["threshold"] == 0.25
        for preset in sheet["presets"].values():
            sections = [preset, *preset.get("datasets", {}).values()]
            for section in sections:
                config(**section.get("model", {}))
                TrainingConfig(**section.get("training", {}))
        paper = sheet["presets"]["paper"]["training"]
        assert (float(paper["lr"]), paper["epochs"], paper["batch_size"]) == (5e-5, 20, 64)
        assert (paper["optimizer"], paper["clip_norm"]) == ("bertadam", 1.0)
    assert presets(specs[1].defaults)["presets"]["paper-150"]["training"]["epochs"] == 150
