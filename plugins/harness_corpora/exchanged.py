"""The clip diagnostic's scores twice: correct, and as the legacy code computes them.

Public code that scored merged clips passes predictions where the labels belong (protocol-memor.md,
section 8): precision and recall change places, and "weighted" F1 weighs labels by how often they
were predicted. Micro-F1 and Jaccard are the same both ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.boards.grid import Column, Grid, GridRow, View, statistic
from harness.specs import LAYOUTS

if TYPE_CHECKING:
    from harness.boards.board import Board
    from harness.boards.rows import Row, Table

HEADINGS = {"micro_p": "P", "micro_r": "R", "weighted_f1": "weighted-F1"}
WAYS = ("correct", "swapped")
_NOTE = (
    "`swapped` is what code gives that passes predictions where the labels belong: precision and "
    "recall change places, weighted-F1 weighs by predicted counts. Micro-F1 and Jaccard are the "
    "same both ways. To be set beside published rows only."
)


def view(board: Board) -> View | None:
    """Return a board's figures both ways; None unless it is about merged clips.

    Those are the multi-label data sets of grids: no person is asked about.
    """
    about = board.records[0].dataset
    if about["label_kind"] != "multilabel" or not LAYOUTS[about["layout"]].cells:
        return None
    title = f"{board.dataset}: correct, and as legacy code computes it"
    return board.view("exchanged", "-exchanged", title, [_grid(t) for t in board.tables], [_NOTE])


def exchanged(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return what a metrics mapping's figures are with truth and prediction exchanged.

    They follow from the figures themselves: a label was predicted recall * support / precision
    times; where that is undefined its F1 is 0 and its weight has no effect.
    """
    hits, total = 0.0, 0.0
    for label in metrics["per_label"].values():
        right = label["recall"] * label["support"]
        hits += right
        total += label["f1"] * right / label["precision"] if label["precision"] else 0.0
    precision = float(metrics["micro_p"])
    return {
        "micro_p": float(metrics["micro_r"]),
        "micro_r": precision,
        "weighted_f1": total * precision / hits if hits else 0.0,
    }


def _grid(table: Table) -> Grid:
    columns = [Column("model"), Column("setting"), Column("n", kind="figure")]
    columns += [
        Column(f"{way}_{name}", f"{head} {way}", "figure")
        for way in WAYS
        for name, head in HEADINGS.items()
    ]
    place = table.place
    title = f"Scored under {place.dropout}, trained under {place.train_dropout}, mask {place.mask}"
    rows = tuple(_row(row, table) for row in table.rows)
    return Grid(title, tuple(columns), rows, facts=place.facts)


def _row(row: Row, table: Table) -> GridRow:
    place = table.place
    own = [r.metrics[place.dropout][place.split]["declared"] for r in row.records]
    both = dict(zip(WAYS, (own, [exchanged(found) for found in own]), strict=True))
    figures = {
        f"{way}_{name}": statistic(float(f[name]) for f in found)
        for way, found in both.items()
        for name in HEADINGS
    }
    setting = row.setting if row.trained else row.role
    return GridRow(
        {"model": row.label, "setting": setting, "n": len(row.seeds), **figures}, row.role
    )
