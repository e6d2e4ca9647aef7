"""Boards: what may stand in one table, how it is averaged, and that nothing changes by itself."""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.boards.aggregate import aggregate
from harness.boards.board import Board, build_boards, write_board
from harness.boards.collect import collect
from harness.boards.reported import read_reported, reported_by_plugins
from harness.boards.tables import csv_text, json_text, markdown
from harness.errors import DataFormatError
from harness.records.record import RunRecord
from harness.records.store import RunStore
from harness.registry import load

PUBLISHED = """
source: "A paper"
fake:
  metrics: [accuracy, precision, recall, micro_f1]
  swapped: [one]
  rows:
    one: [0.5, 0.7, 0.6, 0.65]
    two: [0.4, 0.3, 0.2, null]
notes:
  - {tables: [fake], text: "Doubtful."}
  - {tables: [other], text: "Elsewhere."}
"""


def record(
    model: str = "one",
    seed: int = 0,
    f1: float | None = 0.5,
    *,
    dataset: str = "fake",
    content: str = "aaa",
    mask: str = "ones",
    dropout: str = "full@1",
    digest: str = "d",
    train_dropout: str = "full@1",
    role: str = "model",
    preset: str = "paper",
    hidden: int = 8,
    created: str = "2026-01-01T00:00:00Z",
    kind: str = "multilabel",
) -> RunRecord:
    """Return a made record; ``f1=None`` makes a failed one."""
    identity = (model, seed, dataset, content, mask, dropout, digest, train_dropout, preset)
    digits = hashlib.sha256(repr((*identity, hidden, created)).encode()).hexdigest()
    scored: dict[str, Any] = {"micro_f1": f1, "jaccard": 0.4, "micro_ap": None, "per_label": {}}
    ok = f1 is not None
    return RunRecord(
        id=f"{model}-{dataset}-s{seed}-{digits[-12:]}",
        fingerprint=digits,
        status="ok" if ok else "failed",
        role=role,  # type: ignore[arg-type]
        model={"name": model, "version": "1", "variant": "", "reported_as": model.upper(),
               "plugin": "p", "distribution": "d", "distribution_version": "1"},
        dataset={"name": dataset, "base_name": dataset.removesuffix("-twin"), "id": f"{dataset}@1",
                 "source": "twin" if dataset.endswith("-twin") else "real",
                 "content_hash": content, "mask": mask, "layout": "sequence", "label_kind": kind,
                 "labels": ["a", "b"], "group_key": "video", "modalities": ["text"],
                 "splits": {"train": 10, "test": 5}},
        config={"preset": preset, "threshold": 0.5, "model": {"hidden": hidden}, "training": {}},
        seed=seed,
        device="cpu",
        precision="fp32",
        protocols={"dataset": f"{dataset}@1", "train_dropout": train_dropout,
                   "selection_metric": "micro_f1",
                   "dropout": {dropout: {"test": {"eta_hat": 0.0, "digest": digest, "seed": 0}}}},
        parameters=3,
        epochs=[],
        selection=None,
        threshold={"declared": 0.5, "tuned": 0.4},
        metrics={dropout: {"test": {"declared": scored, "tuned": {"micro_f1": 0.9}}}} if ok else {},
        timings={"train_s": 1.0, "predict_s_per_sample": None, "epochs": 1},
        provenance={},
        facts={},
        command=f"harness run --model {model} --dataset {dataset} --seeds {seed}",
        created=created,
        failure=None if ok else {"reason": "loss is NaN\nin step 3"},
    )  # fmt: skip


def board(*records: RunRecord, reported: str | None = None, tmp: Path | None = None) -> Board:
    if reported is None or tmp is None:
        return build_boards(records)[0]
    (tmp / "published.yaml").write_text(reported)
    return build_boards(records, read_reported(tmp / "published.yaml"))[0]


def test_mean_and_sample_deviation_over_seeds() -> None:
    values = [0.5, 0.6, 0.8]
    rows = board(*(record(seed=s, f1=v) for s, v in enumerate(values))).tables[0].rows
    assert len(rows) == 1 and rows[0].seeds == (0, 1, 2)
    figure = rows[0].figures["micro_f1"]
    assert figure.mean == pytest.approx(sum(values) / 3)
    assert figure.std == pytest.approx(statistics.stdev(values)) and figure.n == 3
    assert rows[0].figures["tuned_micro_f1"].mean == pytest.approx(0.9)
    assert "micro_ap" not in rows[0].figures
    assert "0.6333 ± 0.1528" in markdown(
        board(*(record(seed=s, f1=v) for s, v in enumerate(values)))
    )


@pytest.mark.parametrize(
    "other",
    [
        {"content": "bbb"}, {"mask": "length"}, {"dropout": "random-0.3@1"}, {"digest": "e"},
        {"train_dropout": "train-mix@1"}, {"dropout": "full@2"},
    ],
)  # fmt: skip
def test_what_differs_in_protocol_or_data_is_never_averaged(other: dict[str, Any]) -> None:
    found = board(record(seed=0), record(seed=1, **other))
    assert len(found.tables) == 2
    assert [t.rows[0].figures["micro_f1"].n for t in found.tables] == [1, 1]


def test_twin_and_real_have_boards_of_their_own() -> None:
    boards = build_boards([record(), record(dataset="fake-twin")])
    assert [b.dataset for b in boards] == ["fake", "fake-twin"]
    assert "Generated data" in markdown(boards[1]) and "Generated data" not in markdown(boards[0])


def test_configurations_are_rows_of_their_own_and_named() -> None:
    rows = board(record(hidden=8), record(hidden=16, seed=1), record(preset="quick")).tables[0].rows
    assert sorted(r.setting for r in rows) == [
        "paper model.hidden=16",
        "paper model.hidden=8",
        "quick",
    ]


def test_what_the_user_set_is_named_even_on_a_row_alone() -> None:
    run = replace(record(), command="harness run --model one --seeds 0 --set training.epochs=2")
    assert board(run).tables[0].rows[0].setting == "paper training.epochs=2"


def test_one_command_reproduces_all_seeds() -> None:
    text = markdown(board(*(record(seed=s) for s in (2, 0, 1))))
    assert text.count("harness run") == 1
    assert "harness run --model one --dataset fake --seeds 0,1,2\nharness leaderboard" in text


def test_the_newest_run_of_a_seed_counts() -> None:
    old, new = record(f1=0.1), record(f1=0.7, created="2026-02-01T00:00:00Z")
    rows = board(new, old).tables[0].rows
    assert (rows[0].figures["micro_f1"].mean, rows[0].seeds) == (0.7, (0,))


def test_hashes_newest_first_with_a_note() -> None:
    found = board(record(content="old"), record(content="new", created="2026-03-01T00:00:00Z"))
    assert found.hashes == ("new", "old")
    text = markdown(found)
    assert "2 different contents" in text and text.index("`new`") < text.index("`old`")


def test_ceiling_share_and_trivial_rows_reach_every_training_group() -> None:
    runs = [
        record("ceiling", f1=0.8, role="ceiling", dataset="fake-twin"),
        record("prior", f1=0.2, role="trivial", dataset="fake-twin"),
        record("one", f1=0.4, dataset="fake-twin"),
        record("one", f1=0.6, dataset="fake-twin", train_dropout="train-mix@1"),
    ]
    tables = board(*runs).tables
    assert [t.key.train_dropout for t in tables] == ["full@1", "train-mix@1"]
    for table, share in zip(tables, (0.5, 0.75), strict=True):
        assert [r.model for r in table.rows] == ["ceiling", "one", "prior"]
        assert table.rows[1].share == pytest.approx(share)
        assert table.rows[2].share == pytest.approx(0.25)
    assert "50.0 %" in markdown(board(*runs))


def test_failed_runs_are_rows_with_their_reason() -> None:
    found = board(record(), record(seed=1, f1=None))
    assert [f.seed for f in found.tables[0].failures] == [1]
    assert found.tables[0].rows[0].figures["micro_f1"].n == 1
    assert "seed 1 failed: loss is NaN in step 3" in markdown(found)
    alone = board(record(f1=None))
    assert alone.tables[0].rows == () and "failed" in markdown(alone)


def test_reported_figures_stand_apart_and_are_unswapped(tmp_path: Path) -> None:
    found = board(record(), reported=PUBLISHED, tmp=tmp_path)
    measured, _, reported = markdown(found).partition("## Reported figures")
    assert "0.650" not in measured and "Doubtful." in reported and "Elsewhere" not in reported
    one = next(line for line in reported.splitlines() if line.startswith("| one†"))
    assert [c.strip() for c in one.split("|")[2:9]] == [
        "one", "0.500", "0.700", "0.600", "0.650", "0.600", "0.700",
    ]  # fmt: skip
    two = next(line for line in reported.splitlines() if line.startswith("| two"))
    assert [c.strip() for c in two.split("|")[5:9]] == ["0.200", "–", "0.300", "0.200"]
    assert "0.65" not in csv_text(found)


def test_published_figures_of_the_repository_are_readable() -> None:
    tables = reported_by_plugins(load())
    ramer = next(r for r in tables["mosei-aligned"].rows if r.name == "ramer")
    assert (ramer.printed["precision"], ramer.true["precision"]) == (0.668, 0.551)
    assert len(tables["mosei-aligned"].rows) == 10 and not tables["memor-fine"].rows[0].swapped


@pytest.mark.parametrize(
    "text", ["[1]", "fake: {rows: {a: [1]}}", "a: {metrics: [x], rows: {a: 1}}"]
)
def test_malformed_published_figures_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "published.yaml").write_text(text)
    with pytest.raises(DataFormatError, match="expected"):
        read_reported(tmp_path / "published.yaml")


def test_regenerating_changes_no_byte(tmp_path: Path) -> None:
    runs = [record(m, s, 0.1 * s + 0.3) for m in ("one", "two") for s in (0, 1, 2)]
    store = RunStore(tmp_path / "runs")
    for run in runs:
        store.write(run)
    first = [p.read_bytes() for p in write_board(build_boards(store.all())[0], tmp_path / "out")]
    again = build_boards(reversed(store.all()))[0]
    assert [p.read_bytes() for p in write_board(again, tmp_path / "out")] == first
    assert (tmp_path / "out" / "fake.md").is_file()


def test_single_label_boards_have_their_metrics() -> None:
    table = aggregate(collect([record(kind="singlelabel")])[0])
    assert table.figures == ("micro_f1", "accuracy", "macro_f1", "weighted_f1")


def test_csv_and_json_agree() -> None:
    found = board(record(f1=0.123456789))
    document = json.loads(json_text(found))
    assert document["tables"][0]["rows"][0]["figures"]["micro_f1"]["mean"] == 0.123456789
    assert "0.123457" in csv_text(found)


def test_boards_do_not_import_torch() -> None:
    code = "import sys, harness.boards.board, harness.boards.tables; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
