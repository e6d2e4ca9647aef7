"""Exported records: boards follow from them to the byte, and metrics from their scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import harness
from harness.cli import cli
from harness.engine.recompute import disagreements
from harness.errors import DataFormatError, DataMissingError
from harness.records.committed import CommittedRecords, export, open_records
from harness.records.predictions import predictions_file, read_predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore

TOY = str(Path(__file__).with_name("toy_plugin.py"))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[RunRecord]:
    """Three runs of the toy, one of them failed."""
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    sets = ("training.epochs=2", "training.batch_size=16")
    options = {"device": "cpu", "references": False, "plugins": (TOY,)}
    good = harness.run("toy", "toy", (0, 1), overrides=sets, dropout=("core@1",), **options)
    bad = harness.run("toy", "toy", (2,), overrides=(*sets, "model.blow_up_at=1"), **options)
    return [*good, *bad]


def leaderboard(*words: str) -> Result:
    return CliRunner().invoke(cli, ["leaderboard", *words])


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}


def test_boards_follow_from_the_export_to_the_byte(made: list[RunRecord], tmp_path: Path) -> None:
    out, copies = tmp_path / "boards", tmp_path / "boards" / "records"
    assert leaderboard("--out", str(out)).exit_code == 0
    direct = contents(out)
    assert leaderboard("--export", str(copies), "--out", str(out)).exit_code == 0
    assert contents(out) == direct
    stored = contents(copies)
    assert len(stored) == 3 + 2 + 1 and sum(map(len, stored.values())) < 100_000
    again = leaderboard("--records", str(copies), "--out", str(tmp_path / "again"))
    assert again.exit_code == 0 and contents(tmp_path / "again") == direct
    leaderboard("--export", str(copies), "--out", str(out))
    assert contents(copies) == stored


def test_check_passes_and_names_what_does_not_follow(made: list[RunRecord], tmp_path: Path) -> None:
    out, copies = tmp_path / "boards", tmp_path / "boards" / "records"
    leaderboard("--export", str(copies), "--out", str(out))
    before = contents(out)
    assert leaderboard("--check", "--out", str(out)).exit_code == 0
    (out / "toy.md").write_text("edited")
    (out / "gone.csv").write_text("")
    done = leaderboard("--check", "--out", str(out))
    assert done.exit_code == 1
    assert "toy.md does not follow" in done.output and "gone.csv has no records" in done.output
    assert (out / "toy.md").read_text() == "edited"
    (out / "toy.md").write_bytes(before["toy.md"])
    (out / "gone.csv").unlink()
    path = copies / f"{made[0].id}.json"
    document = json.loads(path.read_text())
    document["metrics"]["full@1"]["test"]["tuned"]["micro_f1"] += 0.01
    path.write_text(json.dumps(document))
    done = leaderboard("--check", "--out", str(out))
    assert done.exit_code == 1 and "full@1 test tuned micro_f1" in done.output
    assert leaderboard("--check", "--export", str(copies)).exit_code == 2


def test_exported_scores_give_the_metrics_at_both_thresholds(
    made: list[RunRecord], tmp_path: Path
) -> None:
    export(made, RunStore(), tmp_path)
    committed = open_records(tmp_path)
    assert isinstance(committed, CommittedRecords) and isinstance(open_records(RunStore().root),
                                                                  RunStore)  # fmt: skip
    for found, record in zip(committed.all(), sorted(made, key=lambda r: r.id), strict=True):
        assert replace(found, metrics={}) == replace(record, metrics={}, artefacts={})
        assert found.metrics.get("full@1") == record.metrics.get("full@1")
        for protocol, by_split in record.metrics.items():
            kept = found.metrics[protocol]["test"]["declared"]
            whole = by_split["test"]["declared"]
            lost = set() if protocol == "full@1" else {"per_label"}
            assert whole.keys() - kept.keys() == lost
            assert kept == {k: v for k, v in whole.items() if k not in lost}
    for record in made[:2]:
        (part,) = committed.parts(record)
        _, parts = read_predictions(RunStore().predictions(record.id))
        whole = next(p for p in parts if (p.split, p.protocol) == ("test", "full@1"))
        assert part.ids == whole.ids and part.groups == whole.groups
        assert np.array_equal(part.scores, whole.scores) and part.scores.dtype == np.float32
        assert np.array_equal(part.truth, whole.truth)
        assert record.threshold["tuned"] is not None and disagreements(record, [part]) == []
        part.scores[:] = 1 - part.scores
        assert "full@1 test declared micro_f1" in disagreements(record, [part])


def test_a_shuffled_part_of_the_split_is_kept_in_its_order(
    made: list[RunRecord], tmp_path: Path
) -> None:
    record, other = made[0], made[1]
    path = RunStore().predictions(record.id)
    labels, parts = read_predictions(path)
    rows = np.array([7, 3, 11])
    some = [
        replace(p, ids=tuple(p.ids[i] for i in rows), groups=tuple(p.groups[i] for i in rows),
                scores=p.scores[rows], truth=p.truth[rows])
        for p in parts
    ]  # fmt: skip
    record = RunStore().write(record, {path.name: predictions_file(some, labels)})
    export([record, other], RunStore(), tmp_path)
    (part,) = CommittedRecords(tmp_path).parts(record)
    assert part.ids == some[-1].ids and np.array_equal(part.truth, some[-1].truth)
    assert len(CommittedRecords(tmp_path).truth(record).ids) == 40


def test_two_truths_of_one_data_set_are_refused(made: list[RunRecord], tmp_path: Path) -> None:
    path = RunStore().predictions(made[1].id)
    labels, parts = read_predictions(path)
    for part in parts:
        part.truth[0] = 1 - part.truth[0]
    changed = RunStore().write(made[1], {path.name: predictions_file(parts, labels)})
    with pytest.raises(DataFormatError, match="the truth of 'test0' differs"):
        export([made[0], changed, *made[2:]], RunStore(), tmp_path)


def test_missing_and_broken_files_are_named(made: list[RunRecord], tmp_path: Path) -> None:
    export(made, RunStore(), tmp_path)
    committed = CommittedRecords(tmp_path)
    path = tmp_path / f"{made[0].id}.parquet"
    path.write_bytes(b"no")
    with pytest.raises(DataFormatError, match="not a readable parquet"):
        committed.parts(made[0])
    path.unlink()
    with pytest.raises(DataMissingError, match=r"parquet is missing"):
        committed.parts(made[0])
    (tmp_path / f"{made[0].id}.json").write_text("{}")
    assert len(committed.all()) == 2 and len(committed.broken) == 1
