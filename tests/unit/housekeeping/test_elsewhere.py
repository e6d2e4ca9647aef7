"""A run is exported for elsewhere, and trained again."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import harness
from harness import paths
from harness.cli import cli
from harness.housekeeping.rerun import DIFFERENT, IDENTICAL, WITHIN, compare
from harness.records.archive import SUFFIX
from harness.records.committed import export
from harness.records.record import RunRecord
from harness.records.store import RunStore

TOY = str(Path(__file__).parents[1] / "engine" / "toy_plugin.py")


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> RunRecord:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    sets = ("training.epochs=1", "training.batch_size=16")
    (made,) = harness.run("toy", "toy", overrides=sets, device="cpu", plugins=(TOY,),
                          references=False)  # fmt: skip
    return made


def closed_run(run: RunRecord) -> RunRecord:
    """Return the run as one of data that may not be passed on."""
    store = RunStore()
    return store.write(replace(run, dataset=run.dataset | {"redistribute": False}))


def test_predict_takes_an_exported_run_in_another_home(
    run: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "elsewhere" / "mine"
    done = call("runs", "export", run.id, "--to", str(to), "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["files"] == sorted(
        ["README.md", "checkpoint.json", "checkpoint.safetensors", "config.yaml",
         "environment.json", "epochs.csv", "predictions.parquet", "record.json",
         "requirements.txt"]
    )  # fmt: skip
    assert {p.name for p in to.parent.iterdir()} == {"mine"}, "nothing is left beside it"
    out = tmp_path / "scores.csv"
    scored = call("predict", str(to), "--split", "test", "--out", str(out), "--plugin", TOY,
                  "--device", "cpu", "--home", str(tmp_path / "other"))  # fmt: skip
    assert scored.exit_code == 0, scored.output
    monkeypatch.setattr(paths, "_roots", {})
    with out.open() as stream:
        rows = list(csv.DictReader(stream))
    (part,) = RunStore().parts(run, ("test", "full@1"))
    columns = [f"score:{name}" for name in run.dataset["labels"]]
    found = np.array([[float(row[c]) for c in columns] for row in rows], dtype=np.float32)
    np.testing.assert_array_equal(found, part.scores)
    assert f"torch=={run.provenance['packages']['torch']}" in (to / "requirements.txt").read_text()
    said = (to / "README.md").read_text()
    assert run.command in said and f"\ntoy 1, trained on {run.dataset['id']}" in said
    needed = "To bring, unchanged, from where the run was made: `toy_plugin.py` (`--plugin`)."
    assert needed in said and json.loads(done.stdout)["to_bring"] == ["toy_plugin.py"]
    assert "`harness runs rerun . --plugin toy_plugin.py`" in said and "``" not in said.replace(
        "```", ""
    )
    again = harness.run("toy", "toy", config=to / "config.yaml", device="cpu", plugins=(TOY,),
                        references=False)[0]  # fmt: skip
    assert again.config["training"] == run.config["training"]
    full = call("runs", "export", run.id, "--to", str(to))
    assert full.exit_code == 2 and "not empty" in full.output


def test_predict_says_that_the_plugin_file_is_another(run: RunRecord, tmp_path: Path) -> None:
    other, out = tmp_path / "toy_plugin.py", str(tmp_path / "scores.csv")
    words = ("predict", run.id, "--split", "test", "--out", out, "--device", "cpu", "--plugin")
    assert "note:" not in call(*words, TOY).output
    other.write_text(Path(TOY).read_text("utf-8") + "\nCHANGED = 1\n", "utf-8")
    done = call(*words, str(other))
    assert done.exit_code == 0, done.output
    assert "note: the code of toy has changed since; scores may differ" in done.stderr


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (
            {"distribution": "theirs", "distribution_version": "2.1"},
            "is in `theirs` 2.1, plugin `p`.",
        ),
        ({"reported_as": "TOY"}, "\nTOY (toy 1), trained on"),
        ({}, "takes the class."),
    ],
)
def test_the_readme_says_where_the_code_is(
    run: RunRecord, tmp_path: Path, made: dict[str, Any], text: str
) -> None:
    plain = {"plugin": "p", "distribution": None, "distribution_version": None}
    store, asked = RunStore(), run.request | {"plugins": []}
    store.write(replace(run, model=run.model | plain | made, request=asked))
    done = call("runs", "export", run.id, "--to", str(tmp_path / "to"))
    assert done.exit_code == 0 and "To bring" not in done.output
    said = (tmp_path / "to" / "README.md").read_text()
    assert text in said and "None" not in said and "To bring" not in said


def test_what_may_not_be_passed_on_is_not_exported(run: RunRecord, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    to = tmp_path / "to"
    done = call("runs", "export", closed_run(run).id, "--to", str(to))
    assert done.exit_code == 0 and "do not let its samples be passed on" in done.output
    assert not (to / "predictions.parquet").exists() and (to / "sums.parquet").is_file()
    found = RunStore(tmp_path).find("to", moved=True)
    assert found is not None and "predictions.parquet" not in found.artefacts
    assert set(pq.read_table(to / "sums.parquet")["run"].to_pylist()) == {run.id}
    ids = RunStore().parts(run, ("test", "full@1"))[0].ids
    for path in to.iterdir():
        content = path.read_bytes()
        assert not any(f'"{one}"'.encode() in content for one in ids), path.name
    assert "left out" in (to / "README.md").read_text()


def test_a_damaged_or_failed_run_is_not_exported(run: RunRecord, tmp_path: Path) -> None:
    path = RunStore().folder(run.id) / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    done = call("runs", "export", run.id, "--to", str(tmp_path / "to"))
    assert done.exit_code == 2 and "damaged" in done.output
    assert not (tmp_path / "to").exists()
    assert call("runs", "export", "nothing", "--to", str(tmp_path / "to")).exit_code == 2


def test_rerun_gives_the_same_bits_and_leaves_the_run_alone(run: RunRecord, tmp_path: Path) -> None:
    folder = RunStore().folder(run.id)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    done = call("runs", "rerun", run.id, "--plugin", TOY, "--json")
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)
    assert found["verdict"] == IDENTICAL and found["scores"] == 0 and found["figures"] > 20
    assert found["causes"] == []
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert not list(folder.parents[1].glob(".rerun*"))
    assert harness.runs(plugins=(TOY,)).rerun()["verdict"] == IDENTICAL
    to = tmp_path / "to"
    assert "record.json" in harness.runs().export(run, to)
    for what in (to, to / "record.json"):
        text = call("runs", "rerun", str(what), "--plugin", TOY)
        assert text.exit_code == 0 and f"{run.id}: identical" in text.output, text.output


def test_rerun_says_what_differs_and_ends_with_1(run: RunRecord) -> None:
    store = RunStore()
    metrics = json.loads(json.dumps(run.metrics))
    metrics["full@1"]["test"]["declared"]["micro_f1"] += 0.2
    packages = run.provenance["packages"] | {"torch": "0.1"}
    facts = run.provenance | {"packages": packages, "processor": "Abacus", "threads": 7}
    store.write(replace(run, metrics=metrics, provenance=facts, result_version=1,
                        model=run.model | {"code": "0" * 64}))  # fmt: skip
    done = call("runs", "rerun", run.id, "--plugin", TOY)
    assert done.exit_code == 1, done.output
    for said in ("different", "full@1/test/declared/micro_f1", "code: that of toy has changed",
                 "package: torch 0.1, now", "processor: Abacus", "threads: 7, now 1",
                 "result version: 1, now"):  # fmt: skip
        assert said in done.output, said
    near = call("runs", "rerun", run.id, "--plugin", TOY, "--tolerance", "0.3")
    assert near.exit_code == 0 and "within tolerance" in near.output


def test_rerun_of_a_board_takes_its_committed_records(run: RunRecord, tmp_path: Path) -> None:
    (path,) = export([run], RunStore(), tmp_path / "records")
    assert path.name == f"toy{SUFFIX}"
    done = call("runs", "rerun", str(path), "--plugin", TOY, "--limit", "1", "--json")
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)
    assert found["run"] == run.id and found["verdict"] == IDENTICAL and found["scores"] == 0
    none = call("runs", "rerun", str(path), "--plugin", TOY, "--models", "other")
    assert none.exit_code == 3 and "no finished runs of other" in none.output


def test_the_tolerance_is_of_figures_of_whole_splits(run: RunRecord) -> None:
    def changed(*path: str, by: float) -> RunRecord:
        metrics: Any = json.loads(json.dumps(run.metrics))
        place = metrics
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] += by
        return replace(run, metrics=metrics)

    place = ("full@1", "test", "declared")
    label = run.dataset["labels"][0]
    small = compare(run, changed(*place, "micro_f1", by=0.004), [], [])
    assert small.verdict == WITHIN and small.largest == pytest.approx(0.004)
    assert compare(run, changed(*place, "micro_f1", by=0.02), [], []).verdict == DIFFERENT
    one = compare(run, changed(*place, "per_label", label, "f1", by=0.5), [], [])
    assert one.verdict == WITHIN and one.scores is None
    gone = replace(run, metrics={})
    assert compare(run, gone, [], []).verdict == DIFFERENT
