"""`run --compat`: authors' evaluations, marked as such and never on the main board."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import harness
from harness.api import rescore
from harness.boards.board import build_boards
from harness.cli import cli
from harness.engine.compat import kept_order
from harness.engine.printed import printed
from harness.engine.recompute import disagreements
from harness.errors import UsageError
from harness.plugins import load
from harness.records.committed import CommittedRecords, export
from harness.records.predictions import Predictions, read_predictions, write_predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore

TOY = str(Path(__file__).with_name("toy_plugin.py"))
SHORT = ("training.epochs=6", "training.batch_size=16", "training.lr=0.05")


@pytest.fixture
def toy_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")


def one(model: str, compat: bool = True, **options: Any) -> RunRecord:
    options = {"device": "cpu", "references": False, "plugins": (TOY,), **options}
    (record,) = harness.run(model, "toy", overrides=SHORT, compat=compat, **options)
    return record


def on_test(record: RunRecord) -> dict[str, Any]:
    found: dict[str, Any] = record.metrics["full@1"]["test"]["declared"]
    return found


def test_the_same_evaluation_gives_the_same_figures_under_another_id(toy_only: None) -> None:
    own, canonical = one("toy-plain"), one("toy-plain", compat=False)
    assert own.id != canonical.id and own.metrics == canonical.metrics
    assert canonical.compat is None and own.compat is not None
    assert own.compat["select"] == "val_f1_later" and "--compat" in own.command
    assert [b.dataset for b in build_boards(RunStore().all())] == ["toy", "toy-compat"]
    for board in build_boards(RunStore().all()):
        assert len(board.tables) == 1 and len(board.tables[0].rows) == 1


def test_first_best_accuracy(toy_only: None) -> None:
    record = one("toy-first")
    values = [e["valid"]["jaccard"] for e in record.epochs]
    assert record.selection is not None and record.selection["metric"] == "jaccard"
    assert record.selection["epoch"] == values.index(max(values))
    assert all(v == round(v, 4) for v in (*values, on_test(record)["jaccard"]))


def test_last_epoch_dropped_batches_and_swapped_figures(toy_only: None) -> None:
    record = one("toy-last")
    assert record.selection is not None and record.selection["epoch"] == 5
    assert record.selection["rule"] == "last epoch"
    _, parts = read_predictions(RunStore().predictions(record.id))
    (part,) = [p for p in parts if p.split == "test"]
    assert len(set(part.ids)) == len(part.ids) == 32
    truth, answers = part.truth.astype(bool), part.scores > 0.5
    assert on_test(record)["micro_r"] == pytest.approx((truth & answers).sum() / answers.sum())
    assert on_test(record)["micro_p"] == pytest.approx((truth & answers).sum() / truth.sum())
    assert record.metrics == rescore([record])[0].metrics
    again = one("toy-last", rerun=True)
    assert again.metrics == record.metrics
    assert [e["valid"] for e in again.epochs] == [e["valid"] for e in record.epochs]


def test_each_metric_from_its_own_best_epoch(toy_only: None, tmp_path: Path) -> None:
    record = one("toy-metric")
    best = {
        m: max(range(6), key=lambda i: (record.epochs[i]["valid"][m], i))
        for m in ("jaccard", "micro_p", "micro_r", "micro_f1")
    }
    assert len(set(best.values())) > 1
    _, parts = read_predictions(RunStore().predictions(record.id))
    by_name = {p.selected_for: p for p in parts if p.split == "test"}
    assert set(by_name) == {"", "jaccard", "micro_p", "micro_r"}
    assert {p.protocol for p in parts} == {"full@1"}
    for metric in ("micro_p", "micro_r"):
        same = best[metric] == best["micro_f1"]
        equal = np.array_equal(by_name[metric].scores, by_name[""].scores)
        assert equal == same
    recall = by_name["micro_r"]
    hits = ((recall.scores > 0.5) & (recall.truth == 1)).sum()
    assert on_test(record)["micro_r"] == pytest.approx(hits / recall.truth.sum())
    assert list(record.metrics) == ["full@1"]
    assert disagreements(record, list(by_name.values())) == []
    assert record.metrics == rescore([record])[0].metrics
    _, (shown,) = read_predictions(RunStore().predictions(record.id), only=("test", "full@1"))
    assert shown.selected_for == ""
    export([record], RunStore(), tmp_path)
    committed = CommittedRecords(tmp_path).parts(record)
    assert [p.selected_for for p in committed] == ["", "jaccard", "micro_p", "micro_r"]


def test_files_with_the_metric_in_the_protocol_are_read(tmp_path: Path) -> None:
    """Files of result version 1 name a part ``full@1#jaccard``."""
    scores, truth = np.full((2, 1), 0.5, np.float32), np.ones((2, 1), np.int8)
    parts = [
        Predictions("test", name, ("a", "b"), ("a", "b"), scores, truth)
        for name in ("full@1", "full@1#jaccard")
    ]
    write_predictions(tmp_path / "p.parquet", parts, ["x"])
    _, found = read_predictions(tmp_path / "p.parquet")
    assert [(p.protocol, p.selected_for) for p in found] == [("full@1", ""), ("full@1", "jaccard")]


def test_exchanged_names_reach_the_model_and_change_nothing_else(toy_only: None) -> None:
    record = one("toy-exchange")
    card = json.loads((RunStore().folder(record.id) / "checkpoint.json").read_text())
    names = [(m["name"], m["dim"]) for m in card["task"]["modalities"]]
    assert names == [("audio", 3), ("text", 2)]
    plain = one("toy-plain", compat=False)
    assert on_test(record)["micro_f1"] == on_test(plain)["micro_f1"]


def test_without_a_known_evaluation_it_is_refused(toy_only: None) -> None:
    with pytest.raises(UsageError, match="no public evaluation of 'toy'"):
        one("toy")
    words = ["run", "--model", "toy-last", "--dataset", "toy-single", "--compat", "--plugin", TOY]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 2 and "multi-label" in done.output


def test_kept_order_leaves_out_a_random_remainder() -> None:
    order = kept_order(126, 64, torch.Generator().manual_seed(0))
    assert order is not None and len(set(order.tolist())) == 64 and order.max() > 64
    assert kept_order(126, 0, torch.Generator()) is None
    assert kept_order(30, 64, torch.Generator()) is None


def test_printing_leaves_the_given_metrics_alone() -> None:
    given = {"full@1": {"test": {"declared": {"jaccard": 0.123456, "micro_p": 0.1, "micro_r": 0.2},
                                 "tuned": None}}}  # fmt: skip
    found = printed({"acc_round": 4, "swap_pr": True}, given)
    declared = found["full@1"]["test"]["declared"]
    assert declared == {"jaccard": 0.1235, "micro_p": 0.2, "micro_r": 0.1}
    assert given["full@1"]["test"]["declared"]["micro_p"] == 0.1
    assert printed(None, given) is given


def test_the_models_with_public_code_say_how_they_are_evaluated() -> None:
    models = load().models
    select = {n: e.spec.compat.select for n, e in models.items() if e.spec.compat is not None}
    assert select == {
        "carat": "val_f1_later", "ramer": "val_f1_later", "ramer-public": "val_f1_later",
        "tailor": "last", "amp": "val_acc_first", "hhmpn": "per_metric_val",
    }  # fmt: skip
    swapped = {n for n, e in models.items() if e.spec.compat and asdict(e.spec.compat)["swap_pr"]}
    assert swapped == {"carat", "ramer", "ramer-public", "tailor"}
