"""One sample as a page: what was there to see, and what every model made of it (figure 5).

Predictions are those stored with the runs; nothing is computed anew and torch is not needed. The
page is one file without any address outside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.boards.entrants import entrant, reader
from harness.boards.frame import on_board, twin_of
from harness.boards.render.templates import part, render, trusted
from harness.boards.rows import tables
from harness.boards.selecting import Chosen
from harness.boards.settings import ablated
from harness.errors import UsageError
from harness.figures.request import FigureRequest
from harness.paths import atomic_write_text
from harness.records.record import COMPLETE, RunRecord
from harness.specs import FigureKind, FigureOption, FigureReport
from harness.statistics.entrants import AnyEntrant, Entrant
from harness.statistics.measured import REAL

if TYPE_CHECKING:
    from harness.data.layouts.stored import Shown, StoredSplit
    from harness.data.store import Store

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
class Case:
    """Everything the page shows.

    ``reason`` says why this sample, ``unit`` what one position of a sequence is; ``shown`` is the
    sample as stored, None where its data is not prepared; ``facts`` are its further columns.
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
    shown: Shown | None
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


def place_of(one: Entrant, sample: str) -> int:
    """Return the place of a sample id.

    Raises:
        UsageError: there is no such sample.
    """
    if sample not in one.ids:
        near = ", ".join(one.ids[:3])
        raise UsageError(f"no test sample {sample!r}; ids are like {near}.")
    return one.ids.index(sample)


def verdict(
    mine: Entrant,
    place: int,
    seed: int,
    scores: NDArray[np.floating],
    about: Mapping[str, str],
) -> Verdict:
    """Return a model's verdict on one sample.

    Args:
        mine: its decisions over its seeds.
        place: of the sample in them.
        seed: whose scores are shown.
        scores: [L], that seed's.
        about: ``setting``, ``role`` and ``run``.
    """
    each = mine.decided[:, place].astype(bool)
    truth = mine.truth[place].astype(bool)
    right = (each == truth).all(axis=1)
    own = mine.seeds.index(seed)
    return Verdict(
        name=mine.name,
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


def _compute(asked: FigureRequest) -> Case:
    """Return the case; without the sample's own data where that is not prepared here."""
    chosen = asked.with_ceiling(asked.rows(asked.models or _all_models(asked)))
    read, protocol = reader(asked.store), asked["dropout"]
    whole = [entrant(c.row, c.key, read, name=c.name) for c in chosen]
    chosen, entrants = _on_one_twin(chosen, whole, asked["id"], asked["seed"])
    place, reason = _place(asked["id"], chosen, entrants)
    first = entrants[0]
    verdicts = []
    for one, mine in zip(chosen, entrants, strict=True):
        own = _seed(one, asked["seed"])
        run = one.row.runs[one.row.seeds.index(own)]
        part = read(asked.by_id[run], protocol, one.key.split)
        about = {"setting": one.row.setting, "role": one.row.role, "run": run}
        scores = part.scores[part.ids.index(first.ids[place])]
        verdicts.append(verdict(mine, place, own, scores, about))
    record = asked.by_id[chosen[0].row.runs[0]]
    facts: dict[str, Any] = record.dataset
    data = _stored(record, asked.notify)
    split = None if data is None else data.split("test")
    at = None if split is None else split.ids.index(first.ids[place])
    return Case(
        dataset=str(facts["name"]),
        source=str(facts["source"]),
        split=chosen[0].key.split,
        protocol=protocol,
        id=first.ids[place],
        group=first.groups[place],
        group_key=str(facts["group_key"]),
        reason=reason,
        unit="" if data is None else data.spec.position_unit,
        label_kind=str(facts["label_kind"]),
        labels=tuple(facts["labels"]),
        truth=tuple(bool(t) for t in first.truth[place]),
        modalities=tuple(m.name for m in split.modalities) if split is not None else (),
        verdicts=tuple(verdicts),
        shown=None if split is None or at is None else split.shown(at),
        facts={} if split is None or at is None else facts_of(split, at),
    )


def _all_models(asked: FigureRequest) -> list[str]:
    """Return every whole model of the data set; those with several settings once for each."""
    wanted = asked.wanted
    own = on_board(asked.records, wanted.dataset)
    whole = [r for r in own if r.role == "model" and not ablated(r)]
    settings: dict[str, set[str]] = {}
    for table in tables(whole):
        key = table.place
        same = (wanted.dropout, wanted.train_dropout or COMPLETE, wanted.mask or key.mask)
        if (key.dropout, key.train_dropout, key.mask) == same:
            for row in table.rows:
                settings.setdefault(row.model, set()).add(row.setting)
    return [
        model if len(mine) == 1 else f"{model}:{setting}"
        for model, mine in sorted(settings.items())
        for setting in sorted(mine)
    ]


def _on_one_twin(
    chosen: Sequence[Chosen],
    entrants: Sequence[AnyEntrant],
    sample: str | None,
    seed: int | None,
) -> tuple[list[Chosen], list[Entrant]]:
    """Return rows and decisions on the first twin that all have, with the sample and the seed.

    On real data they are returned as they are.

    Raises:
        UsageError: there is no such twin.
    """
    for twin in [one.twin for one in entrants[0].parts]:
        parts = [mine for one in entrants for mine in one.parts if mine.twin == twin]
        whole = len(parts) == len(entrants)
        if not whole or (sample is not None and len(entrants[0].parts) > 1
                         and sample not in parts[0].ids):  # fmt: skip
            continue
        models = [p for p, c in zip(parts, chosen, strict=True) if c.row.role == "model"]
        if seed is None or twin == REAL or any(seed in one.seeds for one in models):
            rows = (
                replace(c.row, records=tuple(r for r in c.row.records if twin_of(r) == twin))
                for c in chosen
            )
            return [replace(c, row=r) for c, r in zip(chosen, rows, strict=True)], parts
    raise UsageError("these rows have no twin in common that has this sample and this seed.")


def _place(
    sample: str | None, chosen: Sequence[Chosen], entrants: Sequence[Entrant]
) -> tuple[int, str]:
    """Return which sample is shown, and why."""
    if any(e.ids != entrants[0].ids for e in entrants):
        raise UsageError("these runs were scored on different samples; train them again.")
    if sample is not None:
        return place_of(entrants[0], sample), ""
    models = [e for c, e in zip(chosen, entrants, strict=True) if c.row.role == "model"]
    place, _ = most_disputed(models)
    return place, f"Chosen because the {len(models)} models disagree most about it."


def _seed(one: Chosen, seed: int | None) -> int:
    seeds = one.row.seeds
    if seed is None:
        return seeds[0]
    if seed not in seeds and one.row.role != "model":
        return seeds[0]  # on real data ceilings and trivial rows have one seed
    if seed not in seeds:
        raise UsageError(
            f"{one.name} has no run with seed {seed}; it has {', '.join(map(str, seeds))}."
        )
    return seed


def _stored(record: RunRecord, notify: Callable[[str], None]) -> Store | None:
    """Return the data that was predicted; None where other data, or none, is prepared."""
    from harness.data.store import open_store

    name = str(record.dataset["name"])
    data = open_store(name, (record.dataset.get("twin") or {}).get("seed"))
    if data is not None and data.content_hash == record.dataset["content_hash"]:
        return data
    why = "is not prepared" if data is None else "is prepared with other content than was scored"
    notify(f"shown without the sample's own data: {name} {why} here.")
    return None


def draw(case: Case, stem: Path, formats: Sequence[str] = ()) -> list[Path]:
    """Write the page as ``<stem>.html``; raises as `harness.paths.atomic_write_text`."""
    path = stem.with_name(f"{stem.name}.html")
    atomic_write_text(path, page(case))
    return [path]


def _stem(asked: FigureRequest, case: Case) -> str:
    safe = re.sub(r"[^\w.-]+", "-", case.id).strip("-")
    return f"{asked['dataset']}-case-{safe}"


FIGURE = FigureKind(
    name="case",
    summary="Write a page about one test sample: what was there, the truth, every prediction.",
    description="Without a MODEL all that have runs on the data set are shown. Predictions are the "
    "stored ones. On a grid the page shows persons by segments and which modality was there; on "
    "twins also what the best possible predictor says.",
    models="any",
    common=("dataset", "dropout", "train_dropout", "mask"),
    options=(
        FigureOption(
            "id", "A test sample (default: the one on which the models disagree most).",
            metavar="ID",
        ),
        FigureOption("seed", "Whose scores are shown (default: the first).", type=int),
    ),
    examples=(
        "harness figure case --dataset memor-primary-twin",
        "harness figure case --dataset memor-primary --id 'clip_12#345' ramer tailor carat",
        "harness figure case --dataset mosi ramer carat --records leaderboards/records",
    ),
    compute=_compute,
    draw=draw,
    stem=_stem,
    formats=False,
    report=lambda case: FigureReport({"id": case.id}),
)  # fmt: skip
