"""The complete view of a training batch: the same samples, before a protocol dropped anything."""

from __future__ import annotations

import torch

from harness.conformance.errors import CheckFailedError
from harness.data.batch import Batch

CHECK = "complete-view"


def check_complete(batch: Batch, complete: Batch) -> None:
    """Check that a complete view shows the samples of its batch, and everything they have.

    Args:
        batch: a labelled training batch.
        complete: its complete view (`harness.model.StepContext.complete`).

    Raises:
        CheckFailedError: other samples, another order or other labels; something that the data has
            and the view lacks; or features that differ where the batch has them.
    """

    def fail(what: str) -> None:
        raise CheckFailedError(CHECK, f"the complete view of a batch has {what}.")

    if complete.ids != batch.ids:
        fail("other samples, or the same in another order")
    if not torch.equal(complete.targets, batch.targets):
        fail("other labels")
    if not torch.equal(complete.present, batch.natural):
        fail("not exactly the modalities that the data has")
    for column, (name, shown) in enumerate(batch.features.items()):
        there, whole = batch.mask[name] & batch.present[:, column, None], complete.features[name]
        if whole.shape != shown.shape:
            fail(f"another shape of {name!r}: {list(whole.shape)}, not {list(shown.shape)}")
        if not torch.equal(whole[there], shown[there]):
            fail(f"other features of {name!r} where the batch has them")
