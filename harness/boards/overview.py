"""Mean ranks over data sets, twins and real data apart. No critical difference is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tabulate import tabulate

from harness.boards.aggregate import SORT_BY, Row
from harness.boards.board import Board
from harness.boards.cells import NOTHING
from harness.records.record import COMPLETE
from harness.statistics.ranks import mean_ranks

FILE = "ranks.md"


@dataclass(frozen=True)
class Ranking:
    """Mean ranks of the models that were measured on every one of the data sets.

    ``scores`` holds per model its micro-F1 on each data set, ``mean_rank`` is 1 at best;
    ``partial`` lists models that lack a data set: they have no rank.
    """

    source: str
    datasets: tuple[str, ...]
    scores: Mapping[str, tuple[float, ...]]
    mean_rank: Mapping[str, float]
    partial: tuple[str, ...]


def rankings(boards: Iterable[Board]) -> list[Ranking]:
    """Return the rankings of real data and of twins, each where there are two data sets or more.

    Of a data set, what counts is complete data, training on complete data and the newest content;
    of a model with several settings the one with most seeds, then the first by name.
    """
    by_source: dict[str, dict[str, dict[str, float]]] = {}
    for board in boards:
        found = _scores(board)
        if found and board.dataset.removesuffix("-compat") == board.dataset:
            by_source.setdefault(board.source, {})[board.dataset] = found
    made = [_ranking(source, each) for source, each in sorted(by_source.items()) if len(each) > 1]
    return [ranking for ranking in made if len(ranking.scores) > 1]


def markdown(rankings_: Sequence[Ranking]) -> str:
    """Return the rankings as Markdown."""
    parts = [
        "# Mean ranks",
        "Rank 1 is the best micro-F1 on complete data; ties are averaged. With fewer than ten "
        "independent data sets ranks are described, not tested: two protocols of one corpus "
        "(MOSEI aligned and unaligned, MEmoR primary and fine) are one data set twice. Which "
        "differences are real stands on each data set's own board.",
    ]
    for ranking in rankings_:
        order = sorted(ranking.scores, key=lambda m: (ranking.mean_rank[m], m))
        lines = [
            [m, f"{ranking.mean_rank[m]:.2f}", *(f"{s:.4f}" for s in ranking.scores[m])]
            for m in order
        ]
        title = "Generated twins" if ranking.source == "twin" else "Real data"
        heads = ["model", "mean rank", *ranking.datasets]
        parts += [f"## {title}", tabulate(lines, heads, tablefmt="pipe", disable_numparse=True)]
        parts.append(f"Not on every data set: {', '.join(ranking.partial) or NOTHING}.")
    return "\n\n".join(parts) + "\n"


def _scores(board: Board) -> dict[str, float]:
    for table in board.tables:
        if (table.key.dropout, table.key.train_dropout) == (COMPLETE, COMPLETE):
            chosen: dict[str, Row] = {}
            for row in sorted(table.rows, key=lambda r: (-len(r.seeds), r.setting)):
                if row.role != "ceiling" and SORT_BY in row.figures:
                    chosen.setdefault(row.label, row)
            return {label: row.figures[SORT_BY].mean for label, row in chosen.items()}
    return {}


def _ranking(source: str, each: Mapping[str, Mapping[str, float]]) -> Ranking:
    datasets = tuple(sorted(each))
    every = sorted(set[str]().union(*each.values()))
    whole = [m for m in every if all(m in each[d] for d in datasets)]
    scores = {m: tuple(each[d][m] for d in datasets) for m in whole}
    ranks = mean_ranks([[each[d][m] for m in whole] for d in datasets]) if whole else []
    partial = tuple(m for m in every if m not in whole)
    return Ranking(source, datasets, scores, dict(zip(whole, ranks, strict=True)), partial)
