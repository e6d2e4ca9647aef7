"""A lab's own records beside published ones, in a folder of their own; nothing is run again.

Rows join by the rules of every board (`harness.boards.frame.Place`). Figures of published rows stay
as they are: runs that would change one are left out; letters are those of all rows. Whatever does
not stand beside published rows, or not everywhere, is said with the reason (`Apart`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from harness.boards.frame import (
    REFERENCE_ROLES,
    Place,
    board_name,
    digest_of,
    place_of,
    short,
    splits_of,
)
from harness.boards.official import Official
from harness.boards.older import changes
from harness.boards.robust import robust_tables
from harness.boards.rows import Row, Table, full_models, label_of, on_boards, tables
from harness.boards.settings import ablated, identity
from harness.errors import DataFormatError, UsageError
from harness.paths import storage_errors
from harness.plugins import Registry
from harness.records.archive import SUFFIX, Archive
from harness.records.committed import CommittedRecords, board_of, export, files_of_board
from harness.records.committed import open_records as open_folder
from harness.records.record import COMPLETE, RunRecord
from harness.records.store import RECORD, RunStore

Store = RunStore | CommittedRecords
SPLIT = "test"
RUNS = "runs"
_FEW = 3
# What must be equal for two rows to share a table, as people read it.
_PLACE = {
    "protocol": "protocol {mine}, published: {theirs}",
    "content": "other data: {mine}, published: {theirs}",
    "mask": "mask {mine}, published: {theirs}",
    "train_dropout": "trained under {mine}, published rows under {theirs}",
}


@dataclass(frozen=True)
class Apart:
    """Why a row of one's own is not compared with published rows, or not everywhere.

    Attributes:
        board: its board. row: the model with its setting.
        runs: ids of its runs.
        reason: a clause.
        left_out: whether the runs were not merged at all.
        ranked: whether the row stands beside published ones all the same, with a reservation or
            not in every table.
    """

    board: str
    row: str
    runs: tuple[str, ...]
    reason: str
    left_out: bool = False
    ranked: bool = False

    @property
    def verdict(self) -> str:
        """Return what the reason is one for."""
        if self.left_out:
            return "left out"
        return "on the board, but" if self.ranked else "not comparable"


def sentences(told: Iterable[Apart]) -> list[str]:
    """Return a line a reason, with the names of all rows that it holds for."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for one in told:
        rows.setdefault((one.verdict, one.board, one.reason), []).append(one.row)
    return [
        f"{verdict}: {board}, {'; '.join(dict.fromkeys(names))}: {reason}"
        for (verdict, board, reason), names in rows.items()
    ]


@dataclass(frozen=True)
class Merged:
    """Published and own records in one folder.

    Attributes:
        root: the folder, in the committed form.
        own: ids of the own runs in it.
        published: all published records, of these boards and others.
        left_out: own runs that are not in it, and why.
    """

    root: Path
    own: frozenset[str]
    published: tuple[RunRecord, ...]
    left_out: tuple[Apart, ...]


@contextmanager
def merged(root: Path, files: Sequence[Path], scored: Mapping[str, str]) -> Iterator[Merged]:
    """Yield the records of ``root`` and of files in one temporary folder.

    Only boards that the files have runs for are in it.

    Args:
        root: published records.
        files: exported records (``*.records.zip``), folders of such files, folders of runs, or
            homes.
        scored: as ``further`` of `harness.records.committed.export`.

    Raises:
        UsageError: there are no records in ``root`` or in a file.
        DataFormatError: a file cannot be read, or its truth is not the published one.
        StorageError: a file cannot be read.
    """
    there = open_folder(root)
    published = list(filter(_mergeable, there.all()))
    if not published:
        raise UsageError(
            f"no published records in {root}; name their folder with --records: a checkout of the "
            "repository has leaderboards/records."
        )
    with tempfile.TemporaryDirectory() as place:
        folder, number = Path(place), count()
        target = folder / "merged"
        target.mkdir()
        stores = [_opened(file, folder / f"{next(number)}") for file in files]
        found = [(store, _records(store, file)) for store, file in zip(stores, files, strict=True)]
        boards = {board_of(record) for _, known in found for record in known}
        theirs = [record for record in published if board_of(record) in boards]
        _copied(there, theirs, boards, target, scored)
        own: list[RunRecord] = []
        left_out: list[Apart] = []
        for store, known in found:
            kept, apart = addable(known, [*published, *own])
            export(kept, store, target, scored)
            own += kept
            left_out += apart
        ids = frozenset(record.id for record in own)
        yield Merged(target, ids, tuple(published), tuple(left_out))


def _opened(file: Path, beside: Path) -> Store:
    """Return the records of a file or folder; a file is read from a copy in ``beside``."""
    if file.is_file():
        Archive(file)  # raises where it is none
        beside.mkdir()
        with storage_errors(file):
            shutil.copyfile(file, beside / f"{file.name.removesuffix(SUFFIX)}{SUFFIX}")
        return CommittedRecords(beside)
    if (file / RECORD).is_file():
        raise UsageError(
            f"{file} is the folder of one run; give the folder that holds it, or a file that "
            "'harness leaderboard --export' writes."
        )
    return open_folder(file / RUNS if (file / RUNS).is_dir() else file)


def _records(store: Store, file: Path) -> list[RunRecord]:
    found = list(filter(_mergeable, store.whole(store.all())))
    if store.broken:
        raise DataFormatError("\n  ".join(broken.reason for broken in store.broken))
    if not found:
        raise UsageError(f"no records of runs in {file}.")
    return found


def _mergeable(record: RunRecord) -> bool:
    """Return whether a record is exported with boards: what stands on them, and trials."""
    return on_boards(record) or record.role == "trial"


def _copied(
    store: Store,
    records: Sequence[RunRecord],
    boards: Collection[str],
    target: Path,
    scored: Mapping[str, str],
) -> None:
    """Put published records of boards into a folder, as they are where they are files of boards."""
    files = [f for board in boards for f in files_of_board(store.root, board)]
    if not files and records:
        export(records, store, target, scored)
    for file in files:
        with storage_errors(file):
            shutil.copyfile(file, target / file.name)


def with_own(
    entries: Mapping[str, list[Official]] | None, own: Iterable[RunRecord]
) -> dict[str, list[Official]] | None:
    """Return the entries of ``entrants.yaml`` for boards of own runs, with the own models.

    Args:
        entries: published ones; None: nothing is declared, and nothing has to be.
        own: merged runs of one's own.
    """
    if entries is None:
        return None
    found: dict[str, list[Official]] = {}
    for record in own:
        mine = found.setdefault(board_name(record), [*entries.get(board_name(record), [])])
        model, preset = record.model["name"], record.config["preset"]
        entry = Official((model,), str(preset), record.protocols["train_dropout"], ())
        if record.role == "model" and preset and entry not in mine:
            mine.append(entry)
    return found


def addable(
    own: Iterable[RunRecord], published: Iterable[RunRecord]
) -> tuple[list[RunRecord], list[Apart]]:
    """Return the own runs that change no published row, and the others with the reason.

    Reference rows (trivial, ceiling, observers) that are published are left out without a word.

    Args:
        own: runs.
        published: runs.
    """
    rows: dict[tuple[str, ...], str] = {}
    masks: dict[tuple[str, str, str], str] = {}
    ids: set[str] = set()
    for record in published:
        ids.add(record.id)
        rows.setdefault(_row_key(record), record.id)
        for dropout in record.metrics:
            about = record.dataset["content_hash"], record.dataset["mask"], dropout
            masks.setdefault(about, digest_of(record, dropout, SPLIT))
    kept: list[RunRecord] = []
    apart: dict[tuple[str, ...], list[tuple[RunRecord, str]]] = {}
    for record in own:
        key, reason = _row_key(record), ""
        if record.id in ids:
            reason = "it is a published run"
        elif key in rows and record.role != "trial":
            reason = (
                f"same model and configuration as the published {rows[key]}, whose row it would "
                "change; give the model another name"
            )
        other = [
            dropout
            for dropout in record.metrics
            if masks.get((record.dataset["content_hash"], record.dataset["mask"], dropout),
                         digest_of(record, dropout, SPLIT)) != digest_of(record, dropout, SPLIT)
        ]  # fmt: skip
        if other and not reason:
            reason = f"other masks than published under {_listed(other)}"
        if not reason:
            kept.append(record)
        elif record.role not in REFERENCE_ROLES:
            apart.setdefault((*key, reason), []).append((record, reason))
    told = [
        Apart(board_name(runs[0][0]), label_of(runs[0][0].model),
              tuple(record.id for record, _ in runs), runs[0][1], left_out=True)
        for runs in apart.values()
    ]  # fmt: skip
    return kept, told


def _row_key(record: RunRecord) -> tuple[str, ...]:
    """Return what two runs of one row have in common; of reference rows the twin as well."""
    place = place_of(record, COMPLETE, SPLIT)
    if record.role in REFERENCE_ROLES:
        return (board_name(record), record.dataset["content_hash"], place.mask, identity(record))
    return (
        board_name(record), place.protocol, place.content, place.mask, place.train_dropout,
        record.role, identity(record),
    )  # fmt: skip


def apart(
    own: Iterable[RunRecord],
    published: Iterable[RunRecord],
    registry: Registry,
) -> list[Apart]:
    """Return why rows of one's own are not compared with published rows, a reason each.

    Args:
        own: merged runs of one's own (`addable`).
        published: published runs of any boards.
        registry: knows today's code, and what the suites of a data set are.
    """
    mine, theirs = list(own), list(published)
    boards = {board_name(record) for record in mine if on_boards(record)}
    found = []
    for board in sorted(boards):
        here = [r for r in theirs if board_name(r) == board]
        found += _apart_of(board, [r for r in mine if board_name(r) == board], here, registry)
        if not here:
            about = next(r for r in mine if board_name(r) == board).dataset
            near = {board_name(r) for r in theirs if r.dataset["base_name"] == about["base_name"]}
            also = f"; there is {', '.join(sorted(near))}" if near else ""
            rows = tuple(r.id for r in mine if board_name(r) == board)
            found.append(Apart(board, "every row", rows, f"nothing is published of {board}{also}"))
    return found


def _apart_of(
    board: str, mine: Sequence[RunRecord], theirs: Sequence[RunRecord], registry: Registry
) -> list[Apart]:
    shown = [r for r in mine if on_boards(r) and r.role not in REFERENCE_ROLES and not ablated(r)]
    found = [
        Apart(board, label_of(r.model), (r.id,), _unscored(r))
        for r in shown
        if r.status != "ok" or SPLIT not in splits_of(r)
    ]
    ids = {r.id for r in shown}
    both = [r for r in (*theirs, *mine) if on_boards(r)]
    made = [t for some in (filter(full_models, both), (r for r in both if r.role == "external"))
            for t in tables(some)]  # fmt: skip
    places = {t.place for t in made if any(_published(row, ids) for row in t.rows)}
    suites = robust_tables(
        tables(filter(full_models, filter(on_boards, theirs))), registry=registry
    )
    clauses = changes(registry)
    for table in made:
        if table.place.dropout != COMPLETE:
            continue
        for row in (r for r in table.rows if r.trained and ids.issuperset(r.runs)):
            elsewhere = _place_reasons(table, row, places) if theirs else []
            if row.lacking:
                elsewhere.append(f"{row.lacking}: it has no rank and is not tested")
            older = dict.fromkeys(clause for r in row.records for clause in clauses(r))
            reasons = [f"by older code: {clause}" for clause in older]
            for suite in suites:
                place = table.place
                same = (suite.content, suite.mask) == (place.content, place.mask)
                if same and place.train_dropout in suite.track.training:
                    reasons += _lacking(row, suite.suite, suite.places.values())
            found += [Apart(board, row.name, row.runs, reason) for reason in elsewhere]
            found += [
                Apart(board, row.name, row.runs, reason, ranked=not elsewhere) for reason in reasons
            ]
    return found


def _unscored(record: RunRecord) -> str:
    if record.status != "ok":
        reason = str((record.failure or {}).get("reason", "no reason is recorded"))
        return f"the run failed: {reason.splitlines()[0]}"
    return "not scored on the test split"


def _published(row: Row, own: Collection[str]) -> bool:
    return row.trained and not any(run in own for run in row.runs)


def _place_reasons(table: Table, row: Row, places: Collection[Place]) -> list[str]:
    """Return in what a row's place differs from the nearest that has published rows."""
    place = table.place
    external = row.role == "external"
    fields = [name for name in _PLACE if not (external and name == "train_dropout")]
    complete = [p for p in places if p.dropout == COMPLETE]

    def differing(other: Place) -> list[str]:
        return [name for name in fields if getattr(place, name) != getattr(other, name)]

    nearest = min(complete, key=lambda p: (len(differing(p)), p), default=None)
    if nearest is None:
        return ["no published row has a score on complete data"]
    return [
        _PLACE[name].format(mine=short(getattr(place, name)), theirs=short(getattr(nearest, name)))
        for name in differing(nearest)
    ]


def _lacking(row: Row, suite: str, places: Iterable[Place]) -> list[str]:
    """Return the protocols of a published table of robustness that a row was not scored under."""
    wanted = [place.dropout for place in places]
    lacking = [d for d in wanted if not all(_scored(r, d) for r in row.records)]
    if not lacking or not suite:
        return []
    runs = [r for r in row.records if not all(_scored(r, d) for d in wanted)]
    of = "" if len(runs) == len(row.records) else f"seed {', '.join(str(r.seed) for r in runs)} is "
    return [
        f"{of}not scored under {len(lacking)} of {len(wanted)} protocols of {suite} "
        f"({_listed(lacking)}): in no table of it; run it again with --dropout {suite}"
    ]


def _scored(record: RunRecord, dropout: str) -> bool:
    return SPLIT in record.metrics.get(dropout, {})


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more
