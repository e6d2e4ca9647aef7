"""Leases: whatever the order of the steps of several claimers, one of them has the run."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.records import claims, leases
from harness.records.claims import END, LEASE, lease_seconds, read
from harness.records.leases import Lease, LeaseLostError, Leases
from harness.records.processes import Process

RUN, SECONDS = "toy-toy-s0-0123456789ab", 60.0
ACTORS = 3
STEPS = ("link", "rename", "unlink", "utime")
TAKEOVER = 16
"""No fewer than the steps of a claim that takes a run over."""


class _OverError(BaseException):
    """The test is over: a claimer that was never asked to go on ends here."""


class Stage:
    """Claimers in threads, each of which does its next step on the disk when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.times = folder, [0.0] * ACTORS
        self.looks = [0] * ACTORS
        self.held: dict[int, Lease] = {}
        self.faults: list[str] = []
        self.over = False
        self._go = [threading.Semaphore(0) for _ in range(ACTORS)]
        self._stopped = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._live, args=(i,)) for i in range(ACTORS)]
        self._numbers: dict[threading.Thread, int] = {t: i for i, t in enumerate(self._threads)}
        self._ended: set[int] = set()
        for number, thread in enumerate(self._threads):
            thread.start()
            self._stopped.acquire()
            assert number not in self._ended

    def step(self) -> None:
        """Wait until this thread may do its next step; nothing happens in other threads."""
        number = self._numbers.get(threading.current_thread())
        if number is not None and not self.over:
            self._stopped.release()
            self._go[number].acquire()
            if self.over:
                raise _OverError

    def go(self, number: int, times: int = 1) -> None:
        for _ in range(times):
            if number not in self._ended:
                self._go[number].release()
                self._stopped.acquire()

    def look(self, number: int) -> None:
        """Let a claimer go on to the end of its next claim."""
        before = self.looks[number]
        while self.looks[number] == before and number not in self._ended:
            self.go(number)

    def late(self, number: int) -> None:
        """Have all others been silent for too long, to this one."""
        self.times[number] += SECONDS + 1

    def leases_of(self, number: int) -> Leases:
        here = Process(f"node{number}", f"boot{number}", "1", 100 + number, "5")
        return Leases(self.folder, seconds=SECONDS, here=here, clock=lambda: self.times[number])

    def _live(self, number: int) -> None:
        own = self.leases_of(number)
        try:
            for _ in range(5):
                self.step()
                lease = own.claim(RUN)
                self.looks[number] += 1
                if not isinstance(lease, Lease):
                    continue
                self.held[number] = lease
                with contextlib.suppress(LeaseLostError):
                    lease.check()
                    self._has(lease)
                del self.held[number]
                lease.release()
        except _OverError:
            pass
        finally:
            self._ended.add(number)
            self._stopped.release()

    def _has(self, lease: Lease) -> None:
        """Note a fault if a claimer that may write its record does not have the lease."""
        found = read(self.folder / f"{RUN}{LEASE}")
        if found is None or found.token != lease.holder.token:
            self.faults.append(f"{lease.holder.token} writes, but the lease is {found}")

    def taken(self, source: Path) -> None:
        """Note a fault if a claim is about to take the place of one that it has not ended."""
        lease, new = read(self.folder / f"{RUN}{LEASE}"), read(source)
        after = lease
        while after is not None and new is not None and after.token != new.token:
            after = read(self.folder / f"{after.token}{END}")
        if new is not None and after is None:
            self.faults.append(f"{new.token} takes the place of {lease}, which nobody ended")

    def end(self) -> None:
        self.over = True
        for semaphore in self._go:
            semaphore.release()
        for thread in self._threads:
            thread.join()


@contextlib.contextmanager
def staged() -> Iterator[Stage]:
    """Yield a stage; every change and every look of its claimers at the disk is a step."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        found: list[Stage] = []

        def stepping(what: Callable[..., Any], name: str) -> Callable[..., Any]:
            def stepped(*args: Any, **options: Any) -> Any:
                if found:
                    found[0].step()
                    if name == "rename" and str(args[1]).endswith(LEASE):
                        found[0].taken(Path(args[0]))
                return what(*args, **options)

            return stepped

        (Path(folder) / leases.FOLDER).mkdir()
        patch.setattr(leases, "read", stepping(read, "read"))
        patch.setattr(claims, "read", stepping(read, "read"))
        patch.setattr(claims, "_PAUSES", (0.0,))
        for name in STEPS:
            patch.setattr(os, name, stepping(getattr(os, name), name))
        stage = Stage(Path(folder) / leases.FOLDER)
        found.append(stage)
        try:
            yield stage
        finally:
            stage.end()


claimers = st.integers(0, ACTORS - 1)
moves = st.sampled_from(("go", "go", "go", "late", "beat"))
examples = pytest.mark.parametrize("count", [15, pytest.param(500, marks=pytest.mark.full)])


@examples
def test_while_none_expires_at_most_one_has_the_run(count: int) -> None:
    @given(st.lists(claimers, max_size=90))
    @settings(max_examples=count, deadline=None)
    def in_any_order(order: Sequence[int]) -> None:
        with staged() as stage:
            for number in order:
                stage.go(number)
                assert len(stage.held) <= 1, stage.held
            assert stage.faults == []

    in_any_order()


@examples
def test_a_claimer_that_sleeps_anywhere_never_harms_who_took_over(count: int) -> None:
    @given(st.lists(st.tuples(moves, claimers, st.integers(1, 12)), max_size=40))
    @settings(max_examples=count, deadline=None)
    def in_any_order(script: Sequence[tuple[str, int, int]]) -> None:
        with staged() as stage:
            for what, number, times in script:
                if what == "go":
                    stage.go(number, times)
                elif what == "late":
                    stage.late(number)
                elif number in stage.held:
                    stage.held[number].beat()
            assert stage.faults == []
            # All of them stop for good, wherever they are: whoever comes next gets the run.
            last = stage.leases_of(0)
            for _ in range(ACTORS + 2):
                found = last.claim(RUN)
                if isinstance(found, Lease):
                    break
                stage.late(0)
            assert isinstance(found, Lease)
            found.check()
            assert stage.faults == []

    in_any_order()


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.full)])
def test_two_that_take_over_and_stop_at_any_step_wake_without_harm(every: bool) -> None:
    """The second finds the first half-way and stops half-way too; then all wake, in turn."""
    for first in range(2, TAKEOVER):
        for second in range(TAKEOVER) if every else (6, 9, TAKEOVER):
            with staged() as stage:
                stage.look(0)
                stage.look(1)
                stage.late(1)
                stage.go(1, first)
                stage.look(2)
                stage.late(2)
                stage.go(2, second)
                for number in (1, 0, 2):
                    stage.go(number, TAKEOVER)
                    still = [n for n, lease in stage.held.items() if not _lost(lease)]
                    assert len(still) <= 1 and stage.faults == [], (first, second)


def _lost(lease: Lease) -> bool:
    try:
        lease.check()
    except LeaseLostError:
        return True
    return False


@pytest.mark.parametrize("text", ["soon", "2", "nan", "100000"])
def test_a_time_of_leases_that_does_not_fit_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_LEASE", text)
    with pytest.raises(UsageError, match=r"HARNESS_LEASE=.* from 3 to 86400"):
        lease_seconds()
    monkeypatch.setenv("HARNESS_LEASE", "7.5")
    assert lease_seconds() == 7.5
