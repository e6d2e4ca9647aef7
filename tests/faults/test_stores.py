"""Stores prove themselves: what is not what was prepared is never trained on."""

from __future__ import annotations

import errno
import faulthandler
import itertools
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import filelock
import numpy as np
import pytest

from harness import paths
from harness.children import run_children
from harness.data import child
from harness.data.corpus import Corpus, SplitArrays
from harness.data.locate import find_store
from harness.data.prepare import found, prepare
from harness.data.store import DAMAGED, Store, read_store
from harness.errors import DataFormatError, DataMissingError, StorageError
from harness.records import artefacts
from harness.specs import DatasetSpec, ModalitySpec, SourceFile

SPEC = DatasetSpec(
    name="kept",
    corpus="tests.faults.test_stores:Kept",
    modalities=(ModalitySpec("text", "t", 3, 4), ModalitySpec("audio", "a", 2, 4)),
    labels=("joy", "fear"),
    files=(SourceFile("kept/data.bin", "numbers"),),
)


class Kept(Corpus):
    """Numbers that follow from one file; ``during`` happens while the second split is read."""

    during: ClassVar[Callable[[], Any] | None] = None

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        rng = np.random.default_rng(len((root / SPEC.files[0].path).read_bytes()))
        for split, n in (("train", 9), ("valid", 4), ("test", 5)):
            if split == "valid" and self.during is not None:
                type(self).during()  # type: ignore[misc]
            features = {
                m.name: [rng.normal(size=(3, m.dim)).astype(np.float32) for _ in range(n)]
                for m in SPEC.modalities
            }
            labels = rng.integers(0, 2, size=(n, 2)).astype(np.uint8)
            ids = [f"{split}/{i}" for i in range(n)]
            yield SplitArrays(split, ids, ids, labels, features)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "_roots", {"home": tmp_path / "home", "data": tmp_path / "data"})
    monkeypatch.setattr(artefacts, "_seen", {})
    source = tmp_path / "data" / SPEC.files[0].path
    source.parent.mkdir(parents=True)
    source.write_bytes(b"12345")
    return tmp_path / "home"


def made() -> Store:
    return prepare(Kept(SPEC), paths.data_root(), SPEC.name)


def flip(path: Path, place: int, bit: int = 0x40) -> None:
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= bit
    path.write_bytes(bytes(content))


def fresh() -> Store:
    artefacts._seen.clear()
    store = read_store(paths.stores_dir() / SPEC.name)
    assert store is not None
    return store


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "another split": lambda p: shutil.copy(p.with_name("test.arrow"), p),
    "cut": lambda p: p.write_bytes(p.read_bytes()[:700]),
    "empty": lambda p: p.write_bytes(b""),
    "longer": lambda p: p.write_bytes(p.read_bytes() + b"\0"),
    "removed": lambda p: p.unlink(),
    "a folder": lambda p: (p.unlink(), p.mkdir()),
    "one bit": lambda p: flip(p, 2000),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_file_is_named_and_prepared_again(home: Path, what: str) -> None:
    store = made()
    DAMAGE[what](store.path / "train.arrow")
    with pytest.raises(DAMAGED, match=r"train\.arrow .*harness data prepare kept --force"):
        fresh().split("test")
    told: list[str] = []
    again = find_store(SPEC, announce=told.append)
    assert again.content_hash == store.content_hash and "train.arrow" in again.notice
    assert told == [again.notice]
    assert found(again.path)[1] == ""


def test_without_the_files_a_damaged_store_is_an_error(home: Path) -> None:
    store = made()
    flip(store.path / "valid.arrow", 1500)
    (paths.data_root() / SPEC.files[0].path).unlink()
    with pytest.raises(DataFormatError, match=r"valid\.arrow .*Put its files .*data\.bin.*--force"):
        find_store(SPEC)


@pytest.mark.parametrize("rounds", [12, pytest.param(250, marks=pytest.mark.full)])
def test_no_flipped_bit_goes_unnoticed(rounds: int, home: Path) -> None:
    store = made()
    files = sorted(p for p in store.path.iterdir() if not p.name.startswith("."))
    whole = {path: path.read_bytes() for path in files}
    rng = np.random.default_rng(0)
    for path in files * rounds:
        flip(path, int(rng.integers(0, len(whole[path]))), int(1 << rng.integers(0, 8)))
        damage = found(store.path)[1]
        if not damage:  # white space of the card
            assert path.name == "card.json" and fresh().card == store.card
        path.write_bytes(whole[path])
    assert found(store.path)[1] == ""


@pytest.mark.parametrize(
    "content",
    [b"\xa0", b"{", b"[" * 100_000, b"[1]", b'{"schema": NaN}', b'{"schema": 1}', b"9" * 6000],
)
def test_a_card_that_cannot_be_read(home: Path, content: bytes) -> None:
    store = made()
    (store.path / "card.json").write_bytes(content)
    with pytest.raises(DataFormatError, match=r"card\.json.*harness data prepare kept --force"):
        read_store(store.path)
    assert find_store(SPEC).content_hash == store.content_hash


def test_a_card_edited_by_hand(home: Path) -> None:
    store = made()
    card = json.loads((store.path / "card.json").read_text())
    card["feature_sd"]["text"][0] += 1
    (store.path / "card.json").write_text(json.dumps(card))
    with pytest.raises(DataFormatError, match="not what was written"):
        read_store(store.path)


def older(store: Store) -> Path:
    """Make a store one of a version that kept no digests."""
    card = store.path / "card.json"
    plain = {k: v for k, v in json.loads(card.read_text()).items() if k not in ("files", "digest")}
    card.write_text(json.dumps(plain))
    return card


def test_an_older_store_takes_digests_if_its_content_is_right(home: Path) -> None:
    store = made()
    card = older(store)
    fresh().check()
    assert json.loads(card.read_text())["files"] == store.card["files"]
    flip(store.path / "test.arrow", 3000)
    with pytest.raises(DataFormatError, match=r"test\.arrow"):
        fresh().check()
    older(store)
    shutil.copy(store.path / "valid.arrow", store.path / "test.arrow")
    with pytest.raises(DataFormatError, match="content hash"):
        fresh().check()


def test_what_was_verified_is_not_hashed_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made()

    def no(path: Path) -> str:
        raise AssertionError(f"{path} was hashed")

    monkeypatch.setattr(artefacts, "digest_of", no)
    fresh().check()
    with pytest.raises(AssertionError, match="hashed"):
        fresh().check(full=True)


def test_reading_needs_neither_lock_nor_permission_to_write(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made()

    def no(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "acquire", no)
    monkeypatch.setattr(artefacts.tempfile, "mkstemp", no)
    (store.path / artefacts.VERIFIED).unlink(missing_ok=True)
    older(store)
    artefacts._seen.clear()
    assert len(find_store(SPEC).split("train")) == 9


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO, errno.ENOSYS])
def test_a_file_system_without_locks(
    home: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def no(*_: Any, **__: Any) -> Any:
        if number == errno.ENOSYS:
            raise NotImplementedError("FileSystem does not appear to support flock")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock.FileLock, "acquire", no)
    with pytest.raises(StorageError, match=r"locks are not supported .*HARNESS_HOME"):
        made()


def test_a_folder_that_may_not_be_entered(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(_: Any) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", "locked/kept")

    monkeypatch.setattr(Path, "is_file", no)
    with pytest.raises(StorageError, match=r"locked/kept: permission denied; .*HARNESS_DATA"):
        made()


def take_memory() -> None:
    raise AssertionError(len(np.ones(2**31)))


def loop() -> None:
    while True:
        pass


def end_by(number: int) -> Callable[[], None]:
    def act() -> None:
        faulthandler.disable()
        os.kill(os.getpid(), number)

    return act


ENDS: dict[str, tuple[Callable[[], Any], str]] = {
    "segmentation fault": (end_by(signal.SIGSEGV), "SIGSEGV"),
    "abort": (end_by(signal.SIGABRT), "SIGABRT"),
    "exit": (lambda: os._exit(0), "exit code 0"),
    "sys.exit": (lambda: sys.exit(0), "SystemExit"),
    "memory": (take_memory, "memory was asked for"),
    "time": (loop, "more than 1 s"),
    "exception": (lambda: {}["x"], "KeyError"),
}


@pytest.mark.parametrize("what", ENDS)
def test_whatever_reading_does_ends_in_a_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    act, said = ENDS[what]
    monkeypatch.setattr(Kept, "during", staticmethod(act))
    monkeypatch.setattr(child, "SECONDS", 0 if what == "time" else 10)
    with pytest.raises(DataFormatError, match=rf"data\.bin.*{said}"):
        made()
    assert [p.name for p in paths.stores_dir().iterdir() if p.is_dir()] == []
    monkeypatch.setattr(Kept, "during", None)
    assert len(made().split("train")) == 9


def test_interrupts_and_errors_of_ours_arrive_as_they_are(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise DataMissingError("no such clip")

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Kept, "during", staticmethod(missing))
    with pytest.raises(DataMissingError, match=r"^no such clip$"):
        made()
    monkeypatch.setattr(Kept, "during", staticmethod(interrupt))
    with pytest.raises(KeyboardInterrupt):
        made()


def test_limits_follow_the_size_of_the_files(tmp_path: Path) -> None:
    for name, size in (("a", 0), ("b", 50_000_000)):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(size)
    limits = child.Limits.of([tmp_path / "a", tmp_path / "b"])
    assert limits == child.Limits(2**30 + 200_000_000, 26)


def test_preparing_in_a_child_takes_no_time_to_speak_of(home: Path) -> None:
    made()
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        child.in_child("x", [], lambda: None, limited=True)
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.3  # .05 s on an idle machine


NAMES = ("mkdir", "rename", "replace", "rmdir", "unlink", "fsync")


def killed_at(point: int, force: bool) -> Callable[[Any], int]:
    """Return the preparation that dies before its file operation number ``point``."""

    def work(_: Any) -> int:
        count = itertools.count()
        for name in NAMES:
            true = getattr(os, name)

            def counted(*given: Any, true: Any = true, **named: Any) -> Any:
                if next(count) == point:
                    os._exit(9)
                return true(*given, **named)

            setattr(os, name, counted)
        prepare(Kept(SPEC), paths.data_root(), SPEC.name, force=force)
        return next(count)

    return work


def kill_everywhere(points: Iterator[int]) -> int:
    """Kill preparations, of nothing and over a store; each time the same command finishes."""
    store = made()
    changed = replace(SPEC, labels=("fear", "joy"))
    ended = 0
    for point in points:
        for there in (True, False):
            if not there:
                shutil.rmtree(store.path)
            (end,) = run_children([killed_at(point, force=True)], 1, lambda _: None)
            ended += not end.finished
            again = prepare(Kept(SPEC), paths.data_root(), SPEC.name)
            assert again.content_hash == store.content_hash and found(again.path)[1] == ""
            assert find_store(SPEC).split("train").spec != changed
        if end.finished:
            break
    left = [p.name for p in paths.stores_dir().iterdir() if p.is_dir() and p.name != SPEC.name]
    prepare(Kept(SPEC), paths.data_root(), SPEC.name, force=True)
    assert [p.name for p in paths.stores_dir().iterdir() if p.is_dir()] == [SPEC.name], left
    return ended


def test_killed_preparations(home: Path) -> None:
    assert kill_everywhere(iter((1, 4, 6))) > 0


@pytest.mark.full
def test_preparations_killed_anywhere(home: Path) -> None:
    assert kill_everywhere(itertools.count()) > 10
