"""Kills at every change of the disk, and flipped bits: nothing lost, doubled or changed unsaid."""

# ruff: noqa: F811 (fixtures are imported)

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness.api import rescore
from harness.boards.frame import frame
from harness.records.record import RunRecord
from harness.records.store import RunStore
from tests.faults.test_artefacts import (  # noqa: F401
    FILES,
    PREDICTIONS,
    RUN,
    TOY,
    base,
    figures,
    home,
    run,
    run_of,
)

CHANGES = ("fsync", "replace", "rename", "unlink", "chmod", "mkdir", "rmdir", "link", "utime")


def stepping(patch: pytest.MonkeyPatch, at: int) -> Callable[[], int]:
    """Kill this process before its change of the disk number ``at``; return what counts them."""
    calls = itertools.count()

    def wrap(change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **options: Any) -> Any:
            if next(calls) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*args, **options)

        return changed

    for name in CHANGES:
        patch.setattr(os, name, wrap(getattr(os, name)))
    return lambda: next(calls)


def rows(path: Path) -> int:
    table = pq.read_table(path)
    keys = Counter(zip(*(table[c].to_pylist() for c in ("id", "split", "protocol")), strict=True))
    return max(keys.values())


VERBS: dict[str, Callable[[], object]] = {
    "run": lambda: run(seeds=2),
    "dropout": lambda: run(dropout="only-t@1"),
    "rescore": lambda: rescore(RunStore().all()),
    "rerun": lambda: run(rerun=True),
}


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.full)])
@pytest.mark.parametrize("verb", VERBS)
def test_a_kill_anywhere_loses_doubles_and_changes_nothing(
    verb: str, every: bool, home: Path, own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, store = VERBS[verb], RunStore()
    if verb == "rescore":  # something to write: a figure that is not there yet
        for record in store.all():
            store.write(_without(record, "jaccard"))
    kept = own_folders / "kept"
    shutil.copytree(home, kept)
    old = {r.id: figures(r) for r in store.all()}
    with monkeypatch.context() as patch:
        count = stepping(patch, -1)
        work()
        total = count()
    new = {r.id: figures(r) for r in store.all()}
    assert total > 10
    steps = range(total) if every else sorted({total * k // 4 for k in range(4)} | {total - 2})
    for step in steps:
        shutil.rmtree(home)
        shutil.copytree(kept, home)
        child = os.fork()
        if child == 0:
            with pytest.MonkeyPatch.context() as patch:
                stepping(patch, step)
                work()
            os._exit(0)
        if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            assert step > total - 10, step  # the counted run may have had a few changes more
        found = {r.id: figures(r) for r in store.whole(store.all())}
        assert store.broken == [], (step, store.broken)
        assert found.keys() >= old.keys() and found.keys() <= new.keys()
        assert all(f in (old.get(run), new[run]) for run, f in found.items()), step
        work()
        assert {r.id: figures(r) for r in store.whole(store.all())} == new, step
        for record in store.all():
            folder = store.folder(record.id)
            assert rows(folder / PREDICTIONS) == 1 and store.faults(record) == []
            assert sorted(p.name for p in folder.iterdir()) == sorted([*FILES, "epochs.csv"]), step


def _without(record: RunRecord, metric: str) -> RunRecord:
    document = record.as_dict()
    for by_split in document["metrics"].values():
        for places in by_split.values():
            for found in places.values():
                (found or {}).pop(metric, None)
    return RunRecord.from_dict(document)


@pytest.mark.parametrize("flips", [40, pytest.param(1000, marks=pytest.mark.full)])
def test_no_flipped_bit_changes_a_figure_without_a_word(flips: int, home: Path) -> None:
    store, draw = RunStore(), random.Random(0)
    records = store.all()
    shown = {r.id: [v.as_row("") for v in frame([r], "test", True)] for r in records}
    files = [p for p in run_of(0).iterdir() if p.is_file()]
    run, told = run_of(0).name, 0
    for number in range(flips):
        path = files[number % len(files)]
        content = path.read_bytes()
        place = draw.randrange(len(content) * 8)
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        found = store.whole(store.all())
        left = {r.id: [v.as_row("") for v in frame([r], "test", True)] for r in found}
        assert left == shown or (
            left == {k: v for k, v in shown.items() if k != run}
            and [b.path.parent.name for b in store.broken] == [run]
        ), (path.name, place)
        told += bool(store.broken) or bool(store.faults(next(r for r in found if r.id == run)))
        path.write_bytes(content)
    assert told > flips * 0.95
