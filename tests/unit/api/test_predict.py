"""``harness predict`` scores as the run was scored."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from click.testing import CliRunner, Result

import harness
from harness.api.features import score_folder
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


def test_a_folder_of_features_needs_no_labels(
    made: harness.Runs, home: Path, toy: Path, tmp_path: Path
) -> None:
    test = harness.dataset("toy", plugins=toy, home=home)["test"].numpy()
    folder, out = tmp_path / "features", tmp_path / "scores.csv"
    folder.mkdir()
    features = {m: test.features[m] for m in ("text", "audio")}
    np.savez(folder / "mine.npz", ids=np.array(test.ids), **features)
    run, model = made[0].id, made.load(made[0].id)
    done = predict(run, out, home, toy, "--from", str(folder), "--batch-size", "7")
    assert done.exit_code == 0 and "40 samples" in done.output, done.output
    rows = [line.split(",") for line in out.read_text().splitlines()]
    assert rows[0] == ["id", "group", *(f"score:{n}" for n in model.task.labels)]
    stored = made[:1].predictions(dropout="full@1").score.to_numpy().reshape(40, 4)
    assert [row[0] for row in rows[1:]] == [row[1] for row in rows[1:]] == [*test.ids]
    assert np.allclose(np.array([row[2:] for row in rows[1:]], float), stored, atol=1e-6)
    # One sample, and a modality that is not there.
    np.savez(folder / "mine.npz", ids=np.array(["one"]), text=features["text"][:1])
    table = tmp_path / "one.parquet"
    done = predict(run, table, home, toy, "--from", str(folder))
    assert done.exit_code == 0 and "has no audio" in done.output, done.output
    found = score_folder(model, folder)
    assert (found.ids, found.missing) == (("one",), ("audio",))
    alone = model.predict({"text": features["text"][:1], "audio": None})
    assert np.array_equal(found.scores, alone) and not np.array_equal(alone, stored[:1])
    assert pq.read_table(table).column(2).to_pylist() == [alone[0, 0]]


def test_features_of_another_model_are_refused(
    made: harness.Runs, home: Path, toy: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "features", tmp_path / "scores.csv"
    folder.mkdir()
    for arrays, said in (
        ({"text": np.zeros((1, 4, 9))}, "expected finite features of shape (T, 3)"),
        ({"txt": np.zeros((1, 4, 3))}, "Did you mean 'text'?"),
    ):
        np.savez(folder / "mine.npz", ids=np.array(["one"]), **arrays)  # type: ignore[arg-type]
        done = predict(made[0].id, out, home, toy, "--from", str(folder))
        assert done.exit_code == 2 and said in done.output, done.output
    done = predict(made[0].id, out, home, toy, "--from", str(folder), "--dataset", "toy")
    assert done.exit_code == 2 and "leave out --dataset" in done.output
    assert not out.exists()


def test_a_model_of_a_plugin_file_names_the_file(
    made: harness.Runs, home: Path, tmp_path: Path
) -> None:
    words = ["predict", made[0].id, "--home", str(home), "--out", str(tmp_path / "x.csv")]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 2
    assert "model 'toy-plain' is not loaded" in done.output, done.output
    assert "given here too: --plugin toy_plugin.py." in done.output
    assert "--plugin toy_plugin.py" in done.output
    bare = tmp_path / "bare"
    shutil.copytree(home / "runs" / made[0].id, bare, ignore=shutil.ignore_patterns("record.json"))
    done = CliRunner().invoke(cli, ["predict", str(bare), *words[2:]])
    assert done.exit_code == 2 and "--plugin toy_plugin.py" in done.output
