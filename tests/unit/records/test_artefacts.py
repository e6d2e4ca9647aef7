"""Files of a run: all new or all old after any kill; refused where they are others."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataFormatError, DataMissingError
from harness.records import artefacts
from harness.records.artefacts import check, current, digest_of, recover, transaction

NAMES = ("predictions.parquet", "epochs.csv", "record.json")


def write(folder: Path, content: str, names: tuple[str, ...] = NAMES) -> None:
    with transaction(folder) as made:
        for name in names:
            made.write(name, f"{name}:{content}".encode())


def state(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text().split(":")[-1] for p in folder.iterdir() if p.name in NAMES}


def killed_at(step: int, work: Callable[[], None]) -> bool:
    """Run in a child that is killed before its ``step``-th change of the disk; False: it ended."""
    child = os.fork()
    if child == 0:
        calls = itertools.count()

        def wrap(change: Callable[..., Any]) -> Callable[..., Any]:
            def changed(*args: Any, **options: Any) -> Any:
                if next(calls) == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return change(*args, **options)

            return changed

        for owner, name in (
            (os, "fsync"), (Path, "replace"), (Path, "unlink"), (Path, "write_bytes"),
            (Path, "write_text"), (Path, "chmod"),
        ):  # fmt: skip
            setattr(owner, name, wrap(getattr(owner, name)))
        work()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_any_kill_leaves_the_old_files_or_the_new_ones(tmp_path: Path) -> None:
    seen = set()
    for step in itertools.count():
        folder = tmp_path / str(step)
        write(folder, "old")
        killed = killed_at(step, lambda folder=folder: write(folder, "new"))  # type: ignore[misc]
        through = {current(folder, name).read_text().split(":")[-1] for name in NAMES}
        recover(folder)
        after = set(state(folder).values())
        assert len(after) == 1 and through == after
        assert sorted(p.name for p in folder.iterdir()) == sorted(NAMES)
        seen |= after
        write(folder, "again")
        assert set(state(folder).values()) == {"again"}
        if not killed:
            break
    assert seen == {"old", "new"} and step > 8


def test_a_failure_while_writing_leaves_the_old_files(tmp_path: Path) -> None:
    write(tmp_path, "old")
    with pytest.raises(RuntimeError), transaction(tmp_path) as made:
        made.write("record.json", b"new")
        raise RuntimeError
    assert set(state(tmp_path).values()) == {"old"}
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(NAMES)


def test_a_file_that_is_not_what_was_written_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "run-1" / "predictions.parquet"
    with transaction(path.parent) as made:
        digest = made.write(path.name, b"abc")
    check(path, digest, "run again")
    content, stat = path.read_bytes(), path.stat()
    path.write_bytes(b"abd")
    with pytest.raises(DataFormatError, match=r"run-1/predictions\.parquet is damaged .*run again"):
        check(path, digest, "run again")
    path.write_bytes(content)
    check(path, digest, "run again")
    path.unlink()
    with pytest.raises(DataMissingError, match="is missing; run again"):
        check(path, digest, "run again")
    assert stat.st_size == 3


def test_a_verified_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction(tmp_path) as made:
        digest = made.write("a", b"abc")
    hashed = []

    def counting(path: Path) -> str:
        hashed.append(path)
        return digest_of(path)

    monkeypatch.setattr(artefacts, "digest_of", counting)
    for _ in range(3):
        check(tmp_path / "a", digest, "x")
    artefacts._seen.clear()
    check(tmp_path / "a", digest, "x")
    assert len(hashed) == 1
    check(tmp_path / "a", digest, "x", full=True)
    assert len(hashed) == 2


def test_a_folder_may_be_named_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--out leaderboards` is relative; names of temporary files are absolute everywhere."""
    monkeypatch.chdir(tmp_path)
    with transaction(Path("boards")) as made:
        made.write("records/a.zip", b"a")
        made.write("b.md", b"b")
    written = {p.relative_to("boards").as_posix() for p in Path("boards").rglob("*") if p.is_file()}
    assert written == {"records/a.zip", "b.md"}
    assert Path("boards/records/a.zip").read_bytes() == b"a"
