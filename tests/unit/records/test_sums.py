"""Exports of data that may not be passed on: sums over clusters, from which figures follow."""

from __future__ import annotations

import json
import zipfile
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.boards.entrants import entrant, reader
from harness.boards.rows import tables
from harness.cli import cli
from harness.errors import DataMissingError, UsageError
from harness.records.committed import CommittedRecords, open_records
from harness.records.predictions import Predictions
from harness.records.record import COMPLETE, RunRecord
from harness.records.sums import BOUNDS, LEAST, TABLE, clusters, sums_of
from tests.unit.corpora.felt_files import write_emotify
from tests.unit.records.archives import edited


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Yield the boards of three seeds on closed data, the test samples, their ids and groups."""
    folder = tmp_path_factory.mktemp("closed")
    write_emotify(folder / "data")
    patch = pytest.MonkeyPatch()
    patch.setenv("HARNESS_HOME", str(folder / "home"))
    patch.setenv("HARNESS_DATA", str(folder / "data"))
    for model in ("logistic", "cc"):
        harness.run(model, "emotify", seeds=[0, 1, 2])
    from click.testing import CliRunner

    out = folder / "boards"
    done = CliRunner().invoke(
        cli, ["leaderboard", "--out", str(out), "--export", str(out / "records")]
    )
    assert done.exit_code == 0, done.output
    split = harness.dataset("emotify")["test"]
    yield out, len(split), {*split.ids, *split.groups}
    patch.undo()


def test_an_export_holds_no_ids_truth_or_scores(exported: Any) -> None:
    out, count, ids = exported
    (path,) = (out / "records").iterdir()
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert list(members) == ["records.jsonl", "sums.parquet"]
    table = pq.read_table(pa.BufferReader(members["sums.parquet"]))
    assert table.column_names == TABLE
    text = json.dumps(table.to_pylist()) + members["records.jsonl"].decode()
    assert not any(f'"{name}"' in text for name in ids)
    for row in table.to_pylist():
        sums = row["sums"] if row["counts"] is None else row["counts"]
        assert len(sums) // row["width"] <= count // LEAST


def test_check_is_green_and_names_a_changed_figure(exported: Any) -> None:
    from click.testing import CliRunner

    out, _, _ = exported
    words = ["leaderboard", "--check", "--out", str(out)]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    path = out / "records" / "emotify.records.zip"
    before = path.read_bytes()
    run = next(name for name in CommittedRecords(path.parent).names() if "logistic" in name)
    with edited(path, run) as document:
        document["metrics"][COMPLETE]["test"]["declared"]["micro_f1"] += 0.01
    broken = CliRunner().invoke(cli, words)
    path.write_bytes(before)
    assert broken.exit_code == 1 and "micro_f1 declared" in broken.output
    assert "not recomputed" in (out / "emotify.md").read_text("utf-8")


def test_intervals_and_tests_follow_from_the_export(exported: Any) -> None:
    out, _, _ = exported
    store = open_records(out / "records")
    records = [r for r in store.all() if r.role == "model"]
    table = next(t for t in tables(records) if t.place.dropout == COMPLETE)
    read = reader(store)
    rows = {row.label: entrant(row, table.place, read) for row in table.rows}
    for row in table.rows:
        stored = [r.metrics[COMPLETE]["test"]["declared"]["micro_f1"] for r in row.records]
        np.testing.assert_allclose(rows[row.label].measured("micro_f1").scores, stored, atol=1e-12)
    one, other = rows.values()
    assert one.samples == other.samples and one.num_groups == other.num_groups > 5
    with pytest.raises(UsageError, match="where data may not be passed on"):
        one.parts[0].sums("micro_ap")
    with pytest.raises(DataMissingError, match="may not be passed on"):
        store.parts(records[0])
    board = (out / "emotify.md").read_text("utf-8")
    assert "[95 %]" in board
    words = ["compare", "logistic", "cc", "--dataset", "emotify"]
    from click.testing import CliRunner

    done = CliRunner().invoke(cli, [*words, "--records", str(out / "records")])
    assert done.exit_code == 0, done.output


@given(st.lists(st.integers(0, 40), min_size=12, max_size=300), st.text("ab", max_size=3))
def test_clusters_are_large_enough_and_hold_whole_groups(sizes: list[int], salt: str) -> None:
    groups = [f"g{size}" for size in sizes]
    own = clusters(groups, salt)
    assert own == clusters(groups, salt) and len(own) == len(groups)
    cluster_of = dict(zip(groups, own, strict=True))
    assert [cluster_of[group] for group in groups] == own
    counts = {c: own.count(c) for c in set(own)}
    assert all(count >= LEAST for count in counts.values())
    assert sorted(counts) == [f"{i:04d}" for i in range(len(counts))]


def test_numbers_do_not_follow_names() -> None:
    names = [f"video-{i:03d}" for i in range(200) for _ in range(LEAST)]
    order = [int(c) for c in clusters(names, "x")[::LEAST]]
    assert sorted(order) == list(range(200)) and abs(np.corrcoef(order, range(200))[0, 1]) < 0.25


def test_figures_by_decisions_of_their_own_are_not_exported_as_sums() -> None:
    """A ceiling's Jaccard is that of its best sets, which no threshold on its scores gives."""
    protocol, truth = "drop-t@1", np.array([[1, 0], [1, 1], [0, 1]], dtype=np.uint8)
    figures = {"micro_f1": 1.0, "jaccard": 0.4, "hamming": 0.1}
    record = SimpleNamespace(
        role="ceiling", facts={BOUNDS: ["hamming", "jaccard"]}, threshold={"declared": 0.5},
        protocols={"dropout": {}}, metrics={protocol: {"test": {"declared": figures}}},
        dataset={"labels": ["a", "b"], "content_hash": "0" * 64, "label_kind": "multilabel"},
    )  # fmt: skip
    part = Predictions("test", protocol, ("x", "y", "z"), ("x", "y", "z"), truth * 0.9, truth)
    found = sums_of(cast(RunRecord, record), part)
    assert set(found.parts) == {("declared", "micro_f1")}
    assert found.disagreements(cast(RunRecord, record)) == []
    record.facts = {}
    again = sums_of(cast(RunRecord, record), part)
    assert len(again.disagreements(cast(RunRecord, record))) == 2
