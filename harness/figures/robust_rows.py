"""Which rows a robustness figure shows: names a user gives, one suite, one content of the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.boards.aggregate import label_of
from harness.boards.collect import ablated, on_board
from harness.boards.robustness import FULL, SUITES, RobustRow, RobustTable, robustness
from harness.errors import DataMissingError, UnknownNameError, UsageError
from harness.records.record import COMPLETE, RunRecord

SUITE_NAMES = tuple(f"{name}@1" for name in ("core", *SUITES))


@dataclass(frozen=True)
class Asked:
    """Which table is drawn; None: whatever there is, if it is one thing."""

    dataset: str
    suite: str = "core@1"
    metric: str = "micro_f1"
    track: str = COMPLETE
    mask: str | None = None


def robust_rows(records: Iterable[RunRecord], names: Sequence[str], asked: Asked) -> RobustTable:
    """Return the table of a suite with the rows of the named models and the ceiling.

    A name is a model's, or ``model:setting`` where a model has several rows; the rows' labels
    become the names. A model's ablations are named by their settings only. Of several contents of
    the data the newest that has them all is taken.

    Raises:
        UnknownNameError: no such data set, model, setting or metric in the records.
        DataMissingError: a model was not scored under every protocol of the suite.
        UsageError: several rows for one name, or several mask options.
    """
    mine = [r for r in on_board(records, asked.dataset) if r.role != "external"]
    _check_metric(mine, asked.metric)
    labels = {label_of(r.model): str(r.model["name"]) for r in mine}
    for name in names:
        model = name.partition(":")[0]
        if model not in {*labels, *labels.values()}:
            raise UnknownNameError(
                f"model with runs on {asked.dataset}", model, sorted(labels.values())
            )
    masks = sorted({str(r.dataset["mask"]) for r in mine if r.role == "model"})
    if asked.mask is None and len(masks) > 1:
        raise UsageError(f"{asked.dataset} was run under the masks {', '.join(masks)}: --mask.")
    full = _tables([r for r in mine if not ablated(r)], asked)
    # Ablations apart, so that they change the setting of no full row.
    less = _tables([r for r in mine if ablated(r)], asked)
    for table in full:
        extra = [row for other in less if _one_test(table, other) for row in other.rows]
        found = [_matching(name, table.rows, extra, labels) for name in names]
        if all(found):
            rows = [_only(name, some) for name, some in zip(names, found, strict=True)]
            taken = {(row.role, row.label) for row in rows}
            _check_effect(table)
            top = [r for r in table.rows if r.role == "ceiling" and (r.role, r.label) not in taken]
            return replace(table, rows=(*rows, *top))
    _check_settings((*full, *less), names, labels)
    raise DataMissingError(_missing(full, names, labels, asked))


def _tables(records: Sequence[RunRecord], asked: Asked) -> list[RobustTable]:
    """Return the tables asked for, those of the newest data first."""
    tables = [
        table
        for table in robustness(records, asked.metric)
        if (table.suite, table.track) == (asked.suite, asked.track)
        and asked.mask in (None, table.mask)
    ]
    age: dict[str, str] = {}
    for record in records:
        content = str(record.dataset["content_hash"])
        age[content] = max(record.created, age.get(content, ""))
    return sorted(tables, key=lambda table: age[table.content_hash], reverse=True)


def _one_test(first: RobustTable, second: RobustTable) -> bool:
    """Return whether rows of two tables were scored on the same samples under the same masks."""
    return all(
        getattr(first, name) == getattr(second, name)
        for name in ("content_hash", "mask", "protocols", "digests")
    )


def _matching(
    name: str,
    rows: Iterable[RobustRow],
    ablations: Iterable[RobustRow],
    models: Mapping[str, str],
) -> list[RobustRow]:
    model, _, setting = name.partition(":")
    mine = [r for r in rows if model in (r.label, models.get(r.label))]
    less = [r for r in ablations if model in (r.label, models.get(r.label))]
    if setting:
        return [r for r in (*mine, *less) if r.setting == setting]
    return mine


def _only(name: str, rows: Sequence[RobustRow]) -> RobustRow:
    if len(rows) > 1:
        model = name.partition(":")[0]
        settings = ", ".join(repr(f"{model}:{row.setting}") for row in rows)
        raise UsageError(f"{name!r} has several rows; name one of: {settings}.")
    return replace(rows[0], label=name)


def _check_metric(records: Iterable[RunRecord], metric: str) -> None:
    names = {
        name
        for record in records
        for by_split in record.metrics.values()
        for scored in by_split.values()
        for name, value in (scored["declared"] or {}).items()
        if isinstance(value, float)
    }
    if names and metric not in names:
        raise UnknownNameError("metric", metric, names)


def _check_settings(
    tables: Iterable[RobustTable], names: Iterable[str], models: Mapping[str, str]
) -> None:
    every = [row for table in tables for row in table.rows]
    for name in names:
        model, _, setting = name.partition(":")
        known = {r.setting for r in every if model in (r.label, models.get(r.label))}
        if setting and known and setting not in known:
            raise UnknownNameError(f"setting of {model}", setting, known)


def _check_effect(table: RobustTable) -> None:
    rates = [table.rates.get(name) for name in table.protocols if name != FULL]
    if table.suite != "noise@1" and all(rate == 0.0 for rate in rates):
        raise UsageError(
            f"{table.suite} takes nothing away from {table.dataset}: every realised missing rate "
            "is 0 (a modality that is one vector has no frames to lose). Choose another --suite."
        )


def _missing(
    tables: Sequence[RobustTable],
    names: Sequence[str],
    labels: Mapping[str, str],
    asked: Asked,
) -> str:
    there = {row.label for table in tables for row in table.rows}
    lacking = [n for n in names if not any(_is_named(n, label, labels) for label in there)]
    who = ", ".join(lacking or names)
    models = ",".join(dict.fromkeys(n.partition(":")[0] for n in lacking or names))
    track = "" if asked.track == COMPLETE else f" --train-dropout {asked.track}"
    return (
        f"{who}: not scored under every protocol of {asked.suite} on one content of "
        f"{asked.dataset} (trained under {asked.track}). 'harness run --model {models} --dataset "
        f"{asked.dataset} --dropout {asked.suite}{track}' adds the scores."
    )


def _is_named(name: str, label: str, models: Mapping[str, str]) -> bool:
    return name.partition(":")[0] in (label, models.get(label))
