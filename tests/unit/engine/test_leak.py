"""The leak floor: best sets by pattern, and a board of missing@1 made through the command line."""

from __future__ import annotations

import csv
import io
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import harness
from harness.cli import cli
from harness.engine.leak import decided, fitted
from harness.protocols.metrics import metric


def micro_f1(truth: np.ndarray, found: np.ndarray) -> float:
    definition = metric("micro_f1")
    assert definition.sums is not None and definition.value is not None
    parts = definition.sums(truth.astype(bool), found.astype(bool))
    return float(definition.value(*(part.sum(axis=-2) for part in parts)))


@pytest.mark.parametrize("seed", range(4))
def test_no_other_choice_of_sets_is_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kept = np.array([[i % 2 == 0, True] for i in range(24)])
    labels = (rng.random((24, 3)) < [0.3, 0.5, 0.2]).astype(np.uint8)
    best = micro_f1(labels, decided(fitted(kept, labels), kept))
    sets = [np.array(bits) for bits in product((0, 1), repeat=3)]
    every = (np.where(kept[:, :1], a, b) for a, b in product(sets, sets))
    assert best == pytest.approx(max(micro_f1(labels, found) for found in every))


def test_patterns_that_were_not_fitted_get_the_best_set_of_all_and_single_labels_one_each() -> None:
    kept = np.array([[True, True]] * 3 + [[True, False]] * 2)
    labels = np.eye(3, dtype=np.uint8)[[0, 0, 1, 2, 2]]
    found = fitted(kept, labels, single=True)
    new = np.array([[True, True], [True, False], [False, True]])
    assert decided(found, new).argmax(axis=1).tolist() == [0, 2, 0]


TOY = str(Path(__file__).with_name("toy_plugin.py"))


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, [*words])


def test_missing_through_the_command_line_to_a_board_with_both_tracks(tmp_path: Path) -> None:
    one = ("run", "--model", "toy", "--dataset", "toy", "--plugin", TOY, "--dropout", "missing@1",
           "--set", "training.epochs=1")  # fmt: skip
    clean, mixed = run(*one), run(*one, "--train-dropout", "train-mix@1")
    assert clean.exit_code == mixed.exit_code == 0, clean.output + mixed.output
    (floor,) = harness.runs(model="leak-floor")
    assert set(floor.metrics) == {n for n in floor.metrics if n.startswith("mnar-")} != set()
    made = run("leaderboard", "--plugin", TOY, "--out", str(tmp_path))
    assert made.exit_code == 0, made.output
    (name,) = tmp_path.glob("*-robustness.csv")
    rows = list(csv.DictReader(io.StringIO(name.read_text("utf-8"))))
    found = {(r["track"], r["model"], r["suite"]) for r in rows if r["figure"] == "missing_mean"}
    assert {("clean-trained", "toy", "missing@1"), ("dropout-trained", "toy",
            "missing@1")} <= found  # fmt: skip
    floors = {r["figure"] for r in rows if r["model"] == "leak-floor"}
    assert "avg_mnar" in floors and all("mnar" in figure for figure in floors)
    verified = run("runs", "verify", floor.id, "--plugin", TOY)
    assert verified.exit_code == 0, verified.output
