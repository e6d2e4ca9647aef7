"""One run from plan to record: find it, or train, select, evaluate and write it down."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from harness.conformance import check_facts
from harness.engine.checkpoint import (
    CARD,
    TENSORS,
    checkpoint_of,
    parse_checkpoint,
    restore,
)
from harness.engine.checks import RunChecks
from harness.engine.compiled import compile_cache, compiled
from harness.engine.device import instruction_set
from harness.engine.diagnose import offers_diagnostics, with_diagnostics
from harness.engine.evaluate import FULL, TEST
from harness.engine.evaluation import Evaluation
from harness.engine.faults import blamed, plugin_faults
from harness.engine.further import complete, with_splits_of
from harness.engine.loop import Trained, Trainer, cpu_of, fit_once
from harness.engine.losses import LossNotFiniteError
from harness.engine.patterns import RunScorer
from harness.engine.plan import RunPlan, dataset_facts, model_facts
from harness.engine.progress import TrainingProgress
from harness.engine.seeds import derive_seed, isolated_rng
from harness.engine.state import ResumeFolder
from harness.engine.trackers import TrackedHooks, trackers_named
from harness.engine.trials import settings_tried, trial_facts
from harness.errors import DataFormatError, RunFailedError
from harness.model import ModelPlugin
from harness.protocols.dropout import parse
from harness.records.fingerprint import RESULT_VERSION
from harness.records.leases import RunHeldError
from harness.records.predictions import predictions_file
from harness.records.provenance import collect, merge_plugins, now
from harness.records.record import DIAGNOSTICS, RunRecord, finite
from harness.records.request import command_of
from harness.records.scorings import counted
from harness.records.store import PREDICTIONS, RunStore

EPOCHS = "epochs.csv"
RESUME = "resume"
# A failed run has no results, nor those of an earlier one.
NO_RESULTS = dict.fromkeys((PREDICTIONS, TENSORS, CARD, EPOCHS))


def run_one(plan: RunPlan, runs: RunStore, *, wait: bool = True) -> RunRecord:
    """Return the record of a plan: found again where it is finished, made where it is not.

    Splits and protocols that a finished run was not scored under are added from its checkpoint,
    without training. A run that an earlier process left unfinished goes on at its last epoch. One
    that ends without a result (a NaN loss, an error in the model's code) is a ``failed`` record.

    Args:
        plan: what to run.
        runs: where its folder is.
        wait: for another process that makes the same run, else `RunHeldError` says which it is.
    """

    def waiting(held: RunHeldError) -> None:
        if not wait:
            raise held
        plan.request.notify(f"{plan.title}: {held.holder} runs it; waiting for it to end.")

    compiling = compile_cache(plan.compiled) if plan.request.compile else nullcontext()
    with runs.lock(plan.id, waiting), isolated_rng(), plan.compute.deterministic(), compiling:
        found = _finished(plan, runs)
        if found is None or plan.request.rerun:
            return _diagnosed(plan, runs, _Run(with_splits_of(plan, runs, found), runs).make())
        with nullcontext() if found.id == plan.id else runs.lock(found.id, waiting):
            # What an interrupted --rerun left.
            ResumeFolder(runs.folder(found.id) / RESUME).clear()
            return _diagnosed(plan, runs, complete(plan, runs, found))


def fail_one(plan: RunPlan, runs: RunStore, reason: str) -> RunRecord:
    """Return the record of a run whose process ended without a result; its progress stays.

    So does a result that is there: the process ended after it, or while it was repeated.
    """
    with runs.lock(plan.id):
        found, files = None, NO_RESULTS
        try:
            found = runs.find(plan.id)
        except DataFormatError:
            files = {}  # predictions beside a broken record say under what the run was scored
        if found is not None and found.status == "ok":
            return found
        record = _Run(plan, runs).fail(RunFailedError(f"{blamed(plan)}: {reason}"), 0)
        return runs.write(record, files)


def _diagnosed(plan: RunPlan, runs: RunStore, record: RunRecord) -> RunRecord:
    """Return a record with diagnostics where they are asked for and the model offers any.

    The run is stored by then: an error here leaves it as it is.
    """
    if not plan.request.diagnose or record.status != "ok" or DIAGNOSTICS in record.facts:
        return record
    if not offers_diagnostics(plan.model_class):
        plan.request.notify(f"{plan.title}: the model offers no diagnostics.")
        return record
    with plugin_faults(plan, runs.folder(record.id)):
        return with_diagnostics(record, runs, plan.registry, plan.store, plan.compute)


def _finished(plan: RunPlan, runs: RunStore) -> RunRecord | None:
    """Return the finished run of a plan; None: there is none.

    A run of an earlier schema has an id of its own and is the plan's all the same. Where only the
    code differs, that is announced.
    """
    try:
        found = runs.find(plan.id)
    except DataFormatError as error:
        if not plan.request.rerun:
            plan.request.notify(f"{error} It is made again.")
        return None
    if found is not None:
        paused = found.trial is not None and found.trial["stopped"] and plan.request.until is None
        return found if found.status == "ok" and not paused else None
    alike = [r for r in runs.of(plan.entry.spec.name, plan.spec.name, plan.request.seed)
             if r.status == "ok" and plan.asked_alike(r)]  # fmt: skip
    mine = next((r for r in alike if plan.of_this_code(r)), None)
    if mine is None and alike:
        older = max(alike, key=lambda r: r.created)
        plan.request.notify(
            f"{plan.title}: the code has changed since {older.id} was run; training again."
        )
    return mine


class _Run:
    """The making of one run, under its lease."""

    def __init__(self, plan: RunPlan, runs: RunStore) -> None:
        self.plan, self.runs = plan, runs
        self.folder = runs.folder(plan.id)
        owned = partial(runs.check, plan.id)
        self.resume = ResumeFolder(self.folder / RESUME, plan.request.notify, owned)
        self.hooks = TrackedHooks(
            plan.registry.hook, trackers_named(plan.request.log), plan.request.notify,
            fresh=plan.request.rerun or not (self.folder / RESUME).exists(),
        )  # fmt: skip
        self.checks: RunChecks | None = None
        self.paused = False
        self.provenance: dict[str, Any] = {}

    def make(self) -> RunRecord:
        plan, hook = self.plan, self.hooks
        if plan.request.rerun:
            self.resume.clear()
        hook.run_start(run=plan.describe())
        self.provenance = plan.registry.hook.provenance()
        plan.compute.reset_peak_memory()
        parameters = 0
        try:
            with plugin_faults(plan, self.folder):
                model = build_model(plan)
                parameters = count_parameters(model)
                checks = self.checks = RunChecks(model, plan.compute)
                with checks.surroundings():
                    trained = self._train(model, checks)
                with checks.surroundings():
                    record, files = self._finish(model, trained, parameters, checks)
                record = replace(record, checks={"warnings": checks.warnings})
        except RunFailedError as error:
            files = NO_RESULTS
            record = self.fail(error, parameters)
        if plan.request.trial is not None:
            record = replace(record, trial=trial_facts(plan, self.runs, record, self.paused))
        record = self.runs.write(record, files)
        if not self.paused:
            self.resume.clear()
        hook.run_end(run=plan.describe(), record=record.as_dict())
        return record

    def _train(self, model: ModelPlugin, checks: RunChecks) -> Trained:
        plan = self.plan
        training, seed = plan.config.training, plan.request.seed
        shown = (plan.store, plan.mask, model, training, plan.config.threshold, seed)
        data, chosen = plan.rules.training_data(*shown), plan.rules.selection(plan.spec)
        long = plan.compute.device.type == "cpu" and plan.config.preset == "paper"
        observer = TrainingProgress(
            plan.title,
            chosen.metric,
            bar=plan.request.bar,
            on_epoch=self._tell_epoch,
            estimate=plan.request.notify if long else None,
            tell=plan.request.notify if plan.request.lines else None,
        )
        if not model.iterative:
            return fit_once(model, training, seed, plan.compute, data, observer, checks)
        step = None
        if plan.request.compile:
            step = compiled(model.predict_step)
            plan.request.notify(f"{plan.title}: compiling; the first steps may take minutes.")

        done = self.resume.load()
        if done is not None:
            plan.request.notify(f"{plan.title}: going on after epoch {done.done}.")
        trainer = Trainer(
            model=model,
            training=training,
            seed=seed,
            compute=plan.compute,
            data=data,
            resume=self.resume,
            observer=observer,
            metric=chosen.metric,
            mode=chosen.mode,
            also=chosen.also,
            scorer=RunScorer(model, plan.compute, step),
            checks=checks,
            compiled=plan.request.compile,
            until=plan.request.until,
        )
        trained = trainer.run()
        self.paused = trainer.paused
        return trained

    def _finish(
        self, model: ModelPlugin, trained: Trained, parameters: int, checks: RunChecks
    ) -> tuple[RunRecord, dict[str, bytes | None]]:
        """Return the record of a trained model and the files beside it."""
        plan = self.plan
        with checks.surroundings():
            facts = finite(check_facts(model, model.describe()))
        checkpoint = checkpoint_of(plan, facts, trained.state).files()
        # The model is scored as its file says, not as it happens to stand in memory.
        stored = parse_checkpoint(checkpoint, plan.id)
        selected = stored.build(plan.registry).to(plan.compute.device)
        evaluation = Evaluation.of(plan, selected, plan.scored, checks)
        for metric, state in trained.others.items():
            restore(selected, state)
            own = Evaluation.of(plan, selected, {TEST: [parse(FULL)]}).parts
            evaluation.parts.extend(replace(p, selected_for=metric) for p in own)
        blank = self._record(
            parameters=parameters,
            epochs=list(trained.log),
            selection=trained.selection,
            budget=self._budget(parameters, trained.steps, trained.seconds, trained.cpu_s),
            timings={
                "train_s": trained.seconds,
                "predict_s_per_sample": evaluation.seconds_per_sample,
                "epochs": len(trained.log),
            },
            facts=facts,
        )
        record, parts = evaluation.merged(plan, blank, [])
        record = counted(self.runs, record)
        predictions = predictions_file(parts, plan.spec.labels)
        epochs = epochs_csv(trained.log).encode()
        return record, {PREDICTIONS: predictions, **checkpoint, EPOCHS: epochs}

    def fail(self, error: RunFailedError, parameters: int) -> RunRecord:
        progress = self.resume.load()
        log = list(progress.log) if progress is not None else []
        failure = error.failure if isinstance(error, LossNotFiniteError) else None
        record = self._record(
            status="failed",
            checks={"warnings": [] if self.checks is None else self.checks.warnings},
            parameters=parameters,
            budget=self._budget(
                parameters, None, sum(entry["seconds"] for entry in log), cpu_of(log)
            ),
            epochs=log,
            selection=None,
            timings={
                "train_s": sum(entry["seconds"] for entry in log),
                "predict_s_per_sample": None,
                "epochs": len(log),
            },
            facts={},
            failure=failure or {"reason": str(error)},
        )
        return RunRecord.from_dict(record.as_dict())

    def _budget(
        self, parameters: int, steps: int | None, seconds: float, cpu_s: float | None
    ) -> dict[str, Any]:
        return {
            "trials": settings_tried(self.plan),
            "steps": steps,
            "parameters": parameters,
            "seconds": seconds,
            "cpu_s": cpu_s,
            "peak_memory": self.plan.compute.peak_memory(),
        }

    def _record(self, **fields: Any) -> RunRecord:
        plan = self.plan
        role = "trivial" if plan.entry.spec.role == "trivial" else "model"
        if plan.fold is not None:
            role = "fold"
        if plan.request.trial is not None:
            role = "trial"
        splits: dict[str, list[str]] = {p.id: [] for mine in plan.scored.values() for p in mine}
        for split, mine in plan.scored.items():
            for protocol in mine:
                splits[protocol.id].append(split)
        request = plan.recorded(splits)
        facts: dict[str, Any] = {
            "id": plan.id,
            "fingerprint": plan.digest,
            "status": "ok",
            "role": role,
            "model": model_facts(plan.entry, plan.code),
            "dataset": dataset_facts(plan.store, plan.mask),
            "config": plan.config.as_dict(),
            "seed": plan.request.seed,
            "device": plan.compute.device.type,
            "precision": plan.compute.precision,
            "protocols": {
                "dataset": plan.spec.id,
                "train_dropout": plan.config.training.train_dropout,
                "selection_metric": plan.spec.selection_metric,
                "dropout": {},
            },
            "threshold": {"declared": plan.config.threshold, "tuned": None},
            "metrics": {},
            "provenance": merge_plugins(
                collect(
                    threads=torch.get_num_threads(),
                    isolated=plan.request.isolated,
                    hardware=plan.compute.name,
                    cpu_capability=instruction_set(),
                ),
                self.provenance,
            ),
            "result_version": RESULT_VERSION,
            "request": request,
            "command": command_of(request),
            "trained_on": plan.trained_on,
            "tested_on": plan.tested_on if TEST in plan.scored else None,
            "ablation": plan.ablation,
            "created": now(),
            "compat": plan.rules.facts,
        }
        made = {**facts, **fields}
        if plan.fold is not None:
            made["facts"] = {**made["facts"], "fold": plan.fold}
        return RunRecord(**made)

    def _tell_epoch(self, entry: Mapping[str, Any]) -> None:
        figures = {"loss": entry["loss"], **entry["terms"]}
        figures |= {f"valid_{k}": v for k, v in (entry["valid"] or {}).items()}
        self.hooks.epoch_end(run=self.plan.describe(), epoch=entry["epoch"], metrics=figures)


def build_model(plan: RunPlan) -> ModelPlugin:
    """Build a plan's model with its initial parameters drawn from the ``init`` seed."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(derive_seed(plan.request.seed, "init"))
        return plan.model_class(plan.config.model, plan.task)


def count_parameters(model: ModelPlugin) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def epochs_csv(log: Sequence[Mapping[str, Any]]) -> str:
    """Return the epoch log as CSV: epoch, seconds, loss, its terms, validation metrics."""
    rows = [
        {
            "epoch": e["epoch"],
            "seconds": f"{e['seconds']:.3f}",
            "loss": e["loss"],
            **{f"term:{k}": v for k, v in e["terms"].items()},
            **{f"valid:{k}": v for k, v in (e["valid"] or {}).items()},
        }
        for e in log
    ]
    columns = list(dict.fromkeys(k for row in rows for k in row)) or ["epoch", "seconds", "loss"]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
