"""Which modality a label is taken from: readings, agreement with what is known, the command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import spearmanr

import harness
from harness.cli import cli
from harness.figures.dependence_readings import occlusion_readings, winner_readings
from harness.plugins import load
from harness.statistics.agreement import agreement, interaction, spearman
from harness_corpora.twins.plan import PLANS
from tests.unit.figures.made import numbers

PLUGIN = str(Path(__file__).with_name("known_plugin.py"))
CELLS = arrays.arrays(np.float64, (5, 3), elements=st.integers(0, 40).map(float), unique=True)
SHIFTS = arrays.arrays(np.float64, 8, elements=st.integers(-20, 20).map(float))


def test_winners_are_counted_where_the_label_is() -> None:
    winner = np.array([[0, 1], [0, 1], [1, 1], [1, 0]])
    truth = np.array([[1, 0], [1, 0], [0, 1], [1, 0]])
    found = winner_readings(winner, truth, 2)
    np.testing.assert_allclose(found["present"], [[2 / 3, 1 / 3], [0, 1]])
    np.testing.assert_allclose(found["all"], [[0.5, 0.5], [0.25, 0.75]])
    np.testing.assert_allclose(found["contrast"], [[2 / 3, -2 / 3], [-1 / 3, 1 / 3]])


def test_a_modality_that_always_wins_tells_nothing() -> None:
    truth = (np.random.default_rng(0).random((50, 3)) < 0.5).astype(int)
    found = winner_readings(np.ones((50, 3), dtype=int), truth, 2)
    np.testing.assert_allclose(found["contrast"], 0.0, atol=1e-12)
    np.testing.assert_allclose(found["present"][:, 1], 1.0)


def test_occlusion_is_what_a_label_loses() -> None:
    truth = np.array([[1, 1], [0, 0], [1, 0], [0, 0]])
    full = np.array([[0.9, 0.8], [0.1, 0.3], [0.8, 0.2], [0.2, 0.1]])
    blind = full.copy()
    blind[:, 0] = [0.1, 0.9, 0.2, 0.8]
    found = occlusion_readings(full, [blind, full], truth)
    worst = (1 / 3 + 2 / 4) / 2
    np.testing.assert_allclose(found["ap"], [[1 - worst, 0], [0, 0]])
    np.testing.assert_allclose(found["separation"][:, 1], 0.0)
    assert found["separation"][0, 0] == pytest.approx(0.7 + 0.7)


def test_a_label_without_samples_is_left_out() -> None:
    truth = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1]])
    winner = np.array([[0, 1, 1], [1, 1, 0], [0, 1, 0], [1, 0, 1]])
    found = winner_readings(winner, truth, 2)
    assert np.isnan(found["contrast"][1]).all() and np.isfinite(found["contrast"][[0, 2]]).all()
    lost = occlusion_readings(winner * 0.5, [winner * 0.1, winner * 0.2], truth)
    assert np.isnan(lost["ap"][1]).all() and np.isnan(lost["separation"][1]).all()
    told = agreement(found["contrast"], np.array([[2.0, 1], [9, 1], [0, 3]]))
    assert (told.labels, told.strongest, told.rho_interaction) == (2, 2, pytest.approx(1.0))


@given(CELLS, CELLS)
def test_correlations_are_those_of_scipy(x: np.ndarray, y: np.ndarray) -> None:
    expected = spearmanr(x.ravel(), y.ravel()).statistic
    assert spearman(x, y) == pytest.approx(expected)
    assert agreement(x, y).rho == pytest.approx(expected)


@given(CELLS, CELLS, SHIFTS)
def test_interaction_knows_nothing_of_main_effects(
    x: np.ndarray, y: np.ndarray, shifts: np.ndarray
) -> None:
    moved = x + shifts[:5, None] + shifts[5:]
    np.testing.assert_allclose(interaction(moved), interaction(x), atol=1e-9)
    before, after = agreement(x, y), agreement(moved, y)
    assert after.rho_interaction == pytest.approx(before.rho_interaction, nan_ok=True)


def test_p_counts_orders_of_labels() -> None:
    known = np.array([[5.0, 1, 0], [0, 6, 2], [1, 0, 7], [4, 4, 0]])
    told = agreement(known, known)
    assert told.rho == 1 and told.rho_interaction == pytest.approx(1)
    assert told.p == told.p_interaction == pytest.approx(1 / math.factorial(4))
    assert told.strongest == told.labels == 4
    drawn = np.random.default_rng(0).random((9, 3))
    assert agreement(drawn, drawn).p_interaction == pytest.approx(1 / 10000)
    flat = agreement(np.ones((4, 3)), known)
    assert math.isnan(flat.rho) and math.isnan(flat.p_interaction)


def test_a_tie_in_the_known_dependence_has_several_right_answers() -> None:
    known = np.array([[2.0, 2, 0], [1, 0, 0]])
    measured = np.array([[0.1, 0.4, 0], [0.0, 0.4, 0]])
    assert agreement(measured, known).strongest == 1


def test_planted_dependence_follows_the_specs_order() -> None:
    from harness.data.locate import corpus_of

    registry = load()
    for name in ("mosei-aligned-twin", "mosei-unaligned-twin", "m3ed-twin", "memor-fine-twin"):
        spec = registry.dataset(name)
        planted = corpus_of(spec).planted_dependence()
        assert planted is not None and planted.shape == (len(spec.labels), len(spec.modalities))
        # Text shows most of every label, as in real data; the labels differ in what is second.
        beside = np.where(np.array(spec.modality_names) == "text", -1.0, planted)
        strongest = {
            label.lower(): spec.modality_names[m]
            for label, m in zip(spec.labels, beside.argmax(axis=1), strict=True)
        }
        assert (strongest["surprise"], strongest["anger"]) == ("audio", "visual")
        if spec.base_name in PLANS:
            by_name = {m.name: m for m in PLANS[spec.base_name].modalities}
            for j, modality in enumerate(spec.modality_names):
                own = by_name[modality]
                evidence = np.square(np.array(own.amplitude) / 256) * own.window
                np.testing.assert_allclose(planted[:, j] ** 2, evidence)
        assert corpus_of(registry.dataset(spec.base_name)).planted_dependence() is None


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seeds of the known model on its twin, and a model without analysis."""
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    options = {"device": "cpu", "references": False, "plugins": (PLUGIN,)}
    harness.run("best", "known-twin", (0, 1), **options)
    harness.run("best", "known", (0,), overrides=("model.ablate=[mixed]",), **options)
    harness.run("best", "known", (0,), **options)
    harness.run("silent", "known-twin", (0,), **options)


def call(*words: str) -> Result:
    fixed = ["--plugin", PLUGIN, "--device", "cpu", "--formats", "svg"]
    return CliRunner().invoke(cli, ["figure", "dependence", *words, *fixed])


@pytest.mark.usefixtures("trained")
def test_a_model_with_the_true_strengths_recovers_them(tmp_path: Path) -> None:
    done = call("best", "--dataset", "known-twin", "--out", str(tmp_path), "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["seeds"] == [0, 1]
    about = {(r["reading"], r["quantity"], r["against"]): r for r in found["agreement"]}
    for reading in (
        ("winner_only", "contrast"),
        ("occlusion", "ap"),
        ("ceiling's occlusion", "ap"),
    ):
        told = about[(*reading, "planted")]
        assert told["rho_interaction"] > 0.8 and told["strongest"] == 3, reading
    names = sorted(p.name for p in tmp_path.iterdir())
    stem = "known-twin-dependence-best"
    assert names == [f"{stem}-agreement.csv", f"{stem}.csv", f"{stem}.svg"]
    rows = numbers(tmp_path / f"{stem}.csv")
    planted = [r for r in rows if (r["reading"], r["quantity"]) == ("known", "planted")]
    assert [float(r["mean"]) for r in planted] == [2.0, 0.2, 0.3, 1.8, 1.2, 0.9]
    which = ("winner_only", "present", "x")
    shares = [float(r["mean"]) for r in rows if (r["reading"], r["quantity"], r["label"]) == which]
    assert sum(shares) == pytest.approx(1, abs=1e-5) and shares[0] > 0.9


@pytest.mark.usefixtures("trained")
def test_real_data_has_nothing_to_agree_with(tmp_path: Path) -> None:
    done = call("best", "--dataset", "known", "--out", str(tmp_path), "--by", "winner")
    assert done.exit_code == 0 and "correlation" not in done.output, done.output
    assert not list(tmp_path.glob("*agreement*"))
    readings = {r["reading"] for r in numbers(tmp_path / "known-dependence-best.csv")}
    assert readings == {"winner_only"}


@pytest.mark.usefixtures("trained")
def test_any_model_has_occlusion(tmp_path: Path) -> None:
    where = ("--dataset", "known-twin", "--out", str(tmp_path))
    done = call("silent", *where)
    assert done.exit_code == 0 and "occlusion" in done.output and "winner" not in done.output
    refused = call("silent", *where, "--by", "winner")
    assert refused.exit_code == 2 and "use --by occlusion" in refused.output
    assert refused.output.splitlines()[-1].startswith("Error: ")


@pytest.mark.usefixtures("trained")
def test_exported_records_have_no_model_to_ask(tmp_path: Path) -> None:
    from harness.records.committed import export
    from harness.records.store import RunStore

    export(RunStore().all(), RunStore(), tmp_path)
    done = call("best", "--dataset", "known-twin", "--records", str(tmp_path))
    assert done.exit_code == 3 and "without checkpoints" in done.output
