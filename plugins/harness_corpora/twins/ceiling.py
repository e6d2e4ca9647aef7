"""The exact posterior, and the other observers, of what a reader returns and a protocol leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.corpus import Answers
from harness.errors import UsageError
from harness.protocols.dropout import SplitMasks
from harness.protocols.thresholds import best_expected, reaching
from harness_corpora.twins.decisions import decisions
from harness_corpora.twins.frames import Floats, codes_of
from harness_corpora.twins.observers import cuts
from harness_corpora.twins.plan import Plan, plan_of
from harness_corpora.twins.posterior import Evidence, States, evidence, observe, set_posterior

_CHUNK = 128


def scores(
    dataset: str, split: Any, masks: Any, seed: int, observer: str = "full"
) -> NDArray[np.float64]:
    """Return p(label | what is left of the input) under the twin's own process, float64 [N, L].

    Args:
        dataset: name of the data set, with or without ``-twin``.
        split: as for `evidence_of`.
        masks: likewise.
        seed: likewise.
        observer: see `harness_corpora.twins.posterior.set_posterior`; ``full`` is the ceiling.

    Raises:
        UsageError: as `evidence_of`; or there is no such observer.
    """
    return observe(plan_of(dataset), evidence_of(dataset, split, masks, seed), observer)


def answers(
    dataset: str, split: Any, masks: SplitMasks, seed: int, observer: str = "full"
) -> Answers:
    """Return the scores of an observer, and its best decisions for each metric.

    Thresholds are those of the shipped table (`harness_corpora.twins.observers`). Where a
    protocol leaves something else than all, one, or all but one of the modalities, they are
    those of the largest expected F1 of the exact posterior.

    Args:
        dataset: name of the data set, with or without ``-twin``.
        split: as for `evidence_of`.
        masks: likewise.
        seed: likewise.
        observer: a key of `cuts`; of another one than ``full`` the protocol is complete data.

    Raises:
        UsageError: as `scores`.
    """
    plan = plan_of(dataset)
    belief = set_posterior(plan, evidence_of(dataset, split, masks, seed), observer)
    sets = States.of(plan).sets
    marginals = np.clip(belief @ sets, 0.0, 1.0)
    name = observer if observer != "full" else _seen(plan, split, masks)
    if name is None:
        threshold, labels = best_expected(marginals), tuple(map(best_expected, marginals.T))
    else:
        cut = cuts(plan.name)[name]
        threshold, labels = reaching(cut.threshold), cut.labels
    return Answers(marginals, threshold, decisions(sets, belief, labels))


def _seen(plan: Plan, split: Any, masks: SplitMasks) -> str | None:
    """Return what the exact posterior of a protocol is called in the table; None: it has no name.

    Args:
        plan: of the twin.
        split: a stored split.
        masks: of the protocol.
    """
    present = np.asarray(masks.keep, dtype=np.bool_) & np.asarray(split.natural, dtype=np.bool_)
    if masks.frames or not len(present) or (present != present[0]).any():
        return None
    kept = [m.key for m, there in zip(plan.modalities, present[0], strict=True) if there]
    lost = [m.key for m in plan.modalities if m.key not in kept]
    if not lost:
        return "full"
    if len(kept) == 1:
        return f"only-{kept[0]}"
    return f"drop-{lost[0]}" if len(lost) == 1 else None


def evidence_of(dataset: str, split: Any, masks: Any, seed: int) -> Evidence:
    """Return what the samples of a stored split say under a dropout protocol.

    Frames are read out along the twin's known basis; all-zero rows are padding. What stands beside
    the code, padding and sequence length carry no information.

    Args:
        dataset: name of the data set, with or without ``-twin``.
        split: a stored split of the twin: ``ids``, ``natural`` bool [N, M] and
            ``gather(indices) -> {modality: list of float32 [T_i, d]}``.
        masks: what the dropout protocol keeps: ``keep`` bool [N, M] and ``frames``, None or per
            modality key a list of bool arrays, one entry per real (or per stored) position. None:
            everything is left.
        seed: the seed the twin was written with.

    Raises:
        UsageError: the data set has no twin, the protocol adds noise (the posterior then has no
            closed form), or a frame mask fits neither the real nor the stored positions.
    """
    plan = plan_of(dataset)
    if getattr(masks, "noise", None) is not None:
        raise UsageError(
            f"{dataset}: the ceiling is known for whole-modality and frame dropout only; "
            "leave noise protocols out."
        )
    present = np.asarray(split.natural, dtype=np.bool_)
    dropped: Mapping[str, Sequence[Any]] = {}
    if masks is not None:
        present = present & np.asarray(masks.keep, dtype=np.bool_)
        dropped = masks.frames or {}
    bases = [plan.emission(m, seed).basis for m in plan.modalities]
    axes = len(plan.swap) + 2
    found = []
    for begin in range(0, len(split.ids), _CHUNK):
        rows = np.arange(begin, min(begin + _CHUNK, len(split.ids)))
        block = split.gather(rows)
        codes: list[list[Floats | None]] = []
        kept: list[list[NDArray[np.bool_]]] = []
        for m, modality in enumerate(plan.modalities):
            own = dropped.get(modality.key, dropped.get(modality.name))
            codes.append([])
            kept.append([])
            for stored, i in zip(block[modality.name], rows.tolist(), strict=True):
                frames = np.asarray(stored)
                real = np.flatnonzero(np.any(frames != 0, axis=1))
                there = bool(present[i, m]) and len(real) > 0
                codes[m].append(codes_of(frames[real], bases[m], axes) if there else None)
                mask = np.ones(len(real), dtype=np.bool_)
                if own is not None and there:
                    mask = _of_real(np.asarray(own[i], dtype=np.bool_), real, frames, modality.name)
                kept[m].append(mask)
        found.append(evidence(plan, codes, kept if dropped else None))
    return Evidence.joined(found)


def _of_real(
    mask: NDArray[np.bool_], real: NDArray[np.int64], stored: NDArray[np.float32], name: str
) -> NDArray[np.bool_]:
    """Return a frame mask over the real positions.

    Args:
        mask: over the real or the stored positions.
        real: the stored positions that hold a frame.
        stored: the rows of the sample.
        name: of the modality, for the message.
    """
    if len(mask) == len(real):
        return mask
    if len(mask) == len(stored):
        return mask[real]
    raise UsageError(
        f"{name}: a frame mask has {len(mask)} entries for {len(real)} real frames of "
        f"{len(stored)} stored ones; make the masks from the same store as the features."
    )
