"""Decisions of the observers: thresholds of the golden file, samples found by their labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.errors import DataFormatError
from harness.plugins import load
from harness.statistics.skill import best_constant
from harness_corpora.diag.answers import answers
from harness_corpora.diag.draw import draw_sample
from harness_corpora.diag.observers import THRESHOLDS
from tests.unit.corpora.golden_v2 import part

DIAG = part("diag@1")
FIGURES = "ceilings_N20000_[F1,se,threshold]"


def labels(entry: dict[str, Any]) -> np.ndarray:
    return np.array([[int(y) for y in text] for text in entry["labels"]], dtype=np.int8)


def test_thresholds_are_those_of_the_golden_file() -> None:
    for name, about in DIAG.items():
        known = {
            o: figures[2] for o, figures in about.get(FIGURES, {}).items() if len(figures) == 3
        }
        assert not known or known == THRESHOLDS[name]


def test_every_diagnostic_has_a_skill_and_the_claims_of_its_recipe() -> None:
    skills = {e.spec.dataset: e.spec for e in load().skills.values()}
    assert skills.keys() == {f"diag-{name}" for name in THRESHOLDS}
    assert {s.dataset: s.claims for s in skills.values() if s.claims} == {
        "diag-xor": 0.30,
        "diag-align": 0.15,
    }
    assert {n for n, s in skills.items() if s.dropout != "full@1"} == {"diag-recon"}
    assert all(load().dataset(name).redistribute for name in skills)


@pytest.mark.parametrize("name", DIAG)
def test_decisions_are_the_golden_posteriors_cut(name: str) -> None:
    for entry in DIAG[name].get("seeds", []):
        if not {"labels", "posterior_of_first_5"} <= entry.keys():
            continue
        ids = [f"{entry['split']}[{i}]" for i in range(entry["count"])]
        order = np.arange(len(ids))[::-1]  # ids are not in the order of drawing
        found = answers(f"diag-{name}", [ids[i] for i in order], labels(entry)[order])
        for observer, key, cut in zip(
            ("full", "lacking"),
            ("full", "without"),
            (THRESHOLDS[name]["full"], THRESHOLDS[name]["without"]),
            strict=True,
        ):
            # The golden posterior has 12 digits; the prior equals its threshold.
            expected = np.array(entry["posterior_of_first_5"][key]) >= cut - 1e-12
            assert np.array_equal(found[observer][::-1][:5], expected)
        assert found["full"].shape == (len(ids), 6) and found["full"].dtype == np.bool_


def test_samples_of_another_version_are_refused() -> None:
    truth = np.stack([draw_sample("xor", 3, "test", i).labels for i in range(20)]).astype(np.int8)
    ids = [f"test[{i}]" for i in range(20)]
    assert answers("diag-xor", ids, truth)["lacking"].all()
    truth[19] ^= 1  # the seed is found by the first ones
    with pytest.raises(DataFormatError, match="diag-xor: no seed below"):
        answers("diag-xor", ids, truth)
    with pytest.raises(DataFormatError, match="no sample 'clip 1'"):
        answers("diag-xor", ["clip 1"], truth[:1])


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name in DIAG if FIGURES in DIAG[name]])
def test_diag_golden_ceilings(name: str) -> None:
    known = DIAG[name][FIGURES]
    ids = [f"ceiling[{i}]" for i in range(20_000)]
    truth = np.stack([draw_sample(name, 0, "ceiling", i).labels for i in range(20_000)])
    found = answers(f"diag-{name}", ids, truth.astype(np.int8))
    found["constant"] = best_constant(truth.astype(np.int8))
    for observer, key in (("full", "full"), ("lacking", "without"), ("constant", "constant")):
        decided = found[observer]
        f1 = 2 * (decided & truth).sum() / (decided.sum() + truth.sum())
        assert f1 == pytest.approx(known[key][0], abs=5e-4), observer
