"""What cannot be right in printed tables, by arithmetic alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from harness.boards.deviations import Deviations, Floor
from harness.boards.reported import Reported, ReportedRow

# Half a unit of the third decimal, the last one printed.
HALF_UNIT = 0.0005
# Up to here a mean over runs, whose parts need not obey the identity, may be the reason.
F1_TOLERANCE = 0.004
# Binary fractions of printed decimals must not decide a comparison at the edge.
_EPSILON = 1e-9


@dataclass(frozen=True)
class Finding:
    """One figure that contradicts others.

    ``check`` is one of ``f1-identity`` (off by more than 0.004), ``f1-rounding`` (off by less, but
    by more than rounding), ``weighted-bound``, ``identical-rows``, ``below-constant`` and
    ``same-model``. ``printed`` is the figure in print, ``limit`` what it had to be, or its bound.
    """

    table: str
    row: str
    check: str
    text: str
    printed: float | None = None
    limit: float | None = None


def implied_f1(precision: float, recall: float) -> tuple[float, float, float]:
    """Return 2PR/(P+R) with its least and greatest value under rounding of P and R to 3 digits."""

    def f1(p: float, r: float) -> float:
        return 2 * p * r / (p + r) if p + r > 0 else 0.0

    low = f1(max(precision - HALF_UNIT, 0.0), max(recall - HALF_UNIT, 0.0))
    return f1(precision, recall), low, f1(precision + HALF_UNIT, recall + HALF_UNIT)


def weighted_f1_bound(accuracy: float) -> float:
    """Return the greatest weighted F1 that single-label predictions of an accuracy can have.

    F1 of class c is 2 TP_c / (n_c + p_c), at most 2 r_c / (1 + r_c) with r_c its recall; that is
    concave in r_c, and the recalls weighted by n_c / n average to the accuracy.
    """
    return 2 * accuracy / (1 + accuracy)


def audit(tables: Mapping[str, Reported], deviations: Deviations) -> list[Finding]:
    """Return every finding, in the order of the tables and their rows."""
    found: list[Finding] = []
    for name, table in tables.items():
        facts = deviations.tables.get(name)
        for row in table.rows:
            found += _identity(name, row)
            if facts is not None:
                if facts.label_kind == "singlelabel":
                    found += _weighted(name, row)
                found += _floor(name, row, facts.floor)
        found += _identical(name, table)
    found += _same_model(tables, deviations)
    return found


def _identity(table: str, row: ReportedRow) -> Iterator[Finding]:
    p, r, f1 = (row.printed.get(k) for k in ("precision", "recall", "micro_f1"))
    if p is None or r is None or f1 is None:
        return
    implied, low, high = implied_f1(p, r)
    if low - HALF_UNIT - _EPSILON <= f1 <= high + HALF_UNIT + _EPSILON:
        return
    gross = abs(f1 - implied) > F1_TOLERANCE
    tail = "" if gross else ", more than rounding explains"
    text = (
        f"micro-F1 {f1:.3f} is printed, 2PR/(P+R) of the printed P {p:.3f} and R {r:.3f} is "
        f"{implied:.4f} (off by {f1 - implied:+.4f}{tail})"
    )
    check = "f1-identity" if gross else "f1-rounding"
    yield Finding(table, row.name, check, text, f1, implied)


def _weighted(table: str, row: ReportedRow) -> Iterator[Finding]:
    accuracy = row.printed.get("accuracy", row.printed.get("micro_f1"))
    weighted = row.printed.get("weighted_f1")
    if accuracy is None or weighted is None:
        return
    bound = weighted_f1_bound(accuracy)
    if weighted - HALF_UNIT > weighted_f1_bound(accuracy + HALF_UNIT) + _EPSILON:
        text = (
            f"weighted F1 {weighted:.3f} is printed, but an accuracy (= micro-F1) of "
            f"{accuracy:.3f} allows at most 2 acc/(1+acc) = {bound:.3f} for single-label answers"
        )
        yield Finding(table, row.name, "weighted-bound", text, weighted, bound)


def _floor(table: str, row: ReportedRow, floor: Floor | None) -> Iterator[Finding]:
    if floor is None:
        return
    for metric, value in floor.figures.items():
        printed = row.printed.get(metric)
        if printed is not None and printed + HALF_UNIT < value:
            text = f"{metric} {printed:.3f} is below the {value:.3f} of {floor.predictor}"
            yield Finding(table, row.name, "below-constant", text, printed, value)


def _identical(name: str, table: Reported) -> Iterator[Finding]:
    for a, b in combinations(table.rows, 2):
        if dict(a.printed) == dict(b.printed) and None not in a.printed.values():
            for row, other in ((a, b), (b, a)):
                text = f"all {len(table.metrics)} figures equal those of {other.name}"
                yield Finding(name, row.name, "identical-rows", text)


def _same_model(tables: Mapping[str, Reported], deviations: Deviations) -> Iterator[Finding]:
    for first, second in deviations.same_model:
        rows = [_row(tables, place) for place in (first, second)]
        if rows[0] is None or rows[1] is None:
            continue
        one, other = rows[0].printed, rows[1].printed
        differing = [m for m in one if m in other and one[m] != other[m]]
        if differing:
            pairs = ", ".join(f"{m} {one[m]:.3f} and {other[m]:.3f}" for m in differing)
            text = f"the same model has other figures as {second[1]} of {second[0]}: {pairs}"
            yield Finding(first[0], first[1], "same-model", text)
            text = f"the same model has other figures as {first[1]} of {first[0]}: {pairs}"
            yield Finding(second[0], second[1], "same-model", text)


def _row(tables: Mapping[str, Reported], place: tuple[str, str]) -> ReportedRow | None:
    table = tables.get(place[0])
    rows = table.rows if table is not None else ()
    return next((row for row in rows if row.name == place[1]), None)
