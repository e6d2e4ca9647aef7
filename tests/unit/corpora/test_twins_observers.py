"""Observers of the twins: the shipped table, their decisions, and their rows beside a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness.api.training import rescore
from harness.data.corpus import Answers
from harness.engine.recompute import recompute
from harness.protocols.metrics import multilabel_metrics
from harness.protocols.thresholds import apply, best_expected, reaching
from harness.records.record import RunRecord
from harness.records.store import RunStore
from harness_corpora.twinned import OBSERVERS
from harness_corpora.twins.ceiling import answers
from harness_corpora.twins.observers import TABLE, cuts
from harness_corpora.twins.plan import MOSEI_ALIGNED, PLANS
from harness_corpora.twins.tabulate import observers_of, tabulated
from tests.unit.corpora.golden_v2 import golden
from tests.unit.corpora.small_twins import shrink
from tests.unit.corpora.test_twins_posterior import NAME, SEED, MadeSplit, made, masks

TWINS = golden()["twins"]
FIGURES, OTHER = "ceilings_N20000_[F1,se,threshold]", "ceilings_other_metrics_of_full"
TABULATED = json.loads(TABLE.read_text("utf-8"))
OWN = ("hamming", "jaccard", "macro_f1", "subset")


@pytest.mark.parametrize("name", TWINS)
def test_twin_golden_observer_table(name: str) -> None:
    known = TABULATED[name]["observers"]
    assert known.keys() == set(observers_of(PLANS[name]))
    for observer, figures in TWINS[name].get(FIGURES, {}).items():
        if observer in known:
            entry = known[observer]
            assert [*entry["micro_f1"], entry["threshold"]] == pytest.approx(figures, abs=1.5e-4)
    for metric, value in TWINS[name].get(OTHER, {}).items():
        # The golden thresholds of macro-F1 come from another draw.
        near = 2e-3 if metric == "macro_f1" else 1.5e-4
        assert TABULATED[name]["other_metrics"][metric] == pytest.approx(value, abs=near), metric


def test_the_table_follows_from_the_process() -> None:
    """On few samples: the script runs, and its thresholds are near the shipped ones."""
    found = tabulated(MOSEI_ALIGNED, 400)
    known = cuts(NAME)
    assert found["observers"].keys() == known.keys()
    full = found["observers"]["full"]
    assert full["threshold"] == pytest.approx(known["full"].threshold, abs=0.1)
    assert full["labels"] == pytest.approx(known["full"].labels, abs=0.1)


@pytest.fixture(scope="module")
def aligned() -> MadeSplit:
    return made(250)


def test_each_decision_is_the_best_of_all_for_its_own_metric(aligned: MadeSplit) -> None:
    """On samples that no threshold was chosen on; decisions for another metric lose."""
    found = answers(NAME, aligned, masks(aligned.natural), SEED)
    assert found.threshold is not None and tuple(sorted(found.decided)) == OWN
    decided = {"micro_f1": apply(found.scores, found.threshold), **found.decided}
    names = [str(k) for k in range(6)]
    figures = {
        metric: multilabel_metrics(aligned.labels, own, None, names)
        for metric, own in decided.items()
    }
    for metric in decided:
        sign = -1 if metric == "hamming" else 1
        own = sign * figures[metric][metric]
        assert all(own >= sign * other[metric] - 0.03 for other in figures.values()), metric
    assert figures["jaccard"]["jaccard"] > figures["micro_f1"]["jaccard"] + 0.01
    assert figures["macro_f1"]["macro_f1"] > figures["subset"]["macro_f1"] + 0.01


def test_thresholds_are_those_of_what_a_protocol_leaves(aligned: MadeSplit) -> None:
    known, natural = cuts(NAME), aligned.natural
    without = natural & [False, True, True]
    alone = natural & [True, False, False]
    for keep, name in ((natural, "full"), (without, "drop-t"), (alone, "only-t")):
        found = answers(NAME, aligned, masks(keep), SEED)
        assert found.threshold == reaching(known[name].threshold)
    late = answers(NAME, aligned, masks(natural), SEED, "late")
    assert late.threshold == reaching(known["late"].threshold)
    mixed = np.where(np.arange(len(natural))[:, None] % 2, natural, without)
    found = answers(NAME, aligned, masks(mixed), SEED)
    assert found.threshold == best_expected(found.scores)
    assert known["drop-t"].threshold < found.threshold < known["full"].threshold


def test_the_expected_best_threshold_needs_no_truth() -> None:
    rng = np.random.default_rng(0)
    scores = rng.beta(0.5, 1.0, size=(3000, 4)).astype(np.float32)
    truth = rng.random(scores.shape) < scores

    def f1(threshold: float) -> float:
        decided = apply(scores, threshold).astype(bool)
        return float(2 * (decided & truth).sum() / (decided.sum() + truth.sum()))

    best = max(f1(t) for t in np.linspace(0.02, 0.98, 97))
    assert f1(best_expected(scores)) > best - 0.005
    assert apply([0.3, 0.2], reaching(0.3)).tolist() == [1, 0]
    assert apply([0.5, 0.5], best_expected([0.5, 0.5])).tolist() == [1, 1]
    single = Answers.of_posterior(scores, single=True)
    assert single.threshold is None and not single.decided


def rows(**options: Any) -> dict[str, RunRecord]:
    found = harness.run("prior", NAME, device="cpu", **options)
    known = {r.model["name"]: r for r in found}
    return known | {r.model["name"]: r for r in harness.runs() if r.role != "model"}


def test_rows_beside_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    shrink(monkeypatch.setattr, (60, 20, 40))
    first = rows()
    assert {n: r.role for n, r in first.items() if r.role != "trivial"} == {
        "ceiling": "ceiling", **dict.fromkeys(OBSERVERS, "observer"),
    }  # fmt: skip
    found = rows(dropout=("drop-t@1", "random-0.3@1", "frames-0.5@1"))
    ceiling, late = found["ceiling"], found["late-fusion"]
    assert late.id == first["late-fusion"].id and late.metrics.keys() == {"full@1"}
    assert ceiling.metrics.keys() == {"full@1", "drop-t@1", "random-0.3@1", "frames-0.5@1"}
    known = cuts(NAME)
    said = ceiling.facts["threshold_on_test"]
    assert said["drop-t@1"] == reaching(known["drop-t"].threshold)
    assert said["full@1"] == reaching(known["full"].threshold) != said["random-0.3@1"]
    runs = RunStore()
    for record in (ceiling, late):
        figures = record.metrics["full@1"]["test"]["declared"]
        defined = {name for name, value in figures.items() if isinstance(value, float)}
        assert defined == {"micro_f1", *OWN, "micro_ap", "macro_ap", "labels_without_ap"}
        assert figures["micro_p"] is None and figures == record.metrics["full@1"]["test"]["tuned"]
        label = figures["per_label"]["happy"]
        assert label["f1"] is not None and label["precision"] is None
        mean = np.mean([own["f1"] for own in figures["per_label"].values()])
        assert mean == pytest.approx(figures["macro_f1"])
        whole = recompute(record, runs.parts(record))
        assert whole.compared > 40 and not whole.differences
        alone = recompute(record, runs.parts(record, ("test", "full@1")))
        assert alone.compared and not alone.differences
    assert rescore([ceiling, late]) == [ceiling, late]
    assert ceiling.metrics["drop-t@1"]["test"]["declared"]["micro_f1"] < 0.75
