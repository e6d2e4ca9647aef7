"""Views for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from tabulate import tabulate

from harness.boards.grid import Grid, View
from harness.boards.render.text import broken, plain, shown

WIDTH = 100
"""Characters in a line of a table, unless all of it is asked for."""
# Texts are broken between words, into lines of at least so many characters.
_NARROWEST = 20
_GAP = 2


def console(view: View, width: int | None = WIDTH) -> str:
    """Return a view as plain text, its tables as `fitted` to a width."""
    parts = [view.title, *map(plain, view.notes)]
    parts += [table(grid, width) for grid in view.read_by("page")]
    parts += map(plain, view.after)
    return "\n\n".join(part for part in parts if part) + "\n"


def table(grid: Grid, width: int | None = WIDTH) -> str:
    """Return a grid as plain text: title, what it is about, the table, notes."""
    columns, lines = shown(grid)
    whole = [i for i, column in enumerate(columns) if column.kind != "text"]
    body = fitted([column.head for column in columns], lines, width, whole)
    parts = [plain(f"{grid.title}\n{grid.about}").strip(), body, *map(plain, grid.notes)]
    return "\n\n".join(part for part in parts if part)


def fitted(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None = WIDTH,
    whole: Collection[int] = (),
) -> str:
    """Return a table in which no line is longer than a width, as far as words allow.

    Texts go on in the next line. Where that is not enough there are several tables, each with the
    first column. A word that is longer than the last column, such as a path, reaches over the edge:
    apart from the rest of its row nobody finds it.

    Args:
        heads: a head a column.
        rows: cells as text.
        width: most characters in a line; None: as many as there are.
        whole: places of columns whose cells are never broken.
    """
    lines = [list(row) for row in rows]
    if width is None or not heads:
        return _drawn(heads, lines)
    columns = [[row[i] for row in lines] for i in range(len(heads))]
    # tabulate gives a head room for two characters more.
    least = [len(head) + _GAP for head in heads]
    natural = [max(least[i], *map(len, column), 0) for i, column in enumerate(columns)]
    for i, column in enumerate(columns):
        last = i == len(columns) - 1
        words = 0 if last else max(map(_longest_word, column), default=0)
        narrow = max(least[i], min(natural[i], _NARROWEST), words)
        least[i] = natural[i] if i in whole else narrow
    tables = []
    for places in broken([some + _GAP for some in least], width + _GAP + 1):
        room = width - _GAP * (len(places) - 1)
        widths = dict(zip(places, _shared(natural, least, places, room), strict=True))
        cut = [[_wrapped(row[i], widths[i]) for i in places] for row in lines]
        head, rule, *body = _drawn([heads[i] for i in places], cut).split("\n")
        tables.append("\n".join([head, rule[:width], *body]))
    return "\n\n".join(tables)


def _drawn(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return tabulate(lines, heads, tablefmt="simple", disable_numparse=True)


def _shared(
    natural: Sequence[int], least: Sequence[int], places: Sequence[int], room: int
) -> list[int]:
    """Return the widths of some columns: the widest gives way first, none below its least."""
    widths = [natural[i] for i in places]
    while sum(widths) > room:
        over = [(wide, i) for i, wide in enumerate(widths) if wide > least[places[i]]]
        if not over:
            break
        widths[max(over)[1]] -= 1
    return widths


def _wrapped(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)
