"""What a finished run is scored under beside what it was: from its checkpoint, without training."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from harness.engine.checkpoint import read_checkpoint
from harness.engine.checks import RunChecks
from harness.engine.evaluate import TEST
from harness.engine.evaluation import Evaluation
from harness.engine.faults import plugin_faults
from harness.engine.plan import RunPlan
from harness.errors import DataFormatError, UsageError
from harness.protocols.dropout import DropoutProtocol, parse
from harness.records.predictions import predictions_file, read_predictions
from harness.records.record import RunRecord
from harness.records.scorings import counted
from harness.records.store import PREDICTIONS, RunStore


def with_splits_of(plan: RunPlan, runs: RunStore, found: RunRecord | None) -> RunPlan:
    """Return a plan that scores what the run in its folder was scored under as well.

    Where the record cannot be read, its predictions tell, as far as they can be read.

    Raises:
        UsageError: a protocol is not known here: its figures would be lost.
    """
    had: list[tuple[str, str]] = []
    if found is not None:
        had = [(split, name) for name, of in found.protocols["dropout"].items() for split in of]
    elif (path := runs.predictions(plan.id)).is_file():
        with suppress(DataFormatError):
            had = [(part.split, part.protocol) for part in read_predictions(path)[1]]
    known = {p.id: p for p in plan.dropout}
    for _, name in had:
        if name not in known:
            try:
                known[name] = parse(name)
            except UsageError as error:
                raise UsageError(
                    f"{plan.title}: its figures under {name} would be lost: {error} Load the "
                    f"plugin that registers it, or start anew: rm -r {runs.folder(plan.id)}"
                ) from error
    return replace(plan, had=tuple((split, known[name]) for split, name in had))


def complete(plan: RunPlan, runs: RunStore, found: RunRecord) -> RunRecord:
    """Add the splits and protocols that are asked for and not yet evaluated."""
    done = found.protocols["dropout"]
    wanted: dict[str, list[DropoutProtocol]] = {}
    for split, protocols in plan.scored.items():
        missing = [p for p in protocols if split not in done.get(p.id, {})]
        if missing:
            wanted[split] = missing
    if not wanted:
        plan.request.notify(f"{plan.title}: already done, record {found.id} (--rerun repeats it).")
        return found
    new = [split for split in wanted if not any(split in of for of in done.values())]
    count = len({p.id for protocols in wanted.values() for p in protocols})
    plan.request.notify(
        f"{plan.title}: already trained, scoring the {' and '.join(new)} split."
        if new
        else f"{plan.title}: already trained, evaluating {count} further dropout protocols."
    )
    folder = runs.folder(found.id)
    before, checkpoint = runs.parts(found), read_checkpoint(folder, found)
    with plugin_faults(plan, folder):
        model = checkpoint.build(plan.registry).to(plan.compute.device)
        checks = RunChecks(model, plan.compute)
        with checks.surroundings():
            evaluation = Evaluation.of(plan, model, wanted, checks)
    warnings = [*found.checks.get("warnings", ()), *checks.warnings]
    found = replace(found, checks={"warnings": [*dict.fromkeys(warnings)]})
    record, parts = evaluation.merged(plan, found, before)
    if TEST in new:
        record = counted(runs, record)
    return runs.write(record, {PREDICTIONS: predictions_file(parts, found.dataset["labels"])})
