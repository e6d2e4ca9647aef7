"""The boards of a folder of records, made one at a time and kept in a cache.

What a board gives is small beside its records (`harness.boards.product`). Records are read board by
board: the largest bounds memory. A board is made anew where a file of its runs,
the code or printed figures changed; what follows from a run's predictions, where run or code did.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from harness.boards.board import Board, build_boards, files_of, formats, runs_of, views
from harness.boards.cache import Cache, digest, warnings_said
from harness.boards.entrants import RunSums, reader, run_sums
from harness.boards.frame import Place, board_name, splits_of
from harness.boards.grid import View
from harness.boards.official import Official
from harness.boards.older import older_than
from harness.boards.product import Product
from harness.boards.render import page
from harness.boards.reported import Reported
from harness.boards.settings import identity
from harness.boards.views import index, ranks, skills
from harness.boards.views.ablation import Tests
from harness.errors import DataFormatError, NoValidationError, UnknownNameError
from harness.plugins import Registry, resolve
from harness.records.committed import SPLIT, CommittedRecords
from harness.records.predictions import Predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore
from harness.records.sums import closed
from harness.statistics.compare import Block

PAGE = f"{page.__name__}:page"
INDEX = "index.json"
# Records that are kept from the first look to their board; more are read a second time.
_PARSED = 500
Check = Callable[[RunRecord, Sequence[Predictions]], list[str]]
"""Gives the figures of a record that its predictions do not give again."""


@dataclass
class _Run:
    """A run of the folder: what its files are, and what is derived from them."""

    digest: str
    board: str
    sources: tuple[str, ...]
    derived: dict[str, Any] = field(default_factory=lambda: {"sums": {}, "wrong": None})
    changed: bool = False


class BoardFolder:
    """The boards of a store.

    Args:
        store: runs, or exported records.
        registry: the loaded plugins.
        reported: figures of papers by data set.
        entries: of ``entrants.yaml``.
        cache: and the digest of the code, from `harness.boards.cache.cache_of`.
        check: with it every exported run is checked.
        anew: use nothing that is kept, and compare it with what is found.
        split: what is scored; exported records hold predictions of test alone, so that on
            validation nothing is checked.

    Raises:
        DataMissingError: there is no record.
        DataFormatError: there is none that can be read.
    """

    def __init__(
        self,
        store: RunStore | CommittedRecords,
        registry: Registry,
        reported: Mapping[str, Reported],
        entries: Mapping[str, list[Official]] | None = None,
        cache: tuple[Cache, str] = (Cache(None), ""),
        check: Check | None = None,
        anew: bool = False,
        split: str = SPLIT,
    ) -> None:
        self.store, self.registry, self.reported, self.entries = store, registry, reported, entries
        self.split = split
        checked = isinstance(store, CommittedRecords) and split == SPLIT
        self.check = check if checked else None
        self._without: set[str] = set()
        self.anew, (self._cache, self._code) = anew, cache
        self.differing: list[str] = []
        self.kept: dict[str, tuple[Board, list[View]]] = {}
        """The boards themselves, where a plugin's format needs them."""
        self._whole = any(s.render != PAGE for s in formats(registry, of="boards").values())
        self._read = reader(store)
        self._older = older_than(registry)
        self._files: dict[str, str] = {}
        self._parsed: dict[str, RunRecord] = {}
        self._runs = self._found()
        if store.broken and not self._runs:
            raise DataFormatError("\n  ".join(b.reason for b in store.broken))

    @property
    def names(self) -> list[str]:
        """Return the names of the boards, in order."""
        return sorted({run.board for run in self._runs.values()})

    @property
    def board_by_run(self) -> dict[str, str]:
        """Return the name of the board of every run."""
        return {name: run.board for name, run in self._runs.items()}

    def without(self, name: str | None) -> bool:
        """Return whether the data set of a board does not have the split at all."""
        return name in self._without and name not in self.names

    def products(
        self,
        dataset: str | None = None,
        each: Callable[[Sequence[RunRecord]], list[str]] | None = None,
    ) -> Iterator[Product]:
        """Yield what each board gives, or that of one data set.

        Args:
            dataset: the name of a board.
            each: is given the finished runs that a board shows, and returns further lines of what
                is wrong with them; boards are then not taken from the cache.

        Raises:
            NoValidationError: validation is asked for, and the data set has none.
            UnknownNameError: there is no such board.
        """
        if self.without(dataset):
            raise NoValidationError(str(dataset), f"--split {self.split}")
        if dataset is not None and dataset not in self.names:
            raise UnknownNameError("data set with records", dataset, self.names)
        for name in self.names if dataset is None else [dataset]:
            yield self._product(name, each)

    def made(self, dataset: str | None = None) -> Iterator[tuple[Board, list[View]]]:
        """Yield boards with their views, for a writer of its own; raises as `products`."""
        self._whole = True
        for _ in self.products(dataset):
            yield self.kept.popitem()[1]

    def _product(
        self, name: str, each: Callable[[Sequence[RunRecord]], list[str]] | None
    ) -> Product:
        mine = {run: about for run, about in self._runs.items() if about.board == name}
        key, place = self._key(name, mine), f"board-{digest(name, *self._other_split)}.json"
        known = self._cache.get(place, key) if key else None
        fresh = self.anew or self._whole or each is not None
        if known is not None and not fresh and (known["wrong"] is not None or not self.check):
            return Product.from_dict(known)
        with warnings_said() as said:
            product = self._made(name, mine)
        found = product.as_dict()
        if known is not None and self.anew and _unlike(known, found):
            self.differing.append(name)
        if key and not said:
            self._cache.put(place, key, found)
        if each is None:
            return product
        shown = set(product.runs)
        records = [r for r in self._loaded(mine) if r.id in shown and r.status == "ok"]
        return replace(product, wrong=[*(product.wrong or ()), *each(records)])

    def _made(self, name: str, mine: Mapping[str, _Run]) -> Product:
        records = [_slim(record, self.split) for record in self._loaded(mine)]
        for run, about in mine.items():
            key = "" if self.anew else self._run_key(about)
            about.derived = (key and self._cache.get(_place(run), key)) or about.derived
        wrong: dict[str, list[str]] = {}
        if self.check is not None:
            wrong = {r.id: self._wrong(r, mine) for r in records if r.status == "ok"}

        def sums(record: RunRecord, place: Place, tuned: bool) -> RunSums:
            return self._sums(record, place, tuned, mine)

        def tests(
            runs: Sequence[tuple[str, RunRecord]], place: Place, compute: Callable[[], Tests]
        ) -> Tests:
            return self._tests(runs, place, compute, mine)

        (board,) = build_boards(
            records, self.reported, None, self._read, self.registry, self._older, sums, tests,
            self.split,
        )  # fmt: skip
        shown = views(board, self.registry)
        if self._whole:
            self.kept[name] = (board, shown)
        runs = sorted(runs_of([board]))
        for run, about in mine.items():
            if about.changed and self._run_key(about):
                self._cache.put(_place(run), self._run_key(about), about.derived)
            about.derived = {}  # boards are many
        return Product(
            files_of(shown, self.registry) | page.data_files([board]),
            page.piece(board, shown),
            index.entry(board, shown, records),
            ranks.candidates(board, self.entries),
            skills.measured(board, self._read) if self.split == SPLIT else None,
            runs,
            list(board.hashes),
            None
            if self.check is None
            else [
                f"{run}: the predictions do not give {', '.join(wrong[run][:3])}"
                for run in runs
                if wrong.get(run)
            ],
        )

    def _wrong(self, record: RunRecord, mine: Mapping[str, _Run]) -> list[str]:
        about = mine.get(record.id)
        if about is not None and about.derived["wrong"] is not None:
            return list(about.derived["wrong"])
        assert self.check is not None
        found = [] if closed(record) else self.check(record, self.store.parts(record))
        if isinstance(self.store, CommittedRecords):
            for sums in self.store.every_sums(record):
                found += sums.disagreements(record)
        if about is not None:
            about.derived["wrong"], about.changed = found, True
        return found

    def _sums(
        self, record: RunRecord, place: Place, tuned: bool, mine: Mapping[str, _Run]
    ) -> RunSums:
        about = mine.get(record.id)
        where = f"{place.dropout} {place.split} {'tuned' if tuned else 'declared'}"
        known = about.derived["sums"].get(where) if about is not None else None
        if known is not None:
            return RunSums.from_dict(known)
        found = run_sums(record, place, tuned, self._read)
        if about is not None:
            about.derived["sums"][where], about.changed = found.as_dict(), True
        return found

    def _tests(
        self,
        runs: Sequence[tuple[str, RunRecord]],
        place: Place,
        compute: Callable[[], Tests],
        mine: Mapping[str, _Run],
    ) -> Tests:
        """Return the tests of ablations, computed where a run or the code changed."""
        keys = [(n, self._run_key(mine[r.id]) if r.id in mine else "") for n, r in runs]
        if not keys or not all(key for _, key in keys):
            return compute()
        about = asdict(place)
        key = digest(keys, about)
        where = f"tests/{digest(about, identity(runs[0][1], ablations=False))}.json"
        known = None if self.anew else self._cache.get(where, key)
        if known is not None:
            blocks = {name: Block.from_dict(block) for name, block in known["blocks"].items()}
            return blocks, tuple(known["untested"])
        found, untested = compute()
        plain = {name: block.as_dict() for name, block in found.items()}
        self._cache.put(where, key, {"blocks": plain, "untested": untested})
        return found, untested

    def _loaded(self, mine: Mapping[str, _Run]) -> list[RunRecord]:
        """Return the records of runs in id order."""
        found = []
        for name in mine:
            record = self._parsed.pop(name, None) or self.store.readable(name)
            if record is not None:
                found.append(record)
        return sorted(found, key=lambda r: r.id)

    def _found(self) -> dict[str, _Run]:
        """Return every readable run: its board, from the cache where its files are as they were."""
        self.store.broken = []
        place = digest("index", self._code)
        before = self._cache.get(INDEX, place) or {}
        found, known = {}, {}
        for name in self.store.names():
            stamp = self.store.digest(name)
            line = before.get(name)
            if line is None or not stamp or line[0] != stamp:
                record = self.store.readable(name)
                if record is None:
                    continue
                if len(self._parsed) < _PARSED:
                    self._parsed[name] = record
                if record.id != name:  # its predictions are those of another name
                    stamp = ""
                here = [list(splits_of(record)), sorted(record.dataset["splits"])]
                # A fold is on no board; the record of all of them is.
                board = "" if record.role == "fold" else board_name(record)
                line = [stamp, board, list(self.store.sources(record)), *here]
            if stamp:
                known[name] = line
            if not line[1]:
                continue
            if self.split in line[3]:
                found[name] = _Run(stamp, line[1], tuple(line[2]))
            elif self.split not in line[4]:
                self._without.add(line[1])
        if known != before:
            self._cache.put(INDEX, place, known)
        return found

    def _key(self, name: str, mine: Mapping[str, _Run]) -> str:
        """Return the digest of all that a board depends on; empty: it cannot be told."""
        runs = [(run, self._run_key(about)) for run, about in mine.items()]
        if not all(key for _, key in runs):
            return ""
        entries = None if self.entries is None else self.entries.get(name, [])
        return digest(name, runs, repr(self.reported), repr(entries), *self._other_split)

    @property
    def _other_split(self) -> list[str]:
        return [] if self.split == SPLIT else [self.split]

    def _run_key(self, about: _Run) -> str:
        if not about.digest:
            return ""
        return digest(self._code, about.digest, [self._file(name) for name in about.sources])

    def _file(self, name: str) -> str:
        if name not in self._files:
            self._files[name] = self.store.file_digest(name)
        return self._files[name]


def texts_about_all(
    folder: BoardFolder, products: Sequence[Product], registry: Registry
) -> dict[str, str]:
    """Return the files about all boards, by name, without the index.

    Raises:
        PluginError: a plugin's format cannot be imported.
    """
    ranked = ranks.rankings_of(product.candidates for product in products)
    skilled = skills.view(product.skill for product in products if product.skill is not None)
    about_all = [ranks.view(ranked)] if ranked else []
    texts = files_of([*about_all, *([skilled] if skilled else [])], registry)
    for spec in formats(registry, of="boards").values():
        if spec.render == PAGE:
            pieces = (product.page for product in products)
            texts[spec.suffix] = page.page_of(pieces, skilled)
        else:
            boards = [board for board, _ in folder.kept.values()]
            shown = {name: made for name, (_, made) in folder.kept.items()}
            texts[spec.suffix] = str(resolve(spec.render, f"format {spec.name!r}")(boards, shown))
    return texts


def _slim(record: RunRecord, split: str) -> RunRecord:
    """Return a record without what no board shows: half of it."""
    shown = {p: {s: v for s, v in splits.items() if s == split}
             for p, splits in record.metrics.items()}  # fmt: skip
    made = {name: record.provenance.get(name) for name in ("commit", "packages")}
    return replace(record, epochs=[], provenance=made, timings={}, metrics=shown)


def _place(run: str) -> str:
    return f"runs/{run}.json"


def _unlike(known: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    names: Iterable[str] = found if known["wrong"] is not None else found.keys() - {"wrong"}
    return any(known[name] != json.loads(json.dumps(found[name])) for name in names)
