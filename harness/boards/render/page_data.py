"""What the page's script knows: the heads of boards, and boards as compact JSON values.

Figures are integers, ten-thousandths: four digits are what boards print, and the page stays small.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.boards.board import Board
from harness.boards.frame import SORT_BY, Key
from harness.boards.grid import Statistic
from harness.boards.render.text import plain
from harness.boards.robust import RobustTable, robust_tables
from harness.boards.rows import Row, Table
from harness.boards.settings import commands_of
from harness.boards.shares import share_of, values_of
from harness.boards.views.columns import heading, keys
from harness.boards.views.leaderboard import SLICED, slice_samples
from harness.boards.views.robustness import SPECIALIST
from harness.boards.views.table import MAIN, chance, failure_of
from harness.plugins.registry import FIRST_PARTY
from harness.protocols.aggregates import CORE, FULL
from harness.protocols.metrics import METRICS
from harness.records.record import COMPLETE, RunRecord
from harness.specs import LabelKind
from harness.statistics.ranks import rank_text

SCALE = 10_000
DETERMINISTIC = -1
"""In place of a deviation: every seed gives the same figure."""
ACCURACY = "accuracy"
PER_LABEL = ("precision", "recall", "f1", "ap")
# Further metrics whose aggregates a page holds, by kind of labels.
AGGREGATED = {"multilabel": ("jaccard", "macro_f1"), "singlelabel": ("macro_f1", "weighted_f1")}


def board_head(board: Board) -> dict[str, Any]:
    """Return what the page knows of a board before it is chosen, JSON values."""
    return {
        "name": board.dataset,
        "base": board.base_name,
        "twin": board.source == "twin",
        "lines": [plain(line) for line in board.about],
    }


def board_data(board: Board) -> dict[str, Any]:
    """Return a board as the page holds it, JSON values."""
    return _Page(board).values()


def page_data(boards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values that ``page.js`` reads, with boards as `board_head` gives them.

    What `board_data` gives is read where a board is chosen. Seeds, per-label scores and tests are
    there for complete data; other dropout protocols have mean and deviation, from which the page
    draws its curves. A row is an object, or where it has nothing but figures
    ``[about, mean, std, ...]``.
    """
    # Metrics without a column are not on the page: one that is added leaves it as it is.
    shown = [m for m in METRICS.values() if m.columns]
    keys = [Key(m.name, threshold) for threshold in ("declared", "tuned") for m in shown]
    return {
        "scale": SCALE,
        "heads": {key.name: heading(key) for key in keys},
        "lower": [m.name for m in shown if m.lower_is_better],
        "comparable": [key.name for key in keys if METRICS[key.metric].sums is not None],
        "boards": boards,
    }


def scaled(value: float | None) -> int | None:
    """Return a figure as the page holds it: an integer, ten-thousandths."""
    return None if value is None else round(value * SCALE)


def on_page(key: Key, kind: LabelKind) -> str:
    """Return the page's name of a figure: with one label a sample micro-F1 is accuracy."""
    return ACCURACY if (key, kind) == (SORT_BY, "singlelabel") else key.name


class _Page:
    """One board on its way to the page; what rows share under several protocols is kept once."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.kind = board.label_kind
        self._tested = board.tables[0].key if board.tables else SORT_BY
        self.about: list[dict[str, Any]] = []
        self._places: dict[tuple[str, ...], int] = {}
        core = {n for t in board.robustness if t.suite == CORE for n in t.protocols}
        self._other = {n for t in board.robustness for n in t.protocols} - core - {FULL}
        self._labels = _per_label(board.records)

    def values(self) -> dict[str, Any]:
        """Return the board as JSON values."""
        board = self.board
        tables = [
            self._table(table) | {"external": outside}
            for outside, some in ((False, board.tables), (True, board.external))
            for table in some
        ]
        return {
            "compat": board.compat,
            "made": _made(board.records),
            "single": board.label_kind == "singlelabel",
            "tested": on_page(self._tested, self.kind),
            "main": [on_page(Key(m, self._tested.threshold), self.kind) for m in MAIN[self.kind]],
            "tables": tables,
            "suites": self._suites(),
            "about": self.about,
        }

    def _place(self, row: Row) -> int:
        if row.runs not in self._places:
            self._places[row.runs] = len(self.about)
            self.about.append(
                {"model": row.model, "label": row.label, "name": row.name, "role": row.role,
                 "setting": row.setting, "version": row.first.model["version"],
                 "parameters": row.first.parameters, "seeds": row.seeds, "runs": row.runs,
                 "commands": commands_of(row.records)}
                | _cost(row.records)
                | ({"older": True} if row.older else {})
                | ({} if row.tested_before is None else {"tested": row.tested_before})
            )  # fmt: skip
        return self._places[row.runs]

    def _shown(self, table: Table) -> list[Key]:
        """Return the figures of a table that the page shows, the one that is tested first.

        Protocols of other suites than `CORE` have those whose aggregates there are: the page stays
        small, and the board's own files hold the others.
        """
        names = {f"{name}@1" for name in self._other}
        wanted = (SORT_BY.metric, *AGGREGATED[self.kind])
        return [
            key
            for key in keys(self.kind)
            if (key.metric != ACCURACY or self.kind != "singlelabel")
            and (
                table.place.dropout not in names
                or (key.metric in wanted and key.threshold == self._tested.threshold)
            )
        ]

    def _table(self, table: Table) -> dict[str, Any]:
        place, shown = table.place, self._shown(table)
        samples = slice_samples(table)
        metrics = SLICED if place.dropout == COMPLETE else (SORT_BY.metric,)
        parts = [Key(name, table.key.threshold, part) for part in samples for name in metrics]
        rows = []
        for row in table.rows:
            values = self._row(row, table, shown)
            if samples and any(key.slice for key in row.figures):
                values["slices"] = _pairs(row.figures.get(key) for key in parts)
            about = self._place(row)
            plain = list(values) == ["figures"]
            rows.append([about, *values["figures"]] if plain else values | {"about": about})
        return {
            "id": place.protocol, "hash": place.content,
            "data": table.data.replace("`", ""), "mask": place.mask,
            "train": place.train_dropout, "dropout": place.dropout, "split": place.split,
            "samples": table.samples, "rate": scaled(table.rate),
            "metrics": [on_page(key, self.kind) for key in shown],
            "slices": {
                "names": list(samples), "samples": list(samples.values()),
                "metrics": [on_page(Key(name, table.key.threshold), self.kind) for name in metrics],
            } if samples else None,
            "rows": rows,
            "shares": _shares(table, shown),
            "tests": [
                [*pair, int(t.told_apart),
                 *map(scaled, (t.delta, *t.delta_ci, t.p_perm, t.p_seeds, t.p_holm))]
                for pair, t in table.tests.items()
            ],
            "chance": chance(table) if place.dropout == COMPLETE else "",
            "failed": [[r.model["name"], r.seed, r.id, failure_of(r)] for r in table.failed],
        }  # fmt: skip

    def _row(self, row: Row, table: Table, shown: Sequence[Key]) -> dict[str, Any]:
        values: dict[str, Any] = {
            "figures": _pairs(row.figures.get(key) for key in shown),
            "rank": rank_text(row.rank),
            "over_seeds": row.t_interval and [scaled(end) for end in row.t_interval],
            "over_samples": row.sample_interval and [scaled(end) for end in row.sample_interval],
            "clusters": row.clusters,
        }
        if table.place.dropout == COMPLETE:
            values["seeds"] = [[scaled(v.get(key)) for key in shown] for v in row.values]
            values["labels"] = self._by_label(row, table)
        return {name: value for name, value in values.items() if value not in (None, "", [])}

    def _by_label(self, row: Row, table: Table) -> list[list[Any]]:
        """Return per label its name, support, and `PER_LABEL` as means over seeds."""
        each = [self._labels.get((r.id, table.place.split), {}) for r in row.records]
        lines = []
        for label in each[0]:
            mine = [found[label] for found in each if label in found]
            support = mine[0].get("support")
            line: list[Any] = [label, None if support is None else int(support)]
            for name in PER_LABEL:
                known = [one[name] for one in mine if name in one]
                line.append(scaled(statistics.fmean(known)) if known else None)
            lines.append(line)
        return lines

    def _suites(self) -> list[dict[str, Any]]:
        """Return a board's suites: which protocols, and aggregates over seeds by metric.

        Figures per protocol are those of the board's tables; they are not repeated. A row is
        ``[place, n, mean, std, ...]`` in the order of ``names``; None where it is undefined.
        """
        by_metric = {SORT_BY.metric: list(self.board.robustness)}
        if any(row.aggregates for table in self.board.robustness for row in table.rows):
            by_metric |= {m: robust_tables(self.board.tables, m) for m in AGGREGATED[self.kind]}
        return [
            {"hash": table.content, "mask": table.mask, "track": table.track.name,
             "suite": table.suite or "protocols outside a whole suite",
             "protocols": [f"{name}@1" for name in table.protocols],
             "training": [*table.trainings, *([COMPLETE] if table.track.hiding else [])],
             "rows": [self._place(row.row) for row in table.rows],
             "told": _told(table), "ranks": [rank_text(row.rank) for row in table.rows],
             "rankedBy": table.ranked_by,
             "aggregates": {
                 on_page(other.key, self.kind): self._aggregates(other)
                 for tables in by_metric.values()
                 for other in tables
                 if _same(other, table) and any(row.aggregates for row in other.rows)
             }}
            for table in self.board.robustness
        ]  # fmt: skip

    def _aggregates(self, table: RobustTable) -> dict[str, Any]:
        names = [
            a.name for a in table.aggregates if any(a.name in row.aggregates for row in table.rows)
        ]
        rows = [
            [self._place(r.row), len(r.seeds), *_pairs(r.aggregates.get(n) for n in names)]
            for r in table.rows
        ]
        return {"names": names, "rows": rows}


def _made(records: Sequence[RunRecord]) -> dict[str, Any]:
    """Return by which versions and commits runs of a board were made, and the newest one's day."""
    packages = (r.provenance.get("packages") or {} for r in records)
    return {
        "versions": sorted({str(p[FIRST_PARTY]) for p in packages if FIRST_PARTY in p}),
        "commits": sorted({_short(r.provenance.get("commit") or "") for r in records} - {""}),
        "newest": max((r.created[:10] for r in records), default=""),
    }


def _short(commit: str) -> str:
    """Return the first digits of a commit, and whether there were local changes."""
    digits, mark, changed = commit.partition("+")
    return f"{digits[:12]}{mark}{changed}"


def _shares(table: Table, shown: Sequence[Key]) -> list[list[int | None]] | None:
    """Return the normalised share of every row by every figure; None: there is none."""
    each = [values_of(table.rows, key) for key in shown]
    found = [[scaled(share_of(row, one, table.rows)) for one in each] for row in table.rows]
    return found if any(share is not None for row in found for share in row) else None


def _cost(records: Sequence[RunRecord]) -> dict[str, int]:
    """Return what runs cost, the mean over them, as far as it is known."""
    found: dict[str, int] = {}
    for name in ("seconds", "cpu_s", "trials", "steps", "peak_memory"):
        known = [float(r.budget[name]) for r in records if r.budget.get(name) is not None]
        found |= {name: round(statistics.fmean(known))} if known else {}
    return found


def _per_label(
    records: Iterable[RunRecord],
) -> Mapping[tuple[str, str], dict[str, dict[str, float]]]:
    """Return per run and split its figures by label and metric on complete data."""
    found: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for record in records:
        for split, places in record.metrics.get(COMPLETE, {}).items():
            labels = (places.get("declared") or {}).get("per_label", {})
            found[record.id, split] = {
                label: known
                for label, own in labels.items()
                if (known := {name: float(v) for name, v in own.items() if v is not None})
            }
    return found


def _told(table: RobustTable) -> list[str]:
    """Return what stands behind a row's name: a mark, and its training where rows differ in it."""
    several = len({row.training for row in table.rows if row.row.trained}) > 1
    return [
        (f" {SPECIALIST}" if row.specialist else "")
        + (f", {row.training}" if several and row.training else "")
        for row in table.rows
    ]


def _same(one: RobustTable, other: RobustTable) -> bool:
    names = ("content", "mask", "track", "suite")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _pairs(values: Iterable[Statistic | None]) -> list[int | None]:
    found: list[int | None] = []
    for value in values:
        if value is None:
            found += [None, None]
        else:
            std = DETERMINISTIC if value.deterministic else scaled(value.std)
            found += [scaled(value.mean), std]
    return found
