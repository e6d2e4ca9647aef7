"""Groups of runs to rows: mean and sample standard deviation over seeds."""

from __future__ import annotations

import hashlib
import shlex
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from harness.boards.collect import Group, GroupKey, row_identity
from harness.protocols.metrics import columns
from harness.records.record import RunRecord
from harness.specs import LabelKind

SORT_BY = "micro_f1"
MOST_PARTS = 6
ROLE_ORDER = {"ceiling": 0, "model": 1, "trivial": 2}


@dataclass(frozen=True)
class Statistic:
    """A figure over n seeds; ``std`` is the sample standard deviation, None for one seed."""

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class Row:
    """One model under one configuration, over its seeds.

    ``label`` is the name with the variant; ``setting`` the preset and what tells rows of one
    model apart. ``share`` is micro-F1 over the ceiling's (twins only).

    Where predictions are at hand: ``t_interval`` of micro-F1 over seeds, ``sample_interval`` by
    cluster bootstrap over ``clusters`` groups of test samples (95 % each), and ``rank``: rank
    groups, shared by rows that cannot be told apart (`harness.statistics`).
    """

    model: str
    label: str
    role: str
    setting: str
    version: str
    reported_as: str | None
    parameters: int
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    commands: tuple[str, ...]
    figures: Mapping[str, Statistic]
    share: float | None = None
    t_interval: tuple[float, float] | None = None
    sample_interval: tuple[float, float] | None = None
    clusters: int | None = None
    rank: tuple[int, ...] = ()


@dataclass(frozen=True)
class RowTest:
    """The test of two rows by micro-F1 (`harness.statistics.compare.PairTest`).

    ``first`` and ``second`` are places in `Table.rows`.
    """

    first: int
    second: int
    delta: float
    delta_ci: tuple[float, float]
    p_perm: float
    p_seeds: float
    p_holm: float
    told_apart: bool


@dataclass(frozen=True)
class Failure:
    """A run without a result."""

    model: str
    label: str
    seed: int
    run: str
    reason: str


@dataclass(frozen=True)
class Table:
    """The rows of one group, best first within ceiling, models and trivial predictors."""

    key: GroupKey
    label_kind: str
    source: str
    rows: tuple[Row, ...]
    failures: tuple[Failure, ...]
    newest: str
    samples: int
    figures: tuple[str, ...] = field(default_factory=lambda: shown_figures("multilabel"))
    tests: tuple[RowTest, ...] = ()


def shown_figures(kind: LabelKind) -> tuple[str, ...]:
    """Return the columns of a board: the metrics', and with many labels micro-F1 tuned."""
    return columns(kind) if kind == "singlelabel" else (*columns(kind), "tuned_micro_f1")


def aggregate(group: Group) -> Table:
    """Return the table of a group."""
    every = (*group.records, *group.failed)
    by_row: dict[str, list[RunRecord]] = {}
    for record in group.records:
        by_row.setdefault(row_identity(record), []).append(record)
    settings = _settings([records[0] for records in by_row.values()])
    kind = every[0].dataset["label_kind"]
    rows = [
        _row(_newest_per_seed(records), settings[identity], group.key, shown_figures(kind))
        for identity, records in by_row.items()
    ]
    ceilings = [r for r in rows if r.role == "ceiling" and SORT_BY in r.figures]
    if ceilings and ceilings[0].figures[SORT_BY].mean > 0:
        top = ceilings[0].figures[SORT_BY].mean
        rows = [
            replace(r, share=r.figures[SORT_BY].mean / top) if SORT_BY in r.figures else r
            for r in rows
        ]
    return Table(
        key=group.key,
        label_kind=kind,
        source=every[0].dataset["source"],
        rows=tuple(sorted(rows, key=_rank)),
        failures=tuple(_failure(r) for r in group.failed),
        newest=group.newest,
        samples=every[0].dataset["splits"].get(group.key.split, 0),
        figures=shown_figures(kind),
    )


def statistic(values: Iterable[float]) -> Statistic:
    """Return mean, sample standard deviation and n of at least one value."""
    known = list(values)
    std = statistics.stdev(known) if len(known) > 1 else None
    return Statistic(statistics.fmean(known), std, len(known))


def label_of(model: Mapping[str, Any]) -> str:
    """Return a model's name with its variant where the name does not tell it."""
    name, variant = str(model["name"]), str(model["variant"])
    return name if not variant or variant in name.split("-") else f"{name} ({variant})"


def figure_of(record: RunRecord, key: GroupKey, name: str) -> float | None:
    """Return a finished run's figure under a key's dropout and split; None: undefined."""
    scored = record.metrics[key.dropout][key.split]
    where = "tuned" if name.startswith("tuned_") else "declared"
    value = (scored[where] or {}).get(name.removeprefix("tuned_"))
    return None if value is None else float(value)


def _rank(row: Row) -> tuple[int, float, str, str]:
    best = row.figures[SORT_BY].mean if SORT_BY in row.figures else -1.0
    return (ROLE_ORDER.get(row.role, 1), -best, row.model, row.setting)


def _newest_per_seed(records: list[RunRecord]) -> list[RunRecord]:
    newest: dict[int, RunRecord] = {}
    for record in sorted(records, key=lambda r: (r.created, r.id)):
        newest[record.seed] = record
    return [newest[seed] for seed in sorted(newest)]


def _row(records: list[RunRecord], setting: str, key: GroupKey, names: tuple[str, ...]) -> Row:
    first = records[0]
    figures: dict[str, Statistic] = {}
    for name in names:
        values = [figure_of(r, key, name) for r in records]
        known = [v for v in values if v is not None]
        if known:
            figures[name] = statistic(known)
    return Row(
        model=first.model["name"],
        label=label_of(first.model),
        role=first.role,
        setting=setting,
        version=first.model["version"],
        reported_as=first.model.get("reported_as"),
        parameters=first.parameters,
        seeds=tuple(r.seed for r in records),
        runs=tuple(r.id for r in records),
        commands=tuple(dict.fromkeys(r.command for r in records if r.command)),
        figures=figures,
    )


def _failure(record: RunRecord) -> Failure:
    reason = str((record.failure or {}).get("reason", "unknown"))
    return Failure(record.model["name"], label_of(record.model), record.seed, record.id, reason)


def _settings(records: list[RunRecord]) -> dict[str, str]:
    """Return per row its preset, what the user set, and where rows of one model still differ."""
    flat = {row_identity(r): _flat(r) for r in records}
    settings: dict[str, str] = {}
    for record in records:
        identity, preset = row_identity(record), str(record.config["preset"] or "")
        siblings = [
            flat[row_identity(r)]
            for r in records
            if r.model["name"] == record.model["name"] and (r.config["preset"] or "") == preset
        ]
        mine = flat[identity]
        differing = [f"{k}={v}" for k, v in mine.items() if any(s.get(k) != v for s in siblings)]
        parts = list(dict.fromkeys([preset, *_user_settings(record.command), *differing]))
        if len(parts) > MOST_PARTS:
            digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
            parts = [*parts[: MOST_PARTS - 1], f"(and more: {digest})"]
        settings[identity] = " ".join(p for p in parts if p)
    return settings


def _user_settings(command: str) -> list[str]:
    """Return what a command sets beside the preset."""
    words = shlex.split(command)
    return [v for o, v in pairwise(words) if o in ("--set", "--config")]


def _flat(record: RunRecord) -> dict[str, Any]:
    """Return what tells configurations apart as dotted keys."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for k in sorted(value):
                walk(f"{prefix}.{k}" if prefix else str(k), value[k])
        else:
            flat[prefix] = value

    walk("", {k: v for k, v in record.config.items() if k != "preset"})
    flat |= {"precision": record.precision, "version": record.model["version"]}
    return flat | {"plugin": record.model["plugin"]}
