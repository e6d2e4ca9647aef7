"""Mean ranks over data sets, twins and real data apart. No critical difference is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.boards.board import Board
from harness.boards.frame import SORT_BY
from harness.boards.grid import Column, Grid, GridRow, View
from harness.boards.official import Official, entrants_of
from harness.boards.rows import Row
from harness.records.record import COMPLETE
from harness.statistics.ranks import mean_ranks

STEM = "ranks"
_NOTES = (
    "Rank 1 is the best micro-F1 on complete data; ties are averaged. With fewer than ten "
    "independent data sets ranks are described, not tested: two protocols of one corpus "
    "(MOSEI aligned and unaligned, MEmoR primary and fine) are one data set twice. Which "
    "differences are real stands on each data set's own board.",
)


@dataclass(frozen=True)
class Ranking:
    """Mean ranks of the models that were measured on every one of the data sets.

    ``scores`` holds per model its micro-F1 on each data set, ``mean_rank`` is 1 at best;
    ``partial`` lists models that lack a data set: they have no rank. ``others`` are rows of
    trained models that stand for none (`harness.boards.official`), by data set.
    """

    source: str
    datasets: tuple[str, ...]
    scores: Mapping[str, tuple[float, ...]]
    mean_rank: Mapping[str, float]
    partial: tuple[str, ...]
    others: Mapping[str, tuple[str, ...]]


def rankings(
    boards: Iterable[Board], entries: Mapping[str, list[Official]] | None = None
) -> list[Ranking]:
    """Return the rankings of real data and of twins, each where there are two data sets or more.

    Args:
        boards: all boards; those of authors' own evaluations are left out.
        entries: of ``entrants.yaml``; None: every complete run with the default preset counts.
    """
    return rankings_of(candidates(board, entries) for board in boards)


@dataclass(frozen=True)
class Candidates:
    """Micro-F1 on one data set by model, and the rows that stand for no model."""

    dataset: str
    source: str
    scores: Mapping[str, float]
    others: tuple[str, ...]


def candidates(board: Board, entries: Mapping[str, list[Official]] | None = None) -> Candidates:
    """Return what of a board is ranked: nothing of authors' own evaluations, and no skill."""
    if board.compat or board.skill is not None:
        return Candidates(board.dataset, board.source, {}, ())
    mine = None if entries is None else entries.get(board.dataset, [])
    chosen, rest = entrants_of(board.tables, board.source, mine)
    found: dict[str, float] = {}
    for row in sorted(chosen, key=lambda r: (-len(r.seeds), r.setting)):
        if SORT_BY in row.figures:
            found.setdefault(row.label, row.best)
    return Candidates(board.dataset, board.source, found, tuple(map(_also, rest)))


def rankings_of(known: Iterable[Candidates]) -> list[Ranking]:
    """Return the rankings of boards by what each of them gives."""
    scores: dict[str, dict[str, Mapping[str, float]]] = {}
    others: dict[str, dict[str, tuple[str, ...]]] = {}
    for one in known:
        if one.scores:
            scores.setdefault(one.source, {})[one.dataset] = one.scores
            others.setdefault(one.source, {})[one.dataset] = one.others
    made = [
        _ranking(source, each, others[source])
        for source, each in sorted(scores.items())
        if len(each) > 1
    ]
    return [ranking for ranking in made if len(ranking.scores) > 1]


def view(found: Iterable[Ranking]) -> View:
    """Return the rankings, a grid each."""
    return View(STEM, STEM, "Mean ranks", tuple(map(_grid, found)), _NOTES)


def _grid(ranking: Ranking) -> Grid:
    columns = [Column("model"), Column("mean_rank", "mean rank", "figure", 2)]
    columns += [Column(name, kind="figure") for name in ranking.datasets]
    rows = [
        GridRow(
            {
                "model": model,
                "mean_rank": ranking.mean_rank[model],
                **dict(zip(ranking.datasets, ranking.scores[model], strict=True)),
            }
        )
        for model in sorted(ranking.scores, key=lambda m: (ranking.mean_rank[m], m))
    ]
    notes = [f"Not on every data set: {', '.join(ranking.partial) or '–'}."]
    notes += [
        f"Also run here, on {name}: {'; '.join(rows_)}."
        for name, rows_ in ranking.others.items()
        if rows_
    ]
    title = "Generated twins" if ranking.source == "twin" else "Real data"
    return Grid(title, tuple(columns), tuple(rows), tuple(notes), facts={"source": ranking.source})


def _ranking(
    source: str, each: Mapping[str, Mapping[str, float]], others: Mapping[str, tuple[str, ...]]
) -> Ranking:
    datasets = tuple(sorted(each))
    every = sorted(set[str]().union(*each.values()))
    whole = [m for m in every if all(m in each[d] for d in datasets)]
    scores = {m: tuple(each[d][m] for d in datasets) for m in whole}
    ranks = mean_ranks([[each[d][m] for m in whole] for d in datasets]) if whole else []
    partial = tuple(m for m in every if m not in whole)
    ranked = dict(zip(whole, ranks, strict=True))
    return Ranking(source, datasets, scores, ranked, partial, others)


def _also(row: Row) -> str:
    word = "seed" if len(row.seeds) == 1 else "seeds"
    track = str(row.first.protocols["train_dropout"])
    how = "" if track == COMPLETE else f", trained under {track}"
    return f"{row.name}, {word} {', '.join(map(str, row.seeds))}{how}"
