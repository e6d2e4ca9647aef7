"""Cells that every kind of table writes alike: figures as text, columns' heads, Markdown pipes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from harness.boards.aggregate import Statistic
from harness.protocols.metrics import headings


class _Heads(Mapping[str, str]):
    """Headings of the registered metrics, plugins' among them, and of micro-F1 tuned."""

    def __getitem__(self, name: str) -> str:
        return self._known()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())

    def _known(self) -> dict[str, str]:
        return headings() | {"tuned_micro_f1": "micro-F1 tuned"}


HEADS = _Heads()
NOTHING = "–"


def format_statistic(value: Statistic | None, digits: int = 4) -> str:
    """Return ``mean ± std`` with fixed digits; the mean alone for one seed."""
    if value is None:
        return NOTHING
    mean = f"{value.mean:.{digits}f}"
    return mean if value.std is None else f"{mean} ± {value.std:.{digits}f}"


def format_interval(ends: tuple[float, float] | None, digits: int = 4) -> str:
    """Return ``low..high`` with fixed digits."""
    return NOTHING if ends is None else f"{ends[0]:.{digits}f}..{ends[1]:.{digits}f}"


def format_number(value: float | None, digits: int = 4) -> str:
    """Return a number with fixed digits."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def csv_number(value: float | None) -> str:
    """Return a number as CSV files hold it; empty for None."""
    return "" if value is None else f"{value:.6f}"


def csv_statistic(value: Statistic | None) -> tuple[str, str]:
    """Return mean and standard deviation as CSV files hold them."""
    return ("", "") if value is None else (csv_number(value.mean), csv_number(value.std))


def pipe(
    heads: Sequence[str], lines: Sequence[Sequence[str]], left: Collection[int] = (0, 1)
) -> str:
    """Return a Markdown table; the columns at the places ``left`` start left, the others right."""
    aligned = ["left" if place in left else "right" for place in range(len(heads))]
    return tabulate(
        [[cell.replace("|", "\\|") for cell in cells] for cells in lines],
        heads, tablefmt="pipe", disable_numparse=True, colalign=aligned if lines else None,
    )  # fmt: skip


def rounded(value: Any) -> Any:
    """Return nested values with floats to ten digits, so that no platform's last bit shows."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    return round(value, 10) if isinstance(value, float) else value
