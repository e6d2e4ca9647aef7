"""A board that is gathered in ``next/`` beside the boards, put in its place, or removed.

Records of an unfinished board lie in ``<boards>/next`` in their committed form. They are checked,
but stand on no board, page, index or rank. A switch takes the place of the board's records as a
whole, and of all files that follow from records; it is one `harness.records.artefacts.transaction`
of the folder, so that a killed one leaves the old state or the new one.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.boards.folder import BoardFolder
from harness.boards.official import FILE, missing, read_entrants
from harness.boards.product import Product
from harness.boards.views import index, ranks, skills
from harness.errors import DataFormatError, UnknownNameError, UsageError
from harness.paths import storage_errors
from harness.records.artefacts import JOURNAL, LEFTOVERS, clear, recover, transaction
from harness.records.committed import (
    CommittedRecords,
    board_of,
    board_of_file,
    files_of_board,
    truth_path,
)
from harness.records.record import RunRecord

NEXT, RECORDS = "next", "records"
Folders = Callable[[CommittedRecords], BoardFolder]
"""Gives the boards of records."""


@dataclass(frozen=True)
class Change:
    """What happens to the records of a folder of boards.

    ``new`` are files by their name below the folder, ``gone`` the names of those that go.
    """

    out: Path
    board: str
    new: Mapping[str, Path]
    gone: tuple[str, ...]


def gathered(out: Path) -> CommittedRecords | None:
    """Return the records that gather in ``next/``; None: there are none."""
    found = CommittedRecords(out / NEXT)
    names = found.names()
    return found if names or found.broken else None


def faults_of_next(folder: BoardFolder, products: Sequence[Product]) -> list[str]:
    """Return what is wrong with gathered records, a line each.

    Files that cannot be read, figures that do not follow from predictions, records in the file of
    another board, and boards that would not be one: runs on several contents of the data.
    """
    store = folder.store
    found = [f"{NEXT}/{broken.path.name}: {broken.reason}" for broken in store.broken]
    for product in products:
        board = product.entry.dataset
        found += [f"{NEXT}/{line}" for line in product.wrong or ()]
        if len(product.contents) > 1:
            found.append(
                f"{NEXT}: the runs of {board} are on several contents of the data, so that they "
                f"would not make one board: {'; '.join(product.contents)}"
            )
    if isinstance(store, CommittedRecords):
        boards = folder.board_by_run
        for run, path in store.where().items():
            if path is None:
                found.append(f"{NEXT}/{run}.json: no file of a board; export the run anew")
            elif boards.get(run, name := board_of_file(path)) != name:
                found.append(f"{NEXT}/{path.name}: {run} is of {boards[run]}")
    return found


def switch(out: Path, board: str, boards: Folders, incomplete: bool = False) -> Change:
    """Return what puts the records of a board in ``next/`` in the place of those it has.

    Args:
        out: the folder of boards.
        board: its name.
        boards: gives boards, with checks.
        incomplete: though declared entrants are missing.

    Raises:
        UnknownNameError: ``next/`` has no records of the board.
        DataFormatError: there is something wrong with them.
        UsageError: entrants that ``entrants.yaml`` declares are missing, or it declares none.
    """
    store = CommittedRecords(out / NEXT)
    names = {board_of_file(path) for path in store.files()}
    if board not in names:
        raise UnknownNameError(f"board with records in {out / NEXT}", board, names)
    folder = boards(store)
    wrong = faults_of_next(folder, list(folder.products(board)) if board in folder.names else [])
    if wrong:
        raise DataFormatError(f"{'; '.join(wrong)}. Nothing was switched.")
    declared = (read_entrants(out) or {}).get(board, [])
    records = [r for r in store.all() if board_of(r) == board]
    lacking = missing(declared, records)
    if not incomplete and (lacking or not declared):
        what = f"lacks {'; '.join(lacking)}" if lacking else "declares no entrants"
        where = f"{out / NEXT} ({FILE})" if lacking else f"{out / FILE}"
        raise UsageError(
            f"{board}: {where} {what}. Nothing was switched; export the runs there, or switch it "
            "as it is with --incomplete."
        )
    new = {f"{RECORDS}/{path.name}": path for path in files_of_board(out / NEXT, board)}
    old = removal(out, board, known=True)
    moved = [f"{NEXT}/{path.name}" for path in new.values()]
    return Change(out, board, new, (*(name for name in old.gone if name not in new), *moved))


def removal(out: Path, board: str, known: bool = False) -> Change:
    """Return what removes a board with its records and the pictures of its runs.

    Args:
        out: the folder of boards.
        board: its name.
        known: it need not have any records, and its pictures stay: others take their place.

    Raises:
        UnknownNameError: there are no records of the board.
    """
    root = out / RECORDS
    store = CommittedRecords(root)
    mine: list[RunRecord] = []
    others: list[RunRecord] = []
    for name, path in store.where().items():
        if path is None and (record := store.readable(name)) is not None:
            (mine if board_of(record) == board else others).append(record)
    files = files_of_board(root, board)
    if not mine and not files and not known:
        raise UnknownNameError(f"board with records in {root}", board, _boards(store, others))
    gone = [path.name for path in files]
    gone += [f"{record.id}{end}" for record in mine for end in (".json", ".parquet")]
    truths = {truth_path(root, record) for record in mine}
    truths -= {truth_path(root, record) for record in others}
    gone += sorted(path.name for path in truths)
    there = [f"{RECORDS}/{name}" for name in gone if (root / name).exists()]
    names = _boards(store, others) | {board}
    pictures = [] if known else index.pictures(out, names)[board]
    return Change(out, board, {}, (*there, *(f"{index.FIGURES}/{p.name}" for p in pictures)))


def _boards(store: CommittedRecords, own: Sequence[RunRecord]) -> set[str]:
    """Return the names of the boards of files, and of runs with files of their own."""
    return {board_of_file(path) for path in store.files()} | {board_of(r) for r in own}


@contextmanager
def staged(change: Change) -> Iterator[CommittedRecords]:
    """Yield the records as they will be, in a temporary folder."""
    with tempfile.TemporaryDirectory() as place:
        root, old = Path(place), change.out / RECORDS
        gone = {Path(name).name for name in change.gone if name.startswith(f"{RECORDS}/")}
        with storage_errors(old):
            for path in old.iterdir() if old.is_dir() else ():
                if path.is_file() and path.name not in gone and not path.name.startswith("."):
                    shutil.copyfile(path, root / path.name)
            for name, path in change.new.items():
                shutil.copyfile(path, root / Path(name).name)
        yield CommittedRecords(root)


def apply(change: Change, texts: Mapping[str, str], extra: Sequence[str]) -> list[str]:
    """Make a change, and write what follows from the records; return the names that went.

    Args:
        change: what happens to the records.
        texts: the files of boards as they are to be, by name.
        extra: the names of those without records; what is neither the board's nor about all boards
            stays.

    Raises:
        StorageError: the folder cannot be written; everything is as it was.
    """
    own = tuple(
        f"{stem}{mark}" for stem in (change.board, ranks.STEM, skills.STEM) for mark in ".-"
    )
    gone = [*change.gone, *(name for name in extra if name.startswith(own))]
    settle(change.out, always=True)
    with transaction(change.out) as made:
        for name, path in change.new.items():
            made.write(name, path.read_bytes())
        for name, text in texts.items():
            made.write(name, text.encode())
        for name in gone:
            made.remove(name)
    with storage_errors(change.out):
        if (change.out / NEXT).is_dir() and not any((change.out / NEXT).iterdir()):
            (change.out / NEXT).rmdir()
    return gone


def settle(out: Path, always: bool = False) -> None:
    """Complete a switch that was killed after it had been decided, or clear one that was not.

    Args:
        out: the folder of boards.
        always: clear what is left of one that was killed before as well.
    """
    if always or (out / JOURNAL).exists():
        recover(out)
        for folder in (out / RECORDS, out / NEXT):
            clear(folder, LEFTOVERS)
