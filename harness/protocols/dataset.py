"""Mask options of a data set's protocol: the positions of a padded sequence that count as valid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.errors import UnknownNameError, UsageError
from harness.specs import MASK_OPTIONS, DatasetSpec, MaskOption


def check_mask_option(option: str, allowed: Sequence[str], dataset: str) -> MaskOption:
    """Return the option if the data set has it.

    Raises:
        UnknownNameError: no such option.
        UsageError: the data set does not offer it (no lengths recorded, no meaning).
    """
    for known in MASK_OPTIONS:
        if option == known and option in allowed:
            return known
    if option not in MASK_OPTIONS:
        raise UnknownNameError("mask option", option, MASK_OPTIONS)
    raise UsageError(
        f"data set {dataset!r} has no mask option {option!r}; it has: {', '.join(allowed)}"
    )


def position_mask(
    option: str,
    padded: NDArray[np.floating],
    stored_lengths: NDArray[np.integer],
    true_lengths: NDArray[np.integer] | None = None,
) -> NDArray[np.bool_]:
    """Return which positions of one modality count as valid, bool [B, T].

    ``ones``: every position, padding included, as in the published loaders; ``nonzero``: rows with
    any value other than zero; ``length``: the first ``true_lengths`` rows. A sample without stored
    rows lacks the modality and has no valid position under any option.

    Args:
        option: one of `harness.specs.MASK_OPTIONS`.
        padded: [B, T, d] features, zero beyond the stored rows.
        stored_lengths: int [B], number of stored rows.
        true_lengths: int [B], real frames as the authors record them, or None.

    Raises:
        UnknownNameError: no such option.
        UsageError: ``length`` where no lengths are recorded.
    """
    positions = np.arange(padded.shape[1])
    stored = np.asarray(stored_lengths)[:, None]
    there: NDArray[np.bool_] = np.broadcast_to(stored > 0, padded.shape[:2])
    if option == "ones":
        return there.copy()
    if option == "nonzero":
        filled: NDArray[np.bool_] = (padded != 0).any(axis=2) & (positions < stored)
        return filled
    if option == "length":
        if true_lengths is None:
            raise UsageError(
                "mask option 'length' needs recorded lengths, and this data has none; "
                "use 'ones' or 'nonzero'"
            )
        limit = np.minimum(np.asarray(true_lengths)[:, None], padded.shape[1])
        return there & (positions < limit)
    raise UnknownNameError("mask option", option, MASK_OPTIONS)


def check_protocol(name: str | None, spec: DatasetSpec | None = None) -> None:
    """Check that a name is a data set protocol, ``mosei-aligned@1``, that of ``spec`` if given.

    Raises:
        UsageError: it is a mask option or a dropout protocol, which have options of their own, or
            that of another data set or version.
    """
    if name is None or (spec is not None and name in (spec.id, f"{spec.base_name}@{spec.version}")):
        return
    bare, _, option = name.rpartition("+")
    if option in MASK_OPTIONS:
        rest = f" (and --protocol {bare})" if bare else ""
        raise UsageError(f"--protocol {name!r}: a mask option is given as --mask {option}{rest}.")
    from harness.protocols.dropout import expand

    try:
        expand([name])
    except UsageError:
        if spec is None:
            return
        raise UsageError(
            f"data set protocol {name!r} does not exist here; that of {spec.name} is {spec.id!r}."
        ) from None
    raise UsageError(
        f"--protocol {name!r}: this is a dropout protocol, and --protocol names that of the data "
        f"set (mosi@1); give it as --dropout {name}."
    )
