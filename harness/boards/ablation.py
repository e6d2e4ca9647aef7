"""Ablation tables: a full model and what is left of it, one switch at a time."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from harness.boards.aggregate import SORT_BY, Row, Statistic, aggregate, figure_of, label_of
from harness.boards.collect import Group, GroupKey, ablated, collect, row_identity
from harness.boards.entrants import Reader, entrant
from harness.boards.reported import Reported, ReportedRow
from harness.errors import DataMissingError
from harness.records.record import COMPLETE, RunRecord
from harness.specs import ModelSpec
from harness.statistics.compare import Block, compare
from harness.statistics.entrants import Entrant, misfit
from harness.statistics.multiplicity import holm

FULL = "full"
SWITCH = "model.ablate="
# The metrics of the papers' tables.
SHOWN = {
    "multilabel": ("jaccard", "micro_p", "micro_r", "micro_f1"),
    "singlelabel": ("micro_f1", "macro_f1", "weighted_f1"),
}


@dataclass(frozen=True)
class AblationRow:
    """A model without some part, over its seeds; ``full`` is the whole model.

    ``delta`` is micro-F1 minus that of the full model over the seeds both have. Where predictions
    of three or more shared seeds are at hand: ``delta_ci`` over test samples, and the tests of
    `harness.statistics.compare`; ``p_holm`` is the larger of ``p_perm`` and ``p_seeds``, adjusted
    for the rows of the table. ``share`` is micro-F1 over the
    ceiling's (twins). ``printed`` is the paper's row, ``printed_delta`` its micro-F1 minus that of
    the paper's full model.
    """

    name: str
    removes: str
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    figures: Mapping[str, Statistic]
    share: float | None = None
    delta: float | None = None
    delta_ci: tuple[float, float] | None = None
    p_perm: float | None = None
    p_seeds: float | None = None
    p_holm: float | None = None
    told_apart: bool | None = None
    printed: ReportedRow | None = None
    printed_delta: float | None = None


@dataclass(frozen=True)
class AblationFailure:
    """A run without a result."""

    name: str
    seed: int
    run: str
    reason: str


@dataclass(frozen=True)
class AblationTable:
    """The ablations of one model under one configuration on one content of the data.

    ``untested`` says why rows have no test. ``ceiling`` holds the best possible figures (twins).
    """

    key: GroupKey
    base_name: str
    source: str
    model: str
    label: str
    setting: str
    samples: int
    figures: tuple[str, ...]
    rows: tuple[AblationRow, ...]
    failures: tuple[AblationFailure, ...]
    newest: str
    command: str
    ceiling: Mapping[str, Statistic] | None = None
    untested: tuple[str, ...] = ()
    reported: Reported | None = None


def ablation_tables(
    records: Iterable[RunRecord],
    models: Mapping[str, ModelSpec],
    reported: Mapping[str, Reported],
    read: Reader | None = None,
) -> list[AblationTable]:
    """Return the tables of all ablations that were run, by data set and model, newest data first.

    Complete data only. A full run joins where its configuration is the same but for the switches.
    ``models`` gives the order of the rows and what they remove.

    Raises:
        DataFormatError: predictions are broken, or the seeds of a row were not scored alike.
    """
    known = [r for r in records if r.role in ("model", "ceiling")]
    switched = {_family(r) for r in known if ablated(r)}
    tables = []
    for group in collect([r for r in known if r.role != "model" or _family(r) in switched]):
        if group.key.dropout != COMPLETE:
            continue
        members = [r for r in (*group.records, *group.failed) if r.role == "model"]
        for family in dict.fromkeys(_family(r) for r in members):
            own = Group(
                group.key,
                tuple(r for r in group.records if r.role != "model" or _family(r) == family),
                tuple(r for r in group.failed if _family(r) == family),
            )
            if any(ablated(r) for r in (*own.records, *own.failed)):
                tables.append(_table(own, models, reported, read))
    tables.sort(key=lambda t: t.newest, reverse=True)
    return sorted(tables, key=lambda t: (t.key.dataset, t.model))


def _family(record: RunRecord) -> str:
    """Return what a full run and its ablations have in common."""
    if record.role != "model":
        return ""
    plain = {k: v for k, v in record.config["model"].items() if k != "ablate"}
    return row_identity(replace(record, config=record.config | {"model": plain}))


def _table(
    group: Group,
    models: Mapping[str, ModelSpec],
    reported: Mapping[str, Reported],
    read: Reader | None,
) -> AblationTable:
    every = [r for r in (*group.records, *group.failed) if r.role == "model"]
    by_id, first = {r.id: r for r in every}, every[0]
    spec = models.get(str(first.model["name"]))
    removes = {a.name: a.removes for a in spec.ablations} if spec else {}
    board = aggregate(group)
    found: dict[str, Row] = {}
    for row in board.rows:
        if row.role == "model":
            # Of two orders of one combination, the first: they are one model.
            found.setdefault(_name(by_id[row.runs[0]]), row)
    places = [FULL, *removes]
    order = sorted(found, key=lambda n: (places.index(n) if n in places else len(places), n))
    blocks, untested = _tests(found, group.key, by_id, read)
    printed = reported.get(
        f"{first.model['reported_as']}-ablation-{first.dataset['base_name']}".casefold()
    )
    rows = [
        _row(n, found, removes, blocks.get(n), by_id, group.key, _printed(printed)) for n in order
    ]
    ceilings = [row.figures for row in board.rows if row.role == "ceiling"]
    failures = [
        AblationFailure(_name(r), r.seed, r.id, str((r.failure or {}).get("reason", "unknown")))
        for r in group.failed
    ]
    return AblationTable(
        key=group.key,
        base_name=first.dataset["base_name"],
        source=board.source,
        model=first.model["name"],
        label=label_of(first.model),
        setting=_setting(first),
        samples=board.samples,
        figures=SHOWN[board.label_kind],
        rows=tuple(rows),
        failures=tuple(sorted(failures, key=lambda f: (f.name, f.seed))),
        newest=max(r.created for r in every),
        command=_command(every),
        ceiling=ceilings[0] if ceilings else None,
        untested=untested,
        reported=printed,
    )


def _name(record: RunRecord) -> str:
    return " + ".join(ablated(record)) or FULL


def _row(
    name: str,
    found: Mapping[str, Row],
    removes: Mapping[str, str],
    test: Block | None,
    by_id: Mapping[str, RunRecord],
    key: GroupKey,
    printed: Mapping[str, ReportedRow],
) -> AblationRow:
    row, base = found[name], found.get(FULL)
    made = AblationRow(
        name=name,
        removes="" if name == FULL else "; ".join(removes.get(n, "") for n in name.split(" + ")),
        seeds=row.seeds,
        runs=row.runs,
        figures=row.figures,
        share=row.share,
        printed=printed.get(name),
    )
    if name == FULL or base is None:
        return made
    made = replace(
        made,
        delta=_difference(row, base, by_id, key),
        printed_delta=_printed_difference(printed.get(name), printed.get(FULL)),
    )
    if test is None:
        return made
    return replace(
        made,
        delta_ci=test.delta_ci,
        p_perm=test.p_perm,
        p_seeds=test.p_seeds,
        p_holm=test.p_holm,
        told_apart=test.told_apart,
    )


def _difference(row: Row, base: Row, by_id: Mapping[str, RunRecord], key: GroupKey) -> float | None:
    """Return the difference of the mean micro-F1 over the seeds that both rows have."""
    ours, theirs = (
        {by_id[run].seed: figure_of(by_id[run], key, SORT_BY) for run in r.runs}
        for r in (row, base)
    )
    gaps = [
        value - other
        for seed, value in ours.items()
        if value is not None and (other := theirs.get(seed)) is not None
    ]
    return statistics.fmean(gaps) if gaps else None


def _tests(
    found: Mapping[str, Row], key: GroupKey, by_id: Mapping[str, RunRecord], read: Reader | None
) -> tuple[dict[str, Block], tuple[str, ...]]:
    """Return the tests of rows against the full model, and why some have none."""
    if read is None:
        return {}, ()
    if FULL not in found:
        return {}, ("there is no run of the full model to compare with",)
    if any(by_id[run].compat is not None for row in found.values() for run in row.runs):
        return {}, ("an author's own evaluation is not tested",)
    entrants: dict[str, Entrant] = {}
    reasons: dict[str, None] = {}
    for name, row in found.items():
        try:
            entrants[name] = entrant(row, key, by_id, read, name=name)
        except DataMissingError as error:
            reasons[str(error).rstrip(".")] = None
    base = entrants.pop(FULL, None)
    if base is None:
        return {}, tuple(reasons)
    fitting = []
    for other in entrants.values():
        reason = misfit(base, other)
        if reason:
            reasons[reason] = None
        else:
            fitting.append(other)
    blocks = compare([base, *fitting], FULL, SORT_BY) if fitting else []
    tested = [b for b in blocks if b.p_perm is not None and b.p_seeds is not None]
    # A block's own p_holm adjusts the permutation alone; what tells apart is the larger p.
    adjusted = holm([max(b.p_perm or 0.0, b.p_seeds or 0.0) for b in tested])
    pairs = zip(tested, adjusted, strict=True)
    return {b.name: replace(b, p_holm=p) for b, p in pairs}, tuple(reasons)


def _printed(reported: Reported | None) -> dict[str, ReportedRow]:
    return {} if reported is None else {row.name: row for row in reported.rows}


def _printed_difference(row: ReportedRow | None, full: ReportedRow | None) -> float | None:
    if row is None or full is None:
        return None
    value, base = row.printed.get(SORT_BY), full.printed.get(SORT_BY)
    return None if value is None or base is None else value - base


def _setting(record: RunRecord) -> str:
    """Return the preset and what the command sets beside the switches."""
    words = shlex.split(record.command)
    set_by_hand = [v for o, v in pairwise(words) if o in ("--set", "--config")]
    kept = [v for v in set_by_hand if not v.startswith(SWITCH)]
    return " ".join(dict.fromkeys([str(record.config["preset"] or ""), *kept])).strip()


def _command(records: Sequence[RunRecord]) -> str:
    """Return the command that makes the table again."""
    words = shlex.split(records[0].command)
    seeds = ",".join(map(str, sorted({r.seed for r in records})))
    again = ["harness", "ablate"]
    values = dict(enumerate(words[3:], start=2))
    for place, word in enumerate(words[2:], start=2):
        following = values.get(place, "")
        if not word.startswith("--") or word in ("--dropout", "--compat", "--compile"):
            continue
        if word == "--set" and following.startswith(SWITCH):
            continue
        again += [word, seeds if word == "--seeds" else following]
    return shlex.join(again)
