"""`harness.metrics.torchmetrics`: batch by batch the same figures, in processes, by name."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.errors import UnknownNameError, UsageError
from harness.protocols.metrics import METRICS, multilabel_metrics, nauilc, singlelabel_metrics
from harness.protocols.thresholds import apply, argmax
from harness.specs import LabelKind, TaskInfo

LABELS = ("joy", "anger", "fear")


def task(kind: LabelKind = "multilabel") -> TaskInfo:
    return TaskInfo("toy", (), LABELS, kind, threshold=0.3)


def made(kind: LabelKind, samples: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(3)
    scores = rng.random((samples, 3)).astype(np.float32)
    truth = (rng.random((samples, 3)) < 0.4).astype(np.int8)
    truth[:, 2] = 0  # no average precision
    if kind == "singlelabel":
        truth = np.eye(3, dtype=np.int8)[rng.integers(0, 2, samples)]
    return torch.from_numpy(scores), torch.from_numpy(truth)


@pytest.mark.parametrize("kind", ["multilabel", "singlelabel"])
def test_every_metric_equals_the_point_value_over_batches(kind: LabelKind) -> None:
    scores, truth = made(kind)
    if kind == "multilabel":
        want = multilabel_metrics(truth, apply(scores, 0.3), scores, LABELS)
    else:
        want = singlelabel_metrics(truth, argmax(scores), scores, LABELS)
    for name, metric in METRICS.items():
        if kind not in metric.label_kinds:
            with pytest.raises(UsageError, match=f"not defined for {kind}"):
                harness.metrics.torchmetrics(name, task(kind))
            continue
        ours = harness.metrics.torchmetrics(name, task(kind))
        for at in range(0, 50, 20):
            ours.update(scores[at : at + 20], truth[at : at + 20].float())
        found = ours.compute()
        if metric.per_label:
            each = [want["per_label"][label][name] for label in LABELS]
            np.testing.assert_allclose(found, [np.nan if v is None else v for v in each])
        else:
            assert float(found) == pytest.approx(want[name], abs=1e-12), name
        assert ours.higher_is_better is not metric.lower_is_better
        again = pickle.loads(pickle.dumps(ours))
        torch.testing.assert_close(again.compute(), found, equal_nan=True)
        ours.reset()
        ours.update(scores[:7], truth[:7])
        fresh = harness.metrics.torchmetrics(name, task(kind))
        fresh.update(scores[:7], truth[:7])
        torch.testing.assert_close(ours.compute(), fresh.compute(), equal_nan=True)


def test_states_of_two_processes_add_up() -> None:
    scores, truth = made("multilabel")
    for name in ("macro_f1", "jaccard", "macro_ap"):
        whole, first, second = (harness.metrics.torchmetrics(name, task()) for _ in range(3))
        whole.update(scores, truth)
        first.update(scores[:30], truth[:30])
        second.update(scores[30:], truth[30:])
        for state, how in first._reductions.items():  # what torchmetrics does after gathering
            a, b = getattr(first, state), getattr(second, state)
            both = torch.stack([a, b]) if torch.is_tensor(a) else [torch.cat(a), torch.cat(b)]
            setattr(first, state, how(both))
        assert float(first.compute()) == pytest.approx(float(whole.compute()), abs=1e-12)


def test_decisions_class_indices_and_another_threshold_are_taken() -> None:
    scores, truth = made("multilabel")
    ours = harness.metrics.torchmetrics("micro_f1", task(), threshold=0.8)
    decided = harness.metrics.torchmetrics("micro_f1", task())
    ours.update(scores, truth)
    decided.update(scores > 0.8, truth)
    assert float(ours.compute()) == float(decided.compute())
    scores, truth = made("singlelabel")
    rows, indices = (harness.metrics.torchmetrics("accuracy", task("singlelabel")) for _ in "ab")
    rows.update(scores, truth)
    indices.update(scores.argmax(1), truth.argmax(1))
    assert float(rows.compute()) == float(indices.compute())


def test_unfit_input_is_refused() -> None:
    scores, truth = made("multilabel")
    ap = harness.metrics.torchmetrics("macro_ap", task())
    with pytest.raises(UsageError, match="needs scores"):
        ap.update(truth, truth)
    with pytest.raises(UsageError, match="no batch was added"):
        ap.compute()
    f1 = harness.metrics.torchmetrics("micro_f1", task())
    with pytest.raises(UsageError, match=r"target has shape \[50, 2\]; expected \[B, 3\]"):
        f1.update(scores, truth[:, :2])
    with pytest.raises(UsageError, match="49 predictions do not fit 50 targets"):
        f1.update(scores[1:], truth)
    with pytest.raises(UsageError, match="NaN or infinity"):
        f1.update(scores / 0, truth)
    with pytest.raises(UnknownNameError, match="Did you mean 'micro_f1'"):
        harness.metrics.torchmetrics("micro_f", task())


def test_the_door_imports_torch_on_use_only() -> None:
    code = (
        "import sys, harness.metrics, harness.statistics.compare, harness.protocols.suites; "
        "sys.exit(any(m.split('.')[0] in ('torch', 'torchmetrics') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


RATES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


@given(RATES, st.randoms(use_true_random=False))
def test_area_over_rates_is_a_mean_score_in_any_order(rates: list[float], random: object) -> None:
    scores = [1 - r / 2 for r in rates]
    found = nauilc(rates, scores)
    assert min(scores) - 1e-9 <= found <= max(scores) + 1e-9
    if len(set(rates)) == len(rates) and max(rates) - min(rates) > 1e-3:
        assert found == pytest.approx(1 - (min(rates) + max(rates)) / 4)
        assert nauilc(rates[::-1], scores[::-1]) == pytest.approx(found)


def test_equal_rates_give_the_mean_score() -> None:
    assert nauilc([0.0, 0.0, 0.0], [0.5, 0.6, 0.7]) == pytest.approx(0.6)
    assert nauilc([0.2], [0.4]) == 0.4
    # A repeated rate has no width.
    assert nauilc([0.0, 0.5, 0.5, 1.0], [1.0, 0.5, 0.5, 0.0]) == pytest.approx(0.5)
