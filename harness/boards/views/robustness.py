"""What a model keeps when modalities fail: every protocol of a suite, and its aggregates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.boards.frame import REFERENCE_ROLES
from harness.boards.grid import (
    DATA,
    EVERYONE,
    NOT_PAGE,
    PAGE,
    Cell,
    Column,
    Grid,
    GridRow,
    Kind,
    View,
)
from harness.boards.robust import RobustRow, RobustTable
from harness.boards.views.columns import about_run, heading
from harness.boards.views.table import common, named_row, setting_of
from harness.protocols.aggregates import BLOCKS, FULL, MISSING, POOLED, members_of
from harness.protocols.dropout import parse
from harness.specs import LabelKind
from harness.statistics.ranks import rank_text

if TYPE_CHECKING:
    from harness.boards.board import Board

SPECIALIST = "†"
_SHOWN = EVERYONE - DATA
_MEANS = "Means over seeds; deviations stand in the CSV and JSON files."
_SPECIALISTS = f"{SPECIALIST} Made for missing modalities, as its card says."
_AGGREGATED = "Aggregated per seed, then mean ± sample standard deviation over seeds."
_HIDING = (
    "`hides itself`: trained on complete data by a model that hides modalities itself in training; "
    "it stands in both tracks."
)
_PARTS = {
    MISSING: (
        ("How much is missing", ("rates",)),
        ("Which samples lack modalities, and why", ("some", "mcar", "mnar")),
        ("Missing positions", ("inside",)),
    )
}
"""Tables of a suite that has many kinds of missingness, by blocks or families of protocols."""


def view(board: Board) -> View:
    """Return the scores of every suite, their aggregates, and shares of the ceiling."""
    grids = [grid for table in board.robustness for grid in robust_grids(table)]
    rows = [row for table in board.robustness for row in table.rows]
    after = [_MEANS]
    after += [_SPECIALISTS] if any(row.specialist for row in rows) else []
    after += [_HIDING] if any("hides" in row.training for row in rows) else []
    title = f"{board.dataset}: robustness"
    return board.view("robustness", "-robustness", title, grids, after=after)


def robust_grids(table: RobustTable) -> list[Grid]:
    """Return a table's scores, its aggregates, tests and shares of the ceiling, a grid each."""
    made = _Grids(table)
    heads = {name: name for name in table.protocols}
    notes: tuple[str, ...] = ()
    if table.left_out:
        lacking = ", ".join(dict.fromkeys(table.left_out))
        notes = (f"Not scored under every protocol, hence not here: {lacking}.",)
    whole = replace(made.grid("Scores", "scores", heads, made.about), notes=notes)
    found, about = [replace(whole, readers=NOT_PAGE)], made.about_page
    for title, names in _parts(table):
        if names:
            columns = {name: name for name in (FULL, *names)}
            shown = made.grid(title, "scores", columns, about)
            found.append(replace(shown, notes=notes, readers=PAGE))
            about = ""
    if table.aggregates:
        found.append(made.aggregates())
        found += [made.against()] if made.best_other is not None else []
        found += [made.pairs()] if table.tests else []
    if any(row.shares for row in table.rows):
        text = (
            "(F - constant) / (ceiling - constant) under the same protocol: 0 is what the best "
            "constant set reaches, 1 the most there is."
        )
        found.append(made.grid("Normalised share", "shares", heads, text))
    return found


def _parts(table: RobustTable) -> list[tuple[str, list[str]]]:
    """Return the tables that people are shown: a title, and the protocols beside ``full``."""
    fixed = members_of(table.protocols, "fixed")
    found = [("Which modalities are missing", fixed)]
    others = [name for name in table.protocols if name != FULL and name not in fixed]
    for title, kinds in _PARTS.get(table.suite, ()):
        families = {f for kind in kinds for f in BLOCKS.get(kind, (kind,))}
        mine = [name for name in others if _family(name) in families]
        found.append((title, mine))
        others = [name for name in others if name not in mine]
    return [*found, ("How much", others)]


def _family(name: str) -> str:
    return parse(name).family


def _ends(row: RobustRow) -> dict[str, Cell]:
    return {f"{name}_interval": interval for name, interval in row.intervals.items()}


class _Grids:
    """The grids of a table, which share their rows."""

    def __init__(self, table: RobustTable) -> None:
        self.table = table
        settings = {setting_of(r.row) for r in table.rows if r.role == "model"}
        self.usual = {"setting": settings.pop() if len(settings) == 1 else None}
        self.trainings = {r.training for r in table.rows if r.row.trained}
        kind: LabelKind = table.rows[0].row.first.dataset["label_kind"]
        self.metric = heading(table.key, kind)
        under = ", ".join(f"`{name}`" for name in table.trainings)
        self.about = (
            f"{self.metric} on the {table.split} split, trained under {under}, "
            f"mask `{table.mask}`, {table.data}. A row is one trained checkpoint "
            "scored under every protocol, with the same dropout masks as the others."
        )
        self.about_page = self.about
        if self.usual["setting"] is not None:
            self.about_page += f" All models: {self.usual['setting'] or 'class defaults'}."
        self.facts = {
            "dataset": table.dataset, "data_hash": table.data_hash, "mask": table.mask,
            "track": table.track.name, "suite": table.suite, "metric": table.key.name,
        }  # fmt: skip
        suite = f"`{table.suite}`" if table.suite else "Protocols outside a whole suite"
        self.section = f"{suite}, {table.track.name}"

    def name(self, row: RobustRow) -> str:
        """Return a row's name as people read it, with its training where rows differ in it."""
        name = named_row(row.row, self.usual)
        name += f" {SPECIALIST}" if row.specialist else ""
        several = len(self.trainings) > 1 and row.row.trained
        return f"{name}, {row.training}" if several else name

    def cells(self, row: RobustRow) -> dict[str, Cell]:
        """Return the cells that tell rows apart."""
        return common(row.row) | {
            "n": len(row.seeds), "seeds": " ".join(map(str, row.seeds)), "name": self.name(row),
            "train_dropout": row.trained, "training": row.training,
            "made_for_missing": "yes" if row.specialist else "",
        }  # fmt: skip

    @property
    def fixed(self) -> list[Column]:
        """Return the first columns."""
        return [
            Column("name", "model", readers=_SHOWN),
            Column("model", readers=DATA), Column("setting", readers=DATA), *about_run(),
            Column("n", kind="figure", readers=DATA), Column("train_dropout", readers=DATA),
            Column("made_for_missing", readers=DATA),
        ]  # fmt: skip

    def rows(self, quantity: str, names: Iterable[str]) -> list[RobustRow]:
        """Return the rows of a grid: reference rows only if they have one of these figures.

        Of shares they have none.
        """
        return [
            row
            for row in self.table.rows
            if row.role not in REFERENCE_ROLES
            or (quantity != "shares" and any(name in getattr(row, quantity) for name in names))
        ]

    def grid(self, title: str, quantity: str, heads: Mapping[str, str], text: str = "") -> Grid:
        """Return a grid of the rows' ``scores``, ``aggregates`` or ``shares``; see `rows`.

        Args:
            title: of the grid.
            quantity: the attribute of `RobustRow`.
            heads: headings by protocol or aggregate.
            text: what stands above.
        """
        table = self.table
        shape: Kind = "share" if quantity == "shares" else "mean"
        columns = [
            Column(
                name, head, shape, about={"quantity": quantity, "figure": name,
                "missing_rate": table.rates.get(name), "mask_digest": table.digests.get(name)},
                interval=f"{name}_interval",
            )
            for name, head in heads.items()
        ]  # fmt: skip
        rows = [
            GridRow(
                self.cells(r) | dict(getattr(r, quantity)), r.role, older=r.row.older,
            )
            for r in self.rows(quantity, heads)
        ]  # fmt: skip
        return Grid(
            title, (*self.fixed, *columns), tuple(rows), (), text, self.facts, section=self.section
        )

    def aggregates(self) -> Grid:
        """Return the aggregates with intervals and rank letters, and their formulas."""
        table = self.table
        counts = {"fixed": len(members_of(table.protocols, "fixed"))}
        counts["all"] = counts["fixed"] + 1
        known = [a for a in table.aggregates if any(a.name in r.aggregates for r in table.rows)]
        heads = {a.name: a.heading.format(**counts) for a in known}
        formulas = [f"{a.heading}: {a.formula}".format(**counts) for a in known]
        text = f"{'; '.join(formulas)}. {_AGGREGATED}"
        if any("retention" in a.name for a in known):
            text += " A row that is not told from the best constant has no retention."
        if not table.ranked_by or table.ranked_by not in heads:
            lacking = "; ".join(a.heading.format(**counts) for a in table.aggregates
                                if a not in known)  # fmt: skip
            text += f" Not defined on this data: {lacking}." if lacking else ""
        if any(row.rank for row in table.rows):
            text += (
                " In brackets: 95 %, cluster bootstrap. `rank`: letters by "
                f"{heads[table.ranked_by]}, as on the leaderboard."
            )
        made = self.grid("Aggregates", "aggregates", heads, text)
        rows = tuple(
            replace(line, cells={**line.cells, "rank": rank_text(row.rank), **_ends(row)})
            for line, row in zip(made.rows, self.rows("aggregates", heads), strict=True)
        )
        columns = list(made.columns)
        if any(row.rank for row in table.rows):
            at = next(i for i, c in enumerate(columns) if c.name == table.ranked_by) + 1
            columns.insert(at, Column("rank"))
        for name in (table.ranked_by, "delta_mnar"):
            if any(name in row.intervals for row in table.rows):
                columns.append(
                    Column(f"{name}_interval", readers=DATA, kind="figure",
                           about={"quantity": "interval", "figure": name})
                )  # fmt: skip
        if any(POOLED in row.aggregates for row in table.rows):
            about = {"quantity": "aggregates", "figure": POOLED}
            head = f"pooled{counts['fixed']}"
            columns.append(Column(POOLED, head, "mean", readers=DATA, about=about))
        return replace(made, columns=tuple(columns), rows=rows)

    @property
    def best_other(self) -> int | None:
        """Return the place of the best model that was not made for missing modalities.

        None: there is none, or nothing that was made for them can be tested against it.
        """
        rows = self.table.rows
        ranked = [i for i, r in enumerate(rows) if r.rank]
        others = [i for i in ranked if not rows[i].specialist]
        return others[0] if others and len(others) < len(ranked) else None

    def against(self) -> Grid:
        """Return each model that was made for missing modalities against the best of the others."""
        table, best = self.table, self.best_other
        assert best is not None
        head = next(a.heading for a in table.aggregates if a.name == table.ranked_by)
        fixed = len(members_of(table.protocols, "fixed"))
        lines = [
            self._pair(number, best)
            for number, row in enumerate(table.rows)
            if row.rank and row.specialist
        ]
        text = (
            f"By {head.format(fixed=fixed)}, against {self.name(table.rows[best])}, the best of "
            "the others in this track: paired over groups of samples, seeds and twins; p is "
            "adjusted for all pairs of the table."
        )
        return Grid(
            "Made for missing modalities, against the best of the others", _PAIR,
            tuple(lines), (), text, self.facts, section=self.section, readers=_SHOWN,
        )  # fmt: skip

    def pairs(self) -> Grid:
        """Return the tests of all pairs."""
        rows = tuple(self._pair(*pair) for pair in sorted(self.table.tests))
        return Grid(
            "Differences", _PAIR, rows, (), "Tests of all pairs by the ranked aggregate.",
            self.facts | {"aggregate": self.table.ranked_by}, section=self.section, readers=DATA,
        )  # fmt: skip

    def _pair(self, first: int, second: int) -> GridRow:
        tests, rows = self.table.tests, self.table.rows
        sign = 1.0
        test = tests.get((first, second))
        if test is None:
            sign, test = -1.0, tests[second, first]
        low, high = sorted(sign * end for end in test.delta_ci)
        return GridRow(
            {"name": self.name(rows[first]), "other": self.name(rows[second]),
             "delta": sign * test.delta, "interval": (low, high), "p_perm": test.p_perm,
             "p_seeds": test.p_seeds, "p_holm": test.p_holm,
             "told_apart": "yes" if test.told_apart else "no"}
        )  # fmt: skip


_PAIR = (
    Column("name", "model"),
    Column("other", "against"),
    Column("delta", "difference", "signed", interval="interval"),
    Column("interval", "95 %", "figure", readers=DATA),
    Column("p_perm", kind="figure", readers=DATA),
    Column("p_seeds", kind="figure", readers=DATA),
    Column("p_holm", "p", "figure"),
    Column("told_apart", "told apart"),
)
