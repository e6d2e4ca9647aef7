"""Which rows stand for their models where boards are compared: ``entrants.yaml``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.boards.frame import content_of
from harness.boards.rows import Row, Table
from harness.boards.settings import ablated, asked
from harness.documents import read_yaml
from harness.errors import DataFormatError, UnknownNameError
from harness.plugins import load
from harness.records.record import COMPLETE, ORACLES, RunRecord

FILE = "entrants.yaml"


@dataclass(frozen=True)
class Official:
    """One entry: models under a preset, a protocol of training and all of these seeds.

    ``data`` is the start of a content hash; empty: the newest content.
    """

    models: tuple[str, ...]
    preset: str
    train_dropout: str
    seeds: tuple[int, ...]
    data: str = ""

    def holds(self, table: Table, row: Row) -> bool:
        """Return whether a row is of this entry: the preset as it is, with all the seeds."""
        return (
            row.model in self.models
            and row.first.config["preset"] == self.preset
            and table.place.train_dropout == self.train_dropout
            and table.place.content.startswith(self.data)
            and set(self.seeds) <= set(row.seeds)
        )


def read_entrants(folder: Path) -> dict[str, list[Official]] | None:
    """Return the entries of ``entrants.yaml`` in a folder by data set; None: there is no file.

    Raises:
        DataFormatError: the file is not as documented.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    content = read_yaml(path)
    try:
        return {str(name): [_entry(e) for e in entries] for name, entries in content.items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataFormatError(
            f"{path}: expected data sets with lists of models, preset, train_dropout, seeds "
            f"(and data); found {type(error).__name__}: {error}."
        ) from error


def entrants_text(entries: Mapping[str, Sequence[Official]]) -> str:
    """Return entries as the text of ``entrants.yaml``."""
    import yaml

    plain = {
        name: [
            {"models": [*e.models], "preset": e.preset, "train_dropout": e.train_dropout,
             "seeds": [*e.seeds], **({"data": e.data} if e.data else {})}
            for e in known
        ]
        for name, known in entries.items()
    }  # fmt: skip
    text: str = yaml.safe_dump(plain, sort_keys=True, default_flow_style=None, width=100)
    return text


def missing(entries: Sequence[Official], records: Iterable[RunRecord]) -> list[str]:
    """Return the declared entrants without a finished run, as ``model, seed S`` each."""
    found = [
        (r.model["name"], r.config["preset"], r.protocols["train_dropout"], r.seed, content_of(r))
        for r in records
        if r.status == "ok" and r.role != "trial" and not asked(r) and not ablated(r)
    ]
    lacking = []
    for entry in entries:
        kind = (entry.preset, entry.train_dropout)
        there = {(m, s) for m, p, t, s, c in found if (p, t) == kind and c.startswith(entry.data)}
        wanted = [(model, seed) for model in entry.models for seed in entry.seeds]
        lacking += [f"{model}, seed {seed}" for model, seed in wanted if (model, seed) not in there]
    return list(dict.fromkeys(lacking))


def entrants_of(
    tables: Sequence[Table], source: str, entries: Sequence[Official] | None
) -> tuple[list[Row], list[Row]]:
    """Return the rows that stand for their models on complete data, and the others.

    Trivial predictors always do. Without entries every row of the newest content does that was
    trained on complete data with the data set's default preset as it is (`DatasetSpec`; of data
    that is not installed: ``tuned`` on twins, else ``paper``).

    Args:
        tables: of one board, newest data first.
        source: ``twin`` or ``real``.
        entries: of ``entrants.yaml``; None: there is no such file.
    """
    default = _default_preset(tables, source)
    chosen: list[Row] = []
    others: list[Row] = []
    complete = [t for t in tables if t.place.dropout == COMPLETE]
    for table in complete:
        newest = table.place.content == complete[0].place.content
        for row in table.rows:
            plain = not asked(row.first) and not ablated(row.first)
            if row.role in ORACLES or (row.role == "trivial" and table is not complete[0]):
                continue
            if row.role == "trivial":
                official = True
            elif entries is not None:
                official = plain and any(entry.holds(table, row) for entry in entries)
            else:
                preset = (row.first.config["preset"] or default) == default
                official = plain and preset and newest and table.place.train_dropout == COMPLETE
            (chosen if official else others).append(row)
    return chosen, others


def _default_preset(tables: Sequence[Table], source: str) -> str:
    for table in tables[:1]:
        with suppress(UnknownNameError):
            return load().dataset(table.place.dataset).default_preset
    return "tuned" if source == "twin" else "paper"


def _entry(entry: Mapping[str, Any]) -> Official:
    return Official(
        tuple(map(str, entry["models"])), str(entry["preset"]),
        str(entry.get("train_dropout", COMPLETE)), tuple(map(int, entry["seeds"])),
        str(entry.get("data", "")),
    )  # fmt: skip
