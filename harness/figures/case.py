"""One sample as a page: what was there to see, and what every model made of it (figure 5).

Predictions are those stored with the runs; nothing is computed anew and torch is not needed. The
page is one file without any address outside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.boards.rendering import part, render, trusted
from harness.errors import UsageError
from harness.statistics.entrants import Entrant

if TYPE_CHECKING:
    from harness.data.grid_store import StoredGridSplit
    from harness.data.store import StoredSplit

PACKAGE = "harness.figures"
_LONGEST_FACT = 200


@dataclass(frozen=True)
class Verdict:
    """What one model says of the sample; lists follow the labels.

    Attributes:
        name, setting, role: of its row.
        run, seed: of the run whose scores are shown.
        scores: in [0, 1]. decided: which labels it decides for.
        right: whether the decided labels are exactly the true ones.
        seeds_right: how many of the model's ``seeds`` runs are right.
    """

    name: str
    setting: str
    role: str
    run: str
    seed: int
    scores: tuple[float, ...]
    decided: tuple[bool, ...]
    right: bool
    seeds_right: int
    seeds: int


@dataclass(frozen=True)
class Person:
    """A person of a clip: a row of its grid.

    ``cells`` holds per segment which modalities are there, in their order.
    """

    character: int
    target: bool
    personality: bool
    cells: tuple[tuple[bool, ...], ...]


@dataclass(frozen=True)
class Grid:
    """Persons × segments; ``segment`` is the target's, None where no segment holds the moment."""

    persons: tuple[Person, ...]
    segments: int
    segment: int | None


@dataclass(frozen=True)
class Stream:
    """A modality of a sequence: whether it is there, rows stored, positions that hold something."""

    name: str
    present: bool
    stored: int
    valid: int


@dataclass(frozen=True)
class Case:
    """Everything the page shows; ``grid`` or ``streams`` is empty where the data has none.

    ``reason`` says why this sample, ``unit`` what one position of a sequence is; ``facts`` are the
    corpus's own words about it.
    """

    dataset: str
    source: str
    split: str
    protocol: str
    id: str
    group: str
    group_key: str
    reason: str
    unit: str
    label_kind: str
    labels: tuple[str, ...]
    truth: tuple[bool, ...]
    modalities: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    grid: Grid | None
    streams: tuple[Stream, ...]
    has_personality: bool
    facts: Mapping[str, str]


def most_disputed(entrants: Sequence[Entrant]) -> tuple[int, float]:
    """Return the sample on which models differ most, and by how much.

    That is the variance over models of the decisions, each a mean over the model's seeds, summed
    over labels. The first of several in the order of ids.

    Raises:
        UsageError: fewer than two models.
    """
    if len(entrants) < 2:
        raise UsageError("with one model nothing is disputed: name the sample with --id.")
    decided = np.stack([e.decided.mean(axis=0) for e in entrants])
    differ = decided.var(axis=0).sum(axis=1)
    return int(differ.argmax()), float(differ.max())


def place_of(entrant: Entrant, sample: str) -> int:
    """Return the place of a sample id.

    Raises:
        UsageError: there is no such sample.
    """
    if sample not in entrant.ids:
        near = ", ".join(entrant.ids[:3])
        raise UsageError(f"no test sample {sample!r}; ids are like {near}.")
    return entrant.ids.index(sample)


def verdict(
    entrant: Entrant,
    place: int,
    seed: int,
    scores: NDArray[np.floating],
    about: Mapping[str, str],
) -> Verdict:
    """Return a model's verdict on one sample.

    Args:
        entrant: its decisions over its seeds.
        place: of the sample in them.
        seed: whose scores are shown.
        scores: [L], that seed's.
        about: ``setting``, ``role`` and ``run``.
    """
    each = entrant.decided[:, place].astype(bool)
    truth = entrant.truth[place].astype(bool)
    right = (each == truth).all(axis=1)
    own = entrant.seeds.index(seed)
    return Verdict(
        name=entrant.name,
        setting=about["setting"],
        role=about["role"],
        run=about["run"],
        seed=seed,
        scores=tuple(float(s) for s in scores),
        decided=tuple(each[own].tolist()),
        right=bool(right[own]),
        seeds_right=int(right.sum()),
        seeds=len(each),
    )


def grid_of(split: StoredGridSplit, place: int) -> Grid:
    """Return the grid of a stored sample."""
    persons, segments = int(split.persons[place]), int(split.segments[place])
    start = int(split.offsets[place])
    cells = slice(start, start + persons * segments)
    names = [m.name for m in split.modalities]
    there = np.stack([split.index[m][cells] >= 0 for m in names], axis=1)
    there = there.reshape(persons, segments, len(names))
    first = int(split.person_offsets[place])
    characters = split.characters[first : first + persons]
    known: NDArray[np.bool_] = np.any(split.personality, axis=1, keepdims=True)[:, 0]
    aimed = bool(split.has_target[place])
    target = int(split.target_person[place])
    return Grid(
        persons=tuple(
            Person(
                character=int(c),
                target=aimed and n == target,
                personality=bool(known[c]) if 0 <= c < len(known) else False,
                cells=tuple(tuple(cell) for cell in there[n].tolist()),
            )
            for n, c in enumerate(characters.tolist())
        ),
        segments=segments,
        segment=int(split.target_segment[place]) if aimed else None,
    )


def streams_of(split: StoredSplit, place: int) -> tuple[Stream, ...]:
    """Return the modalities of a stored sequence."""
    return tuple(
        Stream(
            m.name,
            bool(split.natural[place, j]),
            int(split.stored_lengths[place, j]),
            int(split.valid_lengths[place, j]),
        )
        for j, m in enumerate(split.modalities)
    )


def facts_of(split: StoredSplit, place: int) -> dict[str, str]:
    """Return the corpus's own columns about a sample, shortened."""
    found = {}
    for name, column in split.extras.items():
        text = str(column[place])
        found[name] = text if len(text) <= _LONGEST_FACT else f"{text[:_LONGEST_FACT]} …"
    return found


def page(case: Case) -> str:
    """Return the page; equal cases give equal bytes."""
    true_labels = [n for n, yes in zip(case.labels, case.truth, strict=True) if yes]
    return render(
        PACKAGE,
        "case.html.j2",
        case=case,
        true_labels=true_labels,
        said=_said(case),
        style=trusted(part(PACKAGE, "case.css")),
    )


def _said(case: Case) -> list[dict[str, Any]]:
    """Return what the page says of each verdict in words."""
    rows = []
    for v in case.verdicts:
        decided = [n for n, yes in zip(case.labels, v.decided, strict=True) if yes]
        rows.append({"verdict": v, "decided": ", ".join(decided) or "none"})
    return rows
