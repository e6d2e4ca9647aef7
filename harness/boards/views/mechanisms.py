"""What the mechanisms of trained models do, from the diagnostics that their records hold.

`harness run --diagnose` and `harness runs diagnose` measure it on validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.boards.grid import DATA, Column, Grid, GridRow, Statistic, View, statistic
from harness.boards.rows import Row
from harness.records.record import COMPLETE, DIAGNOSTICS, RunRecord

if TYPE_CHECKING:
    from harness.boards.board import Board

SHARE, COSINE, PROBE, R2 = "gradient_share", "gradient_cosine", "probe_accuracy", "r2"

ABOUT = {
    SHARE: "Norm of each weighted loss term's gradient on the parameters that terms share, over "
    "the sum of these norms: means over the first batches of validation, in training mode, at the "
    "selected epoch.",
    COSINE: "Cosine of a term's gradient to that of the whole loss; below 0 it pulls against it.",
    PROBE: "Accuracy of a fresh linear probe that tells a vector's modality, cross-validated over "
    "groups of validation; chance is the share of the most frequent modality.",
    R2: "R² of each reconstruction of the encoded modality against its mean (per modality, label "
    "and dimension) over validation: 1 is exact, below 0 is worse than the mean.",
}
TITLES = {
    SHARE: "Share of each loss in the gradient", COSINE: "Direction of each loss's gradient",
    PROBE: "Linear probe for the modality", R2: "R² of reconstructions",
}  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """One measure of one run.

    Attributes:
        measure: one of `TITLES`.
        of: the loss term, part or level.
        value: None where it is undefined.
        reference: chance of a probe; None: there is none.
        modality: empty: over all of them.
    """

    measure: str
    of: str
    value: float | None
    reference: float | None = None
    modality: str = ""


@dataclass(frozen=True)
class Measured:
    """A measure of a row over its seeds; fields as of `Measure`."""

    measure: str
    of: str
    value: Statistic
    reference: float | None
    modality: str


def measures(record: RunRecord) -> list[Measure]:
    """Return what a record holds of its model's mechanisms; empty: it was not diagnosed."""
    return list(_measures(record.facts.get(DIAGNOSTICS) or {}))


def _measures(found: dict[str, Any]) -> Iterator[Measure]:
    terms = found.get("gradient", {}).get("terms", {})
    for measure, key in ((SHARE, "share"), (COSINE, "cosine")):
        for name, term in terms.items():
            yield Measure(measure, name, term[key])
    for name, probe in found.get("probe", {}).items():
        yield Measure(PROBE, name, probe["accuracy"], probe["chance"])
    for name, level in found.get("reconstruction", {}).items():
        yield Measure(R2, name, level["r2"])
        for modality, value in level["by_modality"].items():
            yield Measure(R2, name, value, modality=modality)


def over_seeds(records: Iterable[RunRecord]) -> list[Measured]:
    """Return the measures of runs of one row over those that have them."""
    values: dict[tuple[str, str, str], list[float]] = {}
    chances: dict[tuple[str, str, str], float | None] = {}
    for record in records:
        for m in measures(record):
            if m.value is not None:
                values.setdefault((m.measure, m.of, m.modality), []).append(m.value)
                chances[m.measure, m.of, m.modality] = m.reference
    return [
        Measured(key[0], key[1], statistic(each), chances[key], key[2])
        for key, each in values.items()
    ]


def view(board: Board) -> View:
    """Return the measures of a board's models and their ablations, a grid a measure."""
    tables = [*board.tables, *(a.table for a in board.ablations)]
    rows: dict[tuple[str, ...], Row] = {}
    for table in tables:
        for row in table.rows if table.place.dropout == COMPLETE else ():
            if row.trained and any(DIAGNOSTICS in r.facts for r in row.records):
                rows.setdefault(row.runs, row)
    grids = [_grid(measure, list(rows.values())) for measure in TITLES]
    return board.view(
        "mechanisms", "-mechanisms", f"{board.dataset}: mechanisms of models",
        [grid for grid in grids if grid.rows], ("Measured on validation; test is not opened.",),
    )  # fmt: skip


def _grid(measure: str, rows: Sequence[Row]) -> Grid:
    """Return a line a row and term, part or level."""
    lines, names = [], dict[str, None]()
    for row in rows:
        found = [m for m in over_seeds(row.records) if m.measure == measure]
        for whole in (m for m in found if not m.modality):
            own = {m.modality: m.value for m in found if m.of == whole.of and m.modality}
            names |= dict.fromkeys(own)
            cells = {
                "model": row.label, "setting": row.setting,
                "train_dropout": row.first.protocols["train_dropout"],
                "seeds": " ".join(map(str, row.seeds)), "of": whole.of, "n": whole.value.n,
                measure: whole.value, "chance": whole.reference, **own,
            }  # fmt: skip
            lines.append(GridRow(cells, row.role, older=row.older))
    columns = [
        Column("model"), Column("setting"), Column("train_dropout", readers=DATA),
        Column("seeds", readers=DATA), Column("of"), Column("n", kind="figure"),
        Column(measure, _HEADINGS[measure], "figure", 3),
        *([Column("chance", kind="figure", digits=3)] if measure == PROBE else []),
        *(Column(name, kind="figure", digits=3) for name in names),
    ]  # fmt: skip
    title, about = TITLES[measure], ABOUT[measure]
    return Grid(title, tuple(columns), tuple(lines), about=about, facts={"measure": measure})


_HEADINGS = {SHARE: "share", COSINE: "cosine", PROBE: "accuracy", R2: "R²"}
