"""The Bayes ceiling of MEmoR's twin: the exact posterior of stored grids under dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness_corpora.specs import MEMOR_FINE_LABELS, MEMOR_LABELS
from harness_corpora.twins.memor_design import MEMOR, PRIMARY_OF, GridStream, feelings
from harness_corpora.twins.memor_emission import basis, log_likelihood
from harness_corpora.twins.memor_posterior import Evidence, posterior

if TYPE_CHECKING:
    from harness.data.layouts.grid.split import GridSplit

NAMES = tuple(f"memor-{kind}{part}" for kind in ("primary", "fine") for part in ("", "-clean"))
_CHUNK = 512


def scores(dataset_base_name: str, split: Any, masks: Any, seed: int) -> NDArray[np.float64]:
    """Return p(class | what is left of the whole grid) under the twin's own process.

    Known are: every cell that is left (of all persons, also after unit and frame dropout), who
    speaks in which segment, and the persons' characters, unless the protocol drops personality:
    then the cast is summed over. Classes of ``memor-primary`` are sums of fine-grained ones.

    Args:
        dataset_base_name: ``memor-primary`` or ``memor-fine``; ``-clean``, ``-twin`` may follow.
        split: a `harness.data.layouts.grid.split.GridSplit` of the twin.
        masks: the `harness.protocols.dropout.SplitMasks` of a protocol, or None: all is left.
        seed: the seed the twin was written with.

    Returns:
        float64 [N, 9] or [N, 14], rows sum to 1.

    Raises:
        UsageError: the data set has no known ceiling, or the protocol adds noise.
    """
    name = dataset_base_name.removesuffix("-twin")
    if name not in NAMES:
        raise UsageError(f"{name!r} has no known ceiling; known are those of {', '.join(NAMES)}.")
    if masks is not None and masks.noise is not None:
        raise UsageError(
            f"{name}: the ceiling is not known under noise; leave noise protocols out."
        )
    left = split.cells_left(masks)
    total = np.zeros((int(split.offsets[-1]), len(MEMOR_FINE_LABELS)))
    for stream in MEMOR.streams:
        table = _table(split, stream, seed)
        there = left[stream.name]
        total[there] += table[split.index[stream.name][there]]
    moods = feelings(MEMOR, seed)
    known = masks is None or bool(masks.personality)
    found = np.stack(
        [
            posterior(moods, _evidence(split, total, i), characters_known=known)
            for i in range(len(split.ids))
        ]
    )
    if not name.startswith("memor-primary"):
        return found
    merge = np.eye(len(MEMOR_LABELS))[PRIMARY_OF]
    return np.asarray(found @ merge)


def _table(split: GridSplit, stream: GridStream, seed: int) -> NDArray[np.float64]:
    """Return log p(row | emotion) of every stored row, float64 [K, 14]."""
    table, base = split.tables[stream.name], basis(MEMOR, stream, seed)
    parts = [np.zeros((0, len(MEMOR_FINE_LABELS)))]
    for begin in range(0, len(table), _CHUNK):
        rows = table.take(np.arange(begin, min(begin + _CHUNK, len(table))))
        # Of the visual row only the face, which comes first, says something.
        parts.append(log_likelihood(stream, base, rows[:, : stream.dim]))
    return np.concatenate(parts)


def _evidence(split: GridSplit, log_p: NDArray[np.float64], i: int) -> Evidence:
    """Return what is left of one grid; the natural availability of text tells the speaker."""
    persons, segments = int(split.persons[i]), int(split.segments[i])
    cells = slice(int(split.offsets[i]), int(split.offsets[i + 1]))
    spoken = (split.index["text"][cells] >= 0).reshape(persons, segments)
    speakers = np.where(spoken.any(axis=0), spoken.argmax(axis=0), -1)
    people = slice(int(split.person_offsets[i]), int(split.person_offsets[i + 1]))
    target = (int(split.target_person[i]), int(split.target_segment[i]))
    return Evidence(
        log_p[cells].reshape(persons, segments, -1),
        speakers.tolist(),
        split.characters[people].tolist(),
        target if split.has_target[i] else None,
    )
