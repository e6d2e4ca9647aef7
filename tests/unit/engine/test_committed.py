"""Exported records: boards follow from them to the byte, and metrics from their scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import harness
from harness.boards.entrants import entrant, reader
from harness.boards.rows import tables
from harness.cli import cli
from harness.engine.recompute import disagreements
from harness.errors import DataFormatError, DataMissingError
from harness.records.archive import Held, archives
from harness.records.committed import CommittedRecords, export, open_records, truth_path
from harness.records.predictions import predictions_file, read_predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore
from tests.unit.records.archives import edited, members

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
    assert list(stored) == ["toy.records.zip"] and len(stored["toy.records.zip"]) < 60_000
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
    for protocol, line in (("full@1", "full@1 test tuned micro_f1"),
                           ("only-a@1", "only-a@1 micro_f1 tuned (sums give")):  # fmt: skip
        with edited(copies / "toy.records.zip", made[0].id) as document:
            document["metrics"][protocol]["test"]["tuned"]["micro_f1"] += 0.01
        done = leaderboard("--check", "--out", str(out))
        assert done.exit_code == 1 and line in done.output
        with edited(copies / "toy.records.zip", made[0].id) as document:
            document["metrics"][protocol]["test"]["tuned"]["micro_f1"] -= 0.01
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
    path = tmp_path / "toy.records.zip"
    with edited(path, made[0].id) as document:
        document["seed"] = "0"
    assert len(committed.all()) == 2 and "seed" in committed.broken[0].reason
    with members(path) as held:
        del held["scores.parquet"]
    with pytest.raises(DataMissingError, match="has no predictions"):
        CommittedRecords(tmp_path).parts(made[0])
    path.write_bytes(path.read_bytes()[:-200])
    assert committed.all() == [] and "toy.records.zip is damaged" in committed.broken[0].reason
    with pytest.raises(DataFormatError, match=r"is damaged.*Remove it, and export again"):
        export(made, RunStore(), tmp_path)
    done = leaderboard("--records", str(tmp_path), "--out", str(tmp_path / "boards"))
    assert done.exit_code == 2 and "is damaged" in done.output


def test_sums_stand_in_the_place_of_predictions_under_dropout(
    made: list[RunRecord], tmp_path: Path
) -> None:
    """Every figure of decisions follows from them, and micro-F1 with its intervals."""
    export(made, RunStore(), tmp_path)
    committed, read = CommittedRecords(tmp_path), reader(RunStore())
    good = [r for r in committed.all() if r.status == "ok"]
    for record in good:
        found = committed.every_sums(record)
        assert {one.protocol for one in found} == {p for p in record.metrics if p != "full@1"}
        for one in found:
            assert one.disagreements(record) == []
            followed = {name for threshold, name in one.parts if threshold == "tuned"}
            figures = record.metrics[one.protocol]["test"]["tuned"]
            assert {n for n, v in figures.items() if isinstance(v, float)} - followed == {
                name for name in figures if name.endswith("ap")
            }
            assert one.resampled(tuned=True) == ["micro_f1"] and one.clusters > 5
    table = next(t for t in tables(good) if t.place.dropout == "only-a@1")
    (row,) = table.rows
    summed, whole = (
        entrant(row, table.place, source, tuned=True) for source in (reader(committed), read)
    )
    ours, theirs = summed.measured("micro_f1"), whole.measured("micro_f1")
    assert np.array_equal(ours.parts[0].sums.rows, theirs.parts[0].sums.rows)
    assert ours.samples == theirs.samples


def test_runs_with_files_of_their_own_move_into_the_file_of_their_board(
    made: list[RunRecord], tmp_path: Path
) -> None:
    record, other = made[0], made[1]
    (tmp_path / f"{record.id}.json").write_text(record.to_json())
    truth = RunStore().parts(record, ("test", "full@1"))[0]
    columns = {"id": list(truth.ids), "group": list(truth.groups)}
    labels = record.dataset["labels"]
    columns |= {f"truth:{n}": truth.truth[:, i] for i, n in enumerate(labels)}
    pq.write_table(pa.table(columns), truth_path(tmp_path, record))
    scores = {"protocol": ["full@1"] * 40, "row": np.arange(40, dtype=np.int32)}
    scores |= {f"score:{n}": truth.scores[:, i] for i, n in enumerate(labels)}
    pq.write_table(pa.table(scores), tmp_path / f"{record.id}.parquet")
    before = CommittedRecords(tmp_path).parts(record)
    export([other], RunStore(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.records.zip"]
    found = CommittedRecords(tmp_path)
    assert found.names() == sorted([record.id, other.id])
    assert np.array_equal(found.parts(record)[0].scores, before[0].scores)


def test_a_large_board_is_divided(
    made: list[RunRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(made, RunStore(), tmp_path)
    whole = CommittedRecords(tmp_path).all()
    size = (tmp_path / "toy.records.zip").stat().st_size
    monkeypatch.setattr("harness.records.archive.LARGEST", size - 1)
    export(made, RunStore(), tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) > 1 and files[0].name == "toy.2.records.zip"
    assert all(path.stat().st_size < size for path in files)
    divided = CommittedRecords(tmp_path)
    assert divided.all() == whole and len(divided.parts(made[0])) == 1
    monkeypatch.setattr("harness.records.archive.LARGEST", 2_000_000)
    export(made, RunStore(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.records.zip"]


def test_a_trial_takes_less_than_a_kilobyte(made: list[RunRecord], tmp_path: Path) -> None:
    trials = [
        replace(made[0], id=f"toy-toy-s0-{i:012x}", fingerprint=f"{i:064x}", role="trial",
                config=made[0].config | {"training": {"lr": 1e-3 * (1 + i / 7)}},
                metrics={"full@1": {"valid": made[0].metrics["full@1"]["test"]}})
        for i in range(1, 33)
    ]  # fmt: skip
    (one,) = archives("toy", [Held(made[0])]).values()
    (many,) = archives("toy", [Held(made[0]), *map(Held, trials)]).values()
    assert len(many) - len(one) < 32 * 500
    (tmp_path / "toy.records.zip").write_bytes(many)
    found = [r for r in CommittedRecords(tmp_path).all() if r.role == "trial"]
    assert len(found) == 32 and found[0].config == trials[0].config
    assert set(found[0].metrics["full@1"]["valid"]["tuned"]) == {"micro_f1"}
