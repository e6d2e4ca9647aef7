"""``harness predict`` scores as the run was scored."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result

import harness
from harness.cli import cli
from harness.records.predictions import read_predictions


def predict(run: str, out: Path, home: Path, toy: Path, *words: str) -> Result:
    arguments = ["predict", run, "--home", str(home), "--plugin", str(toy), "--out", str(out)]
    return CliRunner().invoke(cli, [*arguments, "--device", "cpu", *words])


def scores_of(path: Path) -> np.ndarray:
    return read_predictions(path)[1][0].scores


def test_scores_of_a_run_and_of_a_bare_checkpoint(
    made: harness.Runs, home: Path, toy: Path, tmp_path: Path
) -> None:
    run, out = made[0].id, tmp_path / "scores.parquet"
    stored = made[:1].predictions(dropout="only-t@1").score.to_numpy().reshape(40, 4)
    assert predict(run, out, home, toy, "--dropout", "only-t@1").exit_code == 0
    assert np.array_equal(scores_of(out), stored)
    bare = tmp_path / "bare"
    shutil.copytree(home / "runs" / run, bare, ignore=shutil.ignore_patterns("record.json"))
    assert predict(str(bare), out, home, toy, "--dropout", "only-t@1").exit_code == 0
    assert np.array_equal(scores_of(out), stored)


def test_a_run_with_exchanged_modalities(toy: Path, tmp_path: Path) -> None:
    runs = harness.run("toy-exchange", "toy", device="cpu", plugins=toy, compat=True, home=tmp_path,
                       overrides={"training.epochs": 1})  # fmt: skip
    out = tmp_path / "scores.parquet"
    assert predict(runs[0].id, out, tmp_path, toy).exit_code == 0
    stored = runs.predictions(dropout="full@1").score.to_numpy().reshape(40, 4)
    assert np.array_equal(scores_of(out), stored)
    assert np.array_equal(runs.load().predict(harness.dataset("toy", plugins=toy)["test"]), stored)


def test_what_does_not_fit_ends_with_2(
    made: harness.Runs, home: Path, toy: Path, tmp_path: Path
) -> None:
    out, run = tmp_path / "x.csv", made[0].id
    missing = predict(run, out, home, toy, "--split", "tset")
    assert missing.exit_code == 2 and "Did you mean 'test'" in missing.output
    single = predict(run, out, home, toy, "--dropout", "only-x@1")
    assert single.exit_code == 2 and "only-x" in single.output and not out.exists()
