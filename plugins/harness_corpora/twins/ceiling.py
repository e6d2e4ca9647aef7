"""The Bayes ceiling: the exact posterior of what a reader returns and a dropout protocol leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness_corpora.twins import memor_ceiling
from harness_corpora.twins.design import design
from harness_corpora.twins.emission import basis, means
from harness_corpora.twins.posterior import log_evidence, marginals, state_space

_CHUNK = 128


def scores(dataset_base_name: str, split: Any, masks: Any, seed: int) -> NDArray[np.float64]:
    """Return p(label | what is left of the input) under the twin's own generating process.

    Frames are projected onto the code space with the twin's known matrix; all-zero rows are
    padding. The noise in the complement, padding and sequence length carry no information.
    MEmoR's grids: see `memor_ceiling`.

    Args:
        dataset_base_name: name of the data set, with or without ``-twin``.
        split: a stored split of the twin: ``ids``, ``natural`` bool [N, M] and
            ``gather(indices) -> {modality: list of float32 [T_i, d]}``.
        masks: what the dropout protocol keeps: ``keep`` bool [N, M] and ``frames``, None or per
            modality key a list of bool arrays, one entry per real (or per stored) position.
        seed: the seed the twin was written with.

    Returns:
        float64 [N, L] in [0, 1].

    Raises:
        UsageError: the data set has no twin, the protocol adds noise (the posterior then has no
            closed form), or a frame mask fits neither the real nor the stored positions.
    """
    if dataset_base_name.startswith("memor-"):
        return memor_ceiling.scores(dataset_base_name, split, masks, seed)
    plan = design(dataset_base_name)
    if getattr(masks, "noise", None) is not None:
        raise UsageError(
            f"{dataset_base_name}: the ceiling is known for whole-modality and frame dropout only; "
            "leave noise protocols out."
        )
    space = state_space(plan)
    present = np.asarray(masks.keep, bool) & np.asarray(split.natural, bool)
    frame_masks: Mapping[str, Sequence[Any]] = masks.frames or {}
    mean = [means(s, space.labels, space.ironic) for s in plan.streams]
    code_rows = [basis(plan, s, seed).code.T.astype(np.float64) for s in plan.streams]
    evidence = np.zeros((len(split.ids), len(space.log_prior)))
    for begin in range(0, len(split.ids), _CHUNK):
        indices = np.arange(begin, min(begin + _CHUNK, len(split.ids)))
        block = split.gather(indices)
        for m, stream in enumerate(plan.streams):
            kept = frame_masks.get(stream.key, frame_masks.get(stream.name))
            for row, i in zip(block[stream.name], indices, strict=True):
                if not present[i, m]:
                    continue
                array = np.asarray(row)
                real = np.flatnonzero(np.any(array != 0, axis=1))
                if not len(real):
                    continue
                mask = np.ones(len(real), bool)
                if kept is not None:
                    mask = _aligned_mask(
                        np.asarray(kept[int(i)], dtype=np.bool_), real, len(array), stream.name
                    )
                code = array[real].astype(np.float64) @ code_rows[m]
                evidence[i] += log_evidence(code, mask, mean[m], stream.window)
    return marginals(space, evidence)


def _aligned_mask(
    mask: NDArray[np.bool_], real: NDArray[np.int64], stored: int, name: str
) -> NDArray[np.bool_]:
    """Return a frame mask over the real positions."""
    if len(mask) == len(real):
        return mask
    if len(mask) == stored:
        return mask[real]
    raise UsageError(
        f"{name}: a frame mask has {len(mask)} entries for {len(real)} real frames of {stored} "
        "stored ones; make the masks from the same store as the features."
    )
