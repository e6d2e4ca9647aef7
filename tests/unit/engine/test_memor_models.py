"""Every registered model trains, predicts and is scored by slice on a small MEmoR tree."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import harness
from harness.api import rescore
from harness.boards.board import board_files, build_boards
from harness.cli import cli
from harness.data.locate import find_store
from harness.engine.evaluate import metrics_at
from harness.engine.recompute import disagreements
from harness.plugins import load
from harness.protocols.metrics import multilabel_metrics
from harness.protocols.thresholds import apply
from harness.records.committed import CommittedRecords
from harness.records.predictions import read_predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore
from harness_corpora.exchanged import HEADINGS, exchanged
from tests.tiny_memor import small_memor

PARTY = ("full@1", "drop-p@1", "nonspeaker@1", "party-silent@1")
SLICES = ("speaker", "nonspeaker", "visible", "invisible")


@pytest.fixture
def tree(own_folders: Path) -> Iterator[Path]:
    with small_memor(own_folders / "data"):
        yield own_folders


def one(model: str, dataset: str = "memor-primary", **options: Any) -> RunRecord:
    options = {"device": "cpu", "references": False, "preset": "quick", **options}
    (record,) = harness.run(model, dataset, overrides=("training.epochs=1",), **options)
    return record


@pytest.mark.full
def test_every_model_runs(tree: Path) -> None:
    words = ["run", "--model", "all", "--dataset", "memor-primary", "--preset", "quick"]
    words += ["--set", "training.epochs=1", "--device", "cpu"]
    done = CliRunner().invoke(cli, [*words, *(w for p in PARTY for w in ("--dropout", p))])
    records = {r.model["name"]: r for r in RunStore().all()}
    failed = {n: r.failure for n, r in records.items() if r.status != "ok"}
    assert not failed and done.exit_code == 0, done.output[-2000:]
    wanted = {n for n, e in load().models.items() if e.spec.role == "model"}
    assert wanted <= records.keys() and len(wanted) >= 19
    for name in wanted:
        assert set(records[name].metrics) == set(PARTY), name
        for protocol in PARTY:
            assert set(records[name].metrics[protocol]["test"]["declared"]["slices"]) == {*SLICES}


@pytest.mark.parametrize("model", ["mdl", "ml-gcn"])  # one is given grids, one their sequence view
def test_slices_follow_from_predictions(tree: Path, model: str) -> None:
    record = one(model, dropout=PARTY)
    (again,) = rescore([record])
    assert again.metrics == record.metrics
    labels, parts = read_predictions(RunStore().predictions(record.id))
    assert disagreements(record, parts) == []
    stored = find_store(load().dataset("memor-primary")).split("test").slices
    assert {(p.protocol, p.split) for p in parts if p.split == "test"} == {
        (p, "test") for p in PARTY
    }
    for part in parts:
        found = record.metrics[part.protocol][part.split]["declared"]["slices"]
        assert list(found) == list(SLICES)
        for name, inside in part.slices.items():
            if part.split == "test":
                np.testing.assert_array_equal(inside, stored[name])
            own = metrics_at(part.scores[inside], part.truth[inside], labels, "singlelabel", 0.0)
            assert found[name]["samples"] == inside.sum() > 0
            assert found[name]["accuracy"] == pytest.approx(own["accuracy"])
            assert "per_label" not in found[name]
    digests = record.protocols["dropout"]
    assert len({digests[p]["test"]["digest"] for p in PARTY}) >= 3

    out, copies = tree / "boards", tree / "boards" / "records"
    words = ["leaderboard", "--export", str(copies), "--out", str(out)]
    assert CliRunner().invoke(cli, words).exit_code == 0
    text = (out / "memor-primary-slices.md").read_text()
    assert text.count("## Scored under full@1") == text.count("## Scored under") == 1
    lines = list(csv.DictReader((out / "memor-primary-slices.csv").read_text().splitlines()))
    assert len(lines) == len(PARTY) * len(SLICES) * 3  # a line a metric
    value = record.metrics["drop-p@1"]["test"]["declared"]["slices"]["nonspeaker"]["micro_f1"]
    wanted = ("drop-p@1", "nonspeaker", "micro_f1")
    (line,) = [r for r in lines if (r["dropout"], r["slice"], r["metric"]) == wanted]
    assert float(line["mean"]) == pytest.approx(value, abs=1e-6)
    committed = CommittedRecords(copies)
    # MEmoR may not be passed on: sums over clusters stand in the place of predictions.
    assert committed.sums(record).disagreements(record) == []
    check = ["leaderboard", "--records", str(copies), "--out", str(out), "--check"]
    assert CliRunner().invoke(cli, check).exit_code == 0


def test_clip_diagnostic_is_scored_both_ways(tree: Path) -> None:
    dataset = "memor-primary-clip-multilabel"
    record = one("ml-gcn", dataset, dropout=("full@1", "drop-v@1"))
    assert record.status == "ok" and record.dataset["label_kind"] == "multilabel"
    labels, parts = read_predictions(RunStore().predictions(record.id))
    (part,) = [p for p in parts if (p.split, p.protocol) == ("test", "full@1")]
    assert not part.slices and max(part.truth.sum(axis=1)) > 1
    clips = {
        i.rsplit("#", 1)[0] for i in find_store(load().dataset("memor-primary")).split("test").ids
    }
    assert set(part.ids) == clips
    decided = apply(part.scores, record.threshold["declared"])
    wanted = multilabel_metrics(decided, part.truth.astype(np.uint8), None, labels)
    found = exchanged(record.metrics["full@1"]["test"]["declared"])
    for name in HEADINGS:
        assert found[name] == pytest.approx(wanted[name]), name
    (board,) = build_boards([record])
    texts = board_files(board, load())
    both = json.loads(texts[f"{dataset}-exchanged.json"])["grids"]
    assert [grid["facts"]["dropout"] for grid in both] == ["full@1", "drop-v@1"]
    row = both[0]["rows"][0]
    assert row["swapped_micro_p"] == row["correct_micro_r"] != row["correct_micro_p"]
    assert f"{dataset}-slices.md" not in texts
    (main,) = build_boards([one("ml-gcn")])
    names = board_files(main, load())
    assert "memor-primary-slices.csv" in names and not any("exchanged" in n for n in names)


def test_exchanged_equals_scoring_with_labels_and_predictions_exchanged() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth, decided = (rng.random((9, 4)) < rng.random(4) for _ in range(2))
        names = ("a", "b", "c", "d")
        wanted = multilabel_metrics(decided, truth, None, names)
        found = exchanged(multilabel_metrics(truth, decided, None, names))
        assert found == {n: pytest.approx(wanted[n]) for n in HEADINGS}
