"""Whole runs of toy models: records, reuse, resume to the same bits, failures, references."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import harness
from harness.api import rescore
from harness.engine import loop
from harness.errors import StorageError, UsageError
from harness.records.predictions import read_predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore

TOY = str(Path(__file__).with_name("toy_plugin.py"))
SHORT = ("training.epochs=4", "training.batch_size=16", "training.lr=0.02")


@pytest.fixture(autouse=True)
def only_the_toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")


def run(model: str = "toy", dataset: str = "toy", *sets: str, **options: Any) -> list[RunRecord]:
    options = {"device": "cpu", "references": False, "plugins": (TOY,), **options}
    return harness.run(model, dataset, overrides=(*SHORT, *sets), **options)


def one(*args: str, **options: Any) -> RunRecord:
    (record,) = run(*args, **options)
    return record


def same_result(a: RunRecord, b: RunRecord) -> bool:
    logs = [[{**e, "seconds": 0, "cpu_s": 0} for e in r.epochs] for r in (a, b)]
    return (a.metrics, a.selection, a.threshold, logs[0]) == (
        b.metrics, b.selection, b.threshold, logs[1]
    )  # fmt: skip


def tensors(record: RunRecord) -> bytes:
    return (RunStore().folder(record.id) / "checkpoint.safetensors").read_bytes()


def test_a_run_writes_its_folder_and_learns() -> None:
    record = one("toy", "toy", "training.epochs=30")
    folder = RunStore().folder(record.id)
    assert sorted(p.name for p in folder.iterdir()) == [
        "checkpoint.json", "checkpoint.safetensors", "epochs.csv", "predictions.parquet",
        "record.json",
    ]  # fmt: skip
    assert record.metrics["full@1"]["test"]["declared"]["micro_f1"] > 0.7
    assert record.status == "ok" and record.parameters == (5 * 8 + 8) + (8 * 4 + 4)
    assert record.dataset["splits"] == {"train": 70, "valid": 30, "test": 40}
    assert len((folder / "epochs.csv").read_text().splitlines()) == 31
    assert RunStore().find(record.id) == record
    text = json.dumps(record.as_dict())
    assert str(folder.parent) not in text and str(Path.home()) not in text


def test_selection_is_the_best_validation_epoch_ties_to_the_later() -> None:
    record = one("toy", "toy", "training.epochs=12")
    values = [e["valid"]["tuned_micro_f1"] for e in record.epochs]
    best = max(i for i, v in enumerate(values) if v == max(values))
    assert record.selection is not None
    assert (record.selection["epoch"], record.selection["value"]) == (best, values[best])
    assert record.selection["metric"] == "tuned_micro_f1"
    assert record.metrics["full@1"]["valid"]["tuned"]["micro_f1"] == values[best]


def test_without_validation_the_last_epoch_counts_and_the_record_says_so() -> None:
    record = one("toy", "toy-two-splits")
    assert record.selection is not None
    assert record.selection["rule"].startswith("last epoch") and record.selection["epoch"] == 3
    assert record.threshold["tuned"] is None
    assert list(record.metrics["full@1"]) == ["test"]


def test_single_label_data() -> None:
    record = one("toy", "toy-single", "training.epochs=20")
    assert record.metrics["full@1"]["test"]["declared"]["accuracy"] > 0.4
    assert record.selection is not None and record.selection["metric"] == "macro_f1"


def test_same_seed_same_bits_other_seed_other_bits_and_rng_untouched() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = one()
    stored = tensors(first)
    torch.rand(7)
    again = one(rerun=True)
    assert same_result(first, again) and tensors(again) == stored
    torch.manual_seed(3)
    other = one(seeds=(1,))
    assert torch.equal(torch.get_rng_state(), before)
    assert other.id != first.id and tensors(other) != stored


def test_manual_stepping_equals_automatic() -> None:
    first, second = one("toy"), one("toy-manual")
    assert tensors(first) == tensors(second) and same_result(first, second)


def test_a_finished_run_is_reported_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    first = one()
    monkeypatch.setattr(loop.Trainer, "run", lambda self: pytest.fail("trained again"))
    told: list[str] = []
    assert one(notify=told.append) == first
    assert any("already done" in t for t in told)


def test_an_edited_plugin_file_is_another_run(tmp_path: Path) -> None:
    copy = tmp_path / "toy_plugin.py"
    source = Path(TOY).read_text()
    copy.write_text(source)
    first = one(plugins=(str(copy),))
    copy.write_text(source.replace("nn.Dropout(0.3)", "nn.Dropout(0.1)"))
    second = one(plugins=(str(copy),))
    assert first.id != second.id and not same_result(first, second)


def test_further_protocols_are_added_without_training(monkeypatch: pytest.MonkeyPatch) -> None:
    first = one()
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "run", lambda self: pytest.fail("trained again"))
        second = one(dropout=("core@1",))
    assert second.id == first.id and len(second.metrics) == 2 * 2 + 1 + 7
    assert second.metrics["full@1"] == first.metrics["full@1"]
    protocol = second.protocols["dropout"]["random-0.3@1"]["test"]
    assert 0 < protocol["eta_hat"] < 0.6 and len(protocol["digest"]) == 64
    assert one() == second
    at_once = one(dropout=("core@1",), rerun=True)
    assert same_result(second, at_once)


def test_dropping_a_modality_hides_it_from_the_model() -> None:
    record = one("toy", "toy", "training.epochs=30", dropout=("only-a",))
    full, only = (record.metrics[p]["test"]["declared"] for p in ("full@1", "only-a@1"))
    assert only["micro_ap"] < full["micro_ap"] - 0.05


def test_train_mix_changes_training_and_selects_on_core() -> None:
    plain, mixed = one(), one("toy", "toy", "training.train_dropout=train-mix@1")
    assert plain.id != mixed.id and tensors(plain) != tensors(mixed)
    assert mixed.selection is not None
    own = mixed.metrics["full@1"]["valid"]["tuned"]["micro_f1"]
    assert mixed.selection["value"] != own


def test_predictions_of_the_file_give_the_record() -> None:
    record = one(dropout=("smoke@1",))
    labels, parts = read_predictions(RunStore().predictions(record.id))
    assert labels == ("a", "b", "c", "d")
    assert {(p.split, p.protocol) for p in parts} >= {("valid", "full@1"), ("test", "only-t@1")}
    assert all(p.scores.dtype == np.float32 for p in parts)
    broken = dataclasses.replace(record, metrics={}, threshold={**record.threshold, "tuned": None})
    assert rescore([broken]) == [record]
    assert RunStore().find(record.id) == record


def test_nan_loss_is_a_row_with_step_terms_and_ids() -> None:
    first, second = run("toy", "toy", "model.blow_up_at=6", seeds=(0, 1))
    assert (first.status, second.status) == ("failed", "failed")
    assert first.failure is not None
    assert (first.failure["epoch"], first.failure["step"]) == (1, 6)
    assert first.failure["terms"]["bce"] is None and first.failure["terms"]["noise"] is not None
    assert len(first.failure["ids"]) == 16 and first.failure["ids"][0].startswith("train")
    assert len(first.epochs) == 1 and first.metrics == {}
    assert RunStore().find(first.id) == first


@pytest.mark.parametrize("fault", ["build", "training_step", "predict_step", "range", "fit"])
def test_whatever_a_model_raises_is_a_row_with_the_reason(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "toy-prior" if fault == "fit" else "toy"
    told: list[str] = []
    record = one(name, "toy", f"model.fault={fault}", notify=told.append)
    assert record.status == "failed" and record.failure is not None
    reason = record.failure["reason"]
    assert "plugin 'toy_plugin'" in reason and f"model '{name}'" in reason
    if fault == "range":
        assert "must lie in [0, 1]" in reason
    else:
        assert f": made to fail in {fault} (toy_plugin.py, line " in reason
    assert RunStore().find(record.id) == record
    folder = RunStore().folder(record.id)
    assert [p.name for p in folder.iterdir() if p.name != "epochs.csv"] == ["record.json"]
    assert not any("Traceback" in t for t in told)
    monkeypatch.setenv("HARNESS_DEBUG", "1")
    one(name, "toy", f"model.fault={fault}", notify=told.append)
    assert any("Traceback" in t for t in told) == (fault != "range")


def test_a_disk_that_fills_up_is_no_fault_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("harness.records.artefacts.Transaction.write", full)
    with pytest.raises(StorageError, match="disk is full"):
        one()
    assert RunStore().all() == []


def test_the_command_of_a_record_names_its_plugin_without_a_path() -> None:
    record = one(protocol="toy@1", mask="ones")
    assert "--plugin toy_plugin.py" in record.command and "/" not in record.command


def test_patience_ends_a_run() -> None:
    record = one("toy", "toy", "training.epochs=40", "training.lr=0.0", "training.patience=2")
    # With a rate of 0 every epoch ties, and ties move the best epoch on.
    assert len(record.epochs) == 40
    record = one("toy", "toy", "training.epochs=200", "training.lr=0.05", "training.patience=2")
    assert record.selection is not None
    assert len(record.epochs) == record.selection["epoch"] + 3 < 200


def test_patience_counts_from_the_first_epoch_that_may_be_selected() -> None:
    settings = ("training.epochs=200", "training.lr=0.05", "training.patience=2")
    before = one("toy", "toy", *settings).selection
    assert before is not None
    start = before["epoch"] + 10
    record = one("toy", "toy", *settings, f"model.selects_from={start}")
    assert record.selection is not None and record.selection["epoch"] >= start
    assert len(record.epochs) == record.selection["epoch"] + 3 < 200
    record = one("toy", "toy", "training.epochs=3", "model.selects_from=5")
    assert record.selection is not None and record.selection["epoch"] == 2


def test_a_short_batch_is_kept_where_it_is_the_only_one() -> None:
    record = one("toy", "toy", "training.batch_size=100", "training.drop_last=true")
    assert record.status == "ok"


def test_fit_once_models_and_references() -> None:
    record = one(references=True, dropout=("only-t@1",))
    rows = {r.model["name"]: r for r in RunStore().all()}
    assert set(rows) == {"toy", "toy-prior"}
    prior = rows["toy-prior"]
    assert prior.role == "trivial" and prior.facts["seen"] == [32.0, 32.0, 6.0]
    assert set(prior.metrics) == set(record.metrics)
    assert prior.selection is None and prior.epochs == []


def test_a_length_of_training_is_told_to_be_idle_where_a_model_is_fitted_at_once() -> None:
    told: list[str] = []
    options: Any = {"overrides": ["training.epochs=2"], "device": "cpu", "references": False}
    for model in ("toy-prior", "toy"):
        harness.run(model, "toy", plugins=(TOY,), notify=told.append, **options)
    idle = [line for line in told if "fitted at once" in line]
    assert idle == ["toy-prior is fitted at once: training.epochs changes nothing but its row."]


def test_a_model_fitted_at_once_sees_the_first_epochs_masks() -> None:
    missing = one("toy-prior", "toy").facts["missing"]
    assert missing[0] == missing[1]
    dropped = one("toy-prior", "toy", "training.train_dropout=train-mix@1").facts["missing"]
    assert dropped[0] == missing[0] < dropped[1]
    every = one("toy-prior", "toy", "training.train_dropout=train-patterns@1").facts["missing"]
    assert every[0] == missing[0] and every[1] > dropped[1]


def test_bad_requests() -> None:
    with pytest.raises(UsageError, match="layout grid"):
        run("toy-grid")
    with pytest.raises(UsageError, match="Did you mean 'toy'"):
        run("toyy")
    with pytest.raises(UsageError, match="mask option"):
        run(mask="length")
    with pytest.raises(UsageError, match="given as --mask length"):
        run(protocol="length")
    with pytest.raises(UsageError, match=r"given as --mask ones \(and --protocol toy@1\)"):
        run(protocol="toy@1+ones")
    with pytest.raises(UsageError, match="give it as --dropout only-t@1"):
        run(protocol="only-t@1")
    with pytest.raises(UsageError, match="that of toy is 'toy@1'"):
        run(protocol="toy@2")
    with pytest.raises(UsageError, match="negative"):
        run(seeds=(-1,))


def script(*sets: str) -> list[str]:
    code = (
        "import harness; harness.run('toy', 'toy', overrides="
        f"{(*SHORT, *sets)!r}, device='cpu', references=False, plugins=({TOY!r},))"
    )
    return [sys.executable, "-c", code]


@pytest.mark.parametrize("epoch", [1, pytest.param(3, marks=pytest.mark.full)])
def test_killed_and_run_again_gives_the_same_bits(
    epoch: int, own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = f"model.die_at_epoch={epoch}"
    threads = str(torch.get_num_threads())
    environment = {**os.environ, "TOY_DIES": "1", "OMP_NUM_THREADS": threads}
    done = subprocess.run(script(setting), env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    (folder,) = (p for p in RunStore().root.iterdir() if p.name != ".leases")
    assert (folder / "resume" / "state.json").is_file()
    assert not (folder / "record.json").exists()
    told: list[str] = []
    resumed = one("toy", "toy", setting, notify=told.append)
    assert resumed.id == folder.name and any(f"after epoch {epoch}." in t for t in told), told
    assert not (folder / "resume").exists()
    stored = tensors(resumed)
    whole = one("toy", "toy", setting, rerun=True)
    assert same_result(resumed, whole) and tensors(whole) == stored


def test_interrupt_leaves_a_state_to_go_on_from(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = loop.Trainer._steps

    def interrupted(self: loop.Trainer, ctx: Any) -> dict[str, float]:
        if ctx.epoch == 2:
            raise KeyboardInterrupt
        return steps(self, ctx)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_steps", interrupted)
        with pytest.raises(KeyboardInterrupt):
            one()
    assert RunStore().all() == []
    resumed = one()
    assert same_result(resumed, one(rerun=True))


def test_a_run_of_an_earlier_schema_is_found_again() -> None:
    record, runs, told = one(), RunStore(), list[str]()
    old = dataclasses.replace(record, id=f"{record.id[:-12]}{'0' * 12}")
    runs.folder(record.id).rename(runs.folder(old.id))
    runs.write(old)
    again = one(dropout="only-t@1", notify=told.append)
    assert again.id == old.id and set(again.metrics) == {"full@1", "only-t@1"}
    assert [r.id for r in runs.all()] == [old.id]
    assert any("evaluating 1 further" in line for line in told)


def test_changed_code_is_announced_and_trained_again(monkeypatch: pytest.MonkeyPatch) -> None:
    record, told = one(), list[str]()
    assert record.model["code"] is not None and record.budget["steps"] > 0
    assert 0 < record.budget["cpu_s"] == pytest.approx(sum(e["cpu_s"] for e in record.epochs))
    assert record.budget["peak_memory"] > 0 and record.provenance["processor"] != ""
    monkeypatch.setattr("harness.engine.plan.model_digest", lambda entry: "f" * 64)
    again = one(notify=told.append)
    assert again.id != record.id and again.metrics == record.metrics
    announced = f"the code has changed since {record.id} was run; training again."
    assert f"toy on toy, seed 0: {announced}" in told
