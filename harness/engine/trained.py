"""The batches that a trained model is given."""

from __future__ import annotations

from harness.data.layouts.stored import StoredSplit
from harness.engine.compat import rules_of
from harness.engine.loop import BatchSource
from harness.engine.splits import SplitView
from harness.errors import UsageError
from harness.model import ModelPlugin
from harness.protocols.dropout import Traits, parse
from harness.records.record import COMPLETE, RunRecord

BATCH = 128


def batches_for(
    model: ModelPlugin,
    record: RunRecord | None,
    split: StoredSplit,
    *,
    dropout: str = COMPLETE,
    batch_size: int | None = None,
) -> BatchSource:
    """Return a split's batches as a trained model was evaluated on them.

    The mask option is that of the run where the data set has it, and modalities have the names
    that the run exchanged (`harness.specs.CompatSpec`).

    Args:
        model: the trained model.
        record: its run; None: not known.
        split: the split.
        dropout: dropout protocol to apply.
        batch_size: samples at a time; None: as the run was evaluated.

    Raises:
        UsageError: the labels or modalities are not those the model was trained on.
    """
    spec = split.spec
    task, mask = model.task, spec.default_mask
    rules = rules_of(None if record is None else record.compat)
    given = [(m.name, m.dim) for m in rules.modalities(spec)]
    for what, trained, found in (
        ("labels", list(task.labels), list(spec.labels)),
        ("modalities", [(m.name, m.dim) for m in task.modalities], given),
    ):
        if trained != found:
            raise UsageError(
                f"the model was trained on {task.dataset} with {what} {trained}; {spec.name} has "
                f"{found}. Choose a data set that fits, or train on it."
            )
    if record is not None:
        mask = record.dataset["mask"] if record.dataset["mask"] in spec.mask_options else mask
        batch_size = batch_size or int(record.config["training"]["eval_batch_size"])
    view = SplitView(split, mask, model)
    return view.batches(batch_size or BATCH, view.masks(parse(dropout, Traits.of(spec, mask))))
