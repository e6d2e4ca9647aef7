"""Figures printed in papers (``published.yaml``), kept apart from measured ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.documents import read_yaml
from harness.errors import DataFormatError
from harness.plugins import Registry, resource


@dataclass(frozen=True)
class ReportedRow:
    """A printed row; where P and R are known to be swapped in print, ``true`` un-swaps them."""

    name: str
    printed: Mapping[str, float | None]
    true: Mapping[str, float | None]
    swapped: bool


@dataclass(frozen=True)
class Reported:
    """The printed table of one data set and what is doubtful about it."""

    source: str
    metrics: tuple[str, ...]
    rows: tuple[ReportedRow, ...]
    notes: tuple[str, ...]

    @property
    def exchanged(self) -> bool:
        """Return whether there are rows whose P and R are exchanged in print."""
        return "precision" in self.metrics and any(row.swapped for row in self.rows)


def reported_by_plugins(registry: Registry) -> dict[str, Reported]:
    """Return the printed tables that plugins bring, by data set; of two the first one counts.

    Raises:
        PluginError: a file that a plugin names does not exist.
        DataFormatError: a file is not as documented.
    """
    tables: dict[str, Reported] = {}
    for reference in registry.hook.reported():
        tables = read_reported(resource(reference)) | tables
    return tables


def read_reported(path: Path) -> dict[str, Reported]:
    """Return the printed tables by data set.

    Raises:
        DataFormatError: the file is not as documented.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise DataFormatError(f"{path.name}: expected a mapping of data sets.")
    notes = content.get("notes") or []
    tables = {k: v for k, v in content.items() if k not in ("source", "notes")}
    return {
        name: _table(f"{path.name}: {name}", name, table, notes, str(content.get("source", "")))
        for name, table in tables.items()
    }


def _table(where: str, name: str, table: Any, notes: Any, source: str) -> Reported:
    try:
        metrics = tuple(str(m) for m in table["metrics"])
        swapped = set(table.get("swapped", ()))
        rows = tuple(
            _row(row, dict(zip(metrics, values, strict=True)), row in swapped)
            for row, values in table["rows"].items()
        )
        concerning = tuple(str(n["text"]) for n in notes if name in n["tables"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataFormatError(
            f"{where}: expected the keys metrics and rows, each row with one value per metric, and "
            f"notes with tables and text; found {type(error).__name__}: {error}."
        ) from error
    return Reported(source, metrics, rows, concerning)


def _row(name: str, printed: dict[str, float | None], swapped: bool) -> ReportedRow:
    true = dict(printed)
    if swapped:
        true["precision"], true["recall"] = printed["recall"], printed["precision"]
    return ReportedRow(name, printed, true, swapped)
