"""Runs that share a GPU are packed by what was measured, never by a guess."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.children import Ended
from harness.engine.device import Compute
from harness.engine.request import RunRequest
from harness.errors import UsageError
from harness.launch import processes
from harness.launch.launching import launch
from harness.launch.packing import AGAIN, CONTEXT, MARGIN, InOrder, Packing, size_of
from harness.launch.processes import LocalLauncher, Performed
from harness.launch.worker import OUT_OF_MEMORY, task_of
from harness.specs import Outcome, Task

GB = 1_000_000_000
SIZES = st.lists(st.integers(0, 3), max_size=12)
PEAKS = st.lists(st.integers(1, 12 * GB), min_size=4, max_size=4)


@settings(max_examples=60, deadline=None)
@given(SIZES, PEAKS, st.integers(2 * GB, 20 * GB), st.integers(1, 5), st.randoms())
def test_packing_holds_what_it_promises(
    sizes: list[int], peaks: list[int], capacity: int, at_once: int, random: Any
) -> None:
    turns, running, ended = Packing(sizes, capacity, at_once), list[int](), list[int]()
    short = {place for place in range(len(sizes)) if random.random() < 0.2}
    while True:
        while (place := turns.next()) is not None:
            running.append(place)
            unmeasured = [p for p in running if sizes[p] not in turns.peaks]
            large = [p for p in running if turns.share(p) is None]
            assert len(running) <= at_once
            assert len(running) == 1 or not (unmeasured or large)
            if len(running) > 1:
                taken = sum(peaks[sizes[p]] * MARGIN + CONTEXT for p in running)
                assert taken <= capacity
        if not running:
            break
        place = running.pop(random.randrange(len(running)))
        if running and place in short:
            short.discard(place)
            if turns.ended(place, out_of_memory=True):
                # What it takes is not known any more: no further run of its size is let in.
                assert sizes[place] not in turns.peaks
                # Those of its size that are under way end first, for they hold their shares.
                for other in [p for p in running if sizes[p] == sizes[place]]:
                    running.remove(other)
                    turns.ended(other)
                    ended.append(other)
                continue
        elif turns.ended(place, peaks[sizes[place]]):
            raise AssertionError("a run that ended well starts again")
        ended.append(place)
    assert sorted(ended) == list(range(len(sizes)))


def test_what_was_short_of_memory_counts_for_more_afterwards() -> None:
    turns = Packing(["a"] * 4, 20 * GB, 4)
    assert [turns.next(), turns.next()] == [0, None]
    turns.ended(0, 4 * GB)
    assert [turns.next(), turns.next(), turns.next()] == [1, 2, 3]
    turns.ended(2, 4 * GB)
    assert turns.ended(1, out_of_memory=True) and turns.next() is None
    turns.ended(3, 4 * GB)
    assert [turns.next(), turns.next()] == [1, None]
    assert not turns.ended(1, 5 * GB) and turns.peaks == {"a": 4 * GB * AGAIN}
    # Alone it is out of memory for good.
    alone = Packing(["b"], 20 * GB, 4)
    assert alone.next() == 0 and not alone.ended(0, out_of_memory=True) and alone.next() is None


def test_no_turn_follows_a_stop() -> None:
    for turns in (InOrder(3, 2), Packing(["a", "a", "a"], 9 * GB, 3, {"a": GB})):
        assert [turns.next(), turns.next()] == [0, 1]
        turns.stop()
        assert not turns.ended(0, out_of_memory=True) and turns.next() is None


def test_size_is_what_memory_depends_on() -> None:
    first = task_of(RunRequest("toy", "toy", 0, overrides=("training.lr=1", "model.width=4")))
    same = task_of(RunRequest("toy", "toy", 3, overrides=("training.lr=2", "model.width=4")))
    wide = task_of(RunRequest("toy", "toy", 0, overrides=("training.lr=1", "model.width=8")))
    batch = task_of(RunRequest("toy", "toy", overrides=("training.batch_size=8", "model.width=4")))
    assert size_of(first.request) == size_of(same.request)
    assert len({size_of(t.request) for t in (first, wide, batch)}) == 3


class Machine:
    """Stands for processes on a GPU: runs end in the order of their starts."""

    def __init__(self, answer: Callable[[int, int], Outcome]) -> None:
        self.answer = answer
        self.beside: list[list[int]] = []
        """Whenever one starts, what is under way."""
        self.limits: dict[int, float | None] = {}

    def run_children(
        self, works: Sequence[Performed], *_: Any, turn: Callable[[], int | None],
        started: Callable[[int], None], **__: Any,
    ) -> Iterator[Ended]:  # fmt: skip
        running: list[int] = []
        for attempt in itertools.count():
            while (place := turn()) is not None:
                running.append(place)
                self.beside.append([*running])
                self.limits[place] = works[place].memory
                started(place)
            if not running:
                return
            yield Ended((first := running.pop(0)), self.answer(first, attempt).as_dict())


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[Machine], None]:
    """Return what has runs happen on a made machine."""

    class Device:
        type = "cuda"

    def on(machine: Machine) -> None:
        monkeypatch.setattr(processes, "run_children", machine.run_children)
        monkeypatch.setattr("harness.engine.device.choose", lambda *_: Compute(Device()))  # type: ignore[arg-type]

    return on


def tasks(models: str) -> list[Task]:
    return [task_of(RunRequest(model, "toy", seed)) for seed, model in enumerate(models)]


def test_runs_on_one_gpu_are_packed_by_the_first_of_their_model(
    gpu: Callable[[Machine], None],
) -> None:
    peaks = {"a": 2 * GB, "b": 5 * GB}
    asked = tasks("aaaabb")

    def answer(place: int, attempt: int) -> Outcome:
        return Outcome("done", f"run {place}", peak_memory=peaks["aaaabb"[place]])

    machine = Machine(answer)
    gpu(machine)
    where = LocalLauncher(3, memory=10 * GB)
    assert [o and o.run for o in launch(where, asked, str)] == [f"run {p}" for p in range(6)]
    # 0 is measured alone; then two of 3.4 GB each fit into 10 GB, and b waits until it is alone.
    assert machine.beside == [[0], [1], [1, 2], [2, 3], [4], [5]]
    assert machine.limits == {0: None, 1: 2.4 * GB, 2: 2.4 * GB, 3: 2.4 * GB, 4: None, 5: 6 * GB}


def test_a_run_that_is_out_of_memory_beside_others_is_made_again_alone(
    gpu: Callable[[Machine], None],
) -> None:
    told: list[str] = []
    short = Outcome("retry", "run 1", message="no memory", error=OUT_OF_MEMORY, exit_code=1)
    machine = Machine(
        lambda place, attempt: (
            short if (place, attempt) == (1, 1) else Outcome("done", "", peak_memory=2.0 * GB)
        )
    )
    gpu(machine)
    found = launch(LocalLauncher(3, memory=12 * GB), tasks("aaaa"), told.append)
    assert [o and o.status for o in found] == ["done"] * 4
    assert machine.beside == [[0], [1], [1, 2], [1, 2, 3], [1]] and machine.limits[1] is None
    assert any("seed 1: out of memory beside other runs" in line for line in told), told


def test_the_runs_under_way_end_when_one_has_failed(gpu: Callable[[Machine], None]) -> None:
    machine = Machine(lambda place, _: Outcome("done" if place else "failed", f"run {place}"))
    gpu(machine)
    where = LocalLauncher(2, memory=20 * GB)
    where._peaks.update((size_of(task.request), GB) for task in tasks("aaa"))
    found = launch(where, tasks("aaa"), str, keep_going=False)
    assert [o and o.status for o in found] == ["failed", "done", None]
    assert machine.beside == [[0], [0, 1]]


def test_tensors_keep_to_a_share_and_a_gpu_that_cannot_be_read_is_told(
    gpu: Callable[[Machine], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[float] = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8 * GB, 10 * GB))
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, device: kept.append(share)
    )
    gpu(Machine(lambda *_: Outcome("done")))
    for share in (4 * GB, 20 * GB):
        processes._limit_gpu(RunRequest("toy", "toy"), share)
    assert kept == [0.4, 1.0]
    assert processes._FreeMemory("cuda")(str) == 8 * GB
    died = [Ended(0, finished=False, exit_code=1)]
    monkeypatch.setattr(processes, "run_children", lambda *_: died)
    with pytest.raises(UsageError, match="give it as --launcher-option gpu_memory=GB"):
        launch(LocalLauncher(2), tasks("aa"), str)
