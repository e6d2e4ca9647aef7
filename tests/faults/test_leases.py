"""Who makes a run, when machines vanish, clocks are off, processes sleep and file systems fail."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StorageError
from harness.records import claims, leases
from harness.records.claims import CLAIM, LEASE
from harness.records.leases import Lease, LeaseLostError, Leases, RunHeldError
from harness.records.processes import Process
from harness.records.store import RunStore
from tests.faults.leased import GONE, HOUR, RUN, Clock, elsewhere, files, lease_path
from tests.unit.boards.made import record


def test_a_node_that_vanishes_is_waited_for_as_long_as_its_lease_says() -> None:
    lost, clock = elsewhere(seconds=100), Clock()
    mine = Leases(lost.folder, seconds=60, clock=clock)
    for clock.seconds in (0.0, 50.0, 99.0):
        found = mine.claim(RUN)
        assert not isinstance(found, Lease) and found is not None
        assert str(found).startswith("process 4711 on node7 (since 20"), found
    clock.seconds = 101.0
    assert mine.holder(RUN) is None
    assert isinstance(mine.claim(RUN), Lease)
    assert len(files()) == 2, "the lease and its claim, and nothing of the other"


@pytest.mark.parametrize("hours", [-1e5, -5.0, 5.0, 1e4])
def test_a_clock_that_is_off_changes_nothing(hours: float) -> None:
    lost, clock = elsewhere(seconds=60), Clock()
    mine = Leases(lost.folder, seconds=60, clock=clock)
    for beat in range(1, 20):  # it lives, and its clock says anything
        moment = time.time() + hours * HOUR + beat * 20
        os.utime(lease_path(), (moment, moment))
        assert mine.holder(RUN) is not None, beat
        clock.seconds += 40.0
    assert isinstance(mine.claim(RUN), leases.Holder)
    clock.seconds += 61.0
    assert isinstance(mine.claim(RUN), Lease)


def test_of_takers_at_once_one_has_the_run() -> None:
    folder = elsewhere(seconds=0.0).folder
    for _ in range(10):
        ready, won = threading.Barrier(4), list[Lease]()

        def take(mine: Leases, ready: threading.Barrier = ready, won: list[Lease] = won) -> None:
            mine.holder(RUN)
            ready.wait()
            found = mine.claim(RUN)
            won += [found] if isinstance(found, Lease) else []

        others = [Process(f"node{i}", "b", "1", 10 + i, "7") for i in range(4)]
        takers = [
            threading.Thread(target=take, args=(Leases(folder, seconds=0.0, here=one),))
            for one in others
        ]
        for taker in takers:
            taker.start()
        for taker in takers:
            taker.join()
        # The lease of the first expired at once, so that a second one may have ended it since.
        still = [lease for lease in won if not _lost(lease)]
        assert len(still) == 1, won
        won[0].release()


def _lost(lease: Lease) -> bool:
    try:
        lease.check()
    except LeaseLostError:
        return True
    return False


def test_who_wakes_after_the_takeover_writes_nothing() -> None:
    from harness.engine.state import Progress, ResumeFolder

    sleeper, other, clock = RunStore(), RunStore(), Clock()
    sleeper.leases = Leases(sleeper.leases.folder, here=GONE, seconds=60)
    other.leases = Leases(other.leases.folder, seconds=60, clock=clock)
    with sleeper.lock(RUN):
        other.leases.holder(RUN)
        clock.seconds = 61.0
        with other.lock(RUN):
            other.write(replace(record(), parameters=2))
        for _ in range(2):  # while the other has it no more than when it has given it back
            with pytest.raises(LeaseLostError, match=r"on .* has taken it over, .*for 60 s") as no:
                sleeper.write(record(), {"epochs.csv": b"old"})
            assert no.value.exit_code == 1
        state = ResumeFolder(sleeper.folder(RUN) / "resume", check=lambda: sleeper.check(RUN))
        with pytest.raises(LeaseLostError):
            state.save(Progress(1, (), None, None), {}, ())
    found = RunStore().find(RUN)
    assert found is not None and found.parameters == 2
    assert {p.name for p in sleeper.folder(RUN).iterdir()} == {"record.json"}
    assert RunStore().leases.holder(RUN) is None, "waking has not put its own lease back"


def test_a_lease_lost_while_files_are_written_leaves_the_old_ones() -> None:
    mine = RunStore()
    with mine.lock(RUN):
        mine.write(record())
        lease, calls = mine._held[RUN], list[int]()
        check = lease.check

        def late() -> None:
            calls.append(1)
            if len(calls) == 2:
                lease_path().unlink()
            check()

        lease.check = late  # type: ignore[method-assign]
        with pytest.raises(LeaseLostError, match="removed by hand"):
            mine.write(replace(record(), parameters=2), {"epochs.csv": b"new"})
    found = RunStore().find(RUN)
    assert found is not None and found.parameters == record().parameters
    assert {p.name for p in mine.folder(RUN).iterdir()} == {"record.json"}


@pytest.mark.parametrize("raised", [None, ValueError, KeyboardInterrupt, SystemExit])
def test_a_run_is_given_back_however_its_block_ends(raised: type[BaseException] | None) -> None:
    store = RunStore()

    def hold() -> None:
        with store.lock(RUN):
            assert RunStore().leases.holder(RUN) is not None
            if raised is not None:
                raise raised

    if raised is None:
        hold()
    else:
        with pytest.raises(raised):
            hold()
    assert RunStore().leases.holder(RUN) is None and files() == {f"{RUN}{LEASE}"}
    assert not [t for t in threading.enumerate() if t.name.startswith("lease")]
    assert isinstance(RunStore().leases.claim(RUN), Lease)


def test_a_process_that_is_killed_is_gone_at_once() -> None:
    child = os.fork()
    if child == 0:
        lease = RunStore().leases.claim(RUN)
        os.kill(os.getpid(), signal.SIGKILL if isinstance(lease, Lease) else signal.SIGTERM)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    found = claims.read(lease_path())
    assert found is not None and found.holder.process.number == child
    with RunStore().lock(RUN, _refuse):
        assert len(files()) == 2


def test_heartbeats_keep_no_process_alive() -> None:
    code = (
        "from pathlib import Path; from harness.records.leases import Leases\n"
        f"Leases(Path({str(RunStore().leases.folder)!r}), seconds=600).claim({RUN!r}).start()"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=120, check=False)
    assert done.returncode == 0
    with RunStore().lock(RUN, _refuse):
        assert len(files()) == 2


def _refuse(held: RunHeldError) -> None:
    raise held


def test_numbers_of_processes_are_used_again_and_zombies_are_none() -> None:
    me = Process.here()
    assert me.lives(me) is True
    assert Process(me.host, me.boot, me.namespace, me.number, "1").lives(me) is False
    assert Process(me.host, me.boot, "another container", me.number, "1").lives(me) is None
    assert Process(me.host).lives(Process(me.host)) is None, "no Linux: nothing is known"
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    stat = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    ended = Process(me.host, me.boot, me.namespace, child, stat[19])
    assert stat[0] == "Z" and ended.lives(me) is False
    os.waitpid(child, 0)
    assert ended.lives(me) is False


def test_a_process_that_is_stopped_keeps_its_run_on_its_own_machine() -> None:
    clock = Clock()
    mine = Leases(RunStore().leases.folder, seconds=60, clock=clock)
    child = os.fork()
    if child == 0:
        mine.claim(RUN)
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    assert mine.holder(RUN) is not None
    clock.seconds = 1000.0
    assert mine.holder(RUN) is not None
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert mine.holder(RUN) is None


def test_a_fork_of_the_holder_gives_nothing_back() -> None:
    with RunStore().leases.hold(RUN) as lease:
        child = os.fork()
        if child == 0:
            lease.release()
            os._exit(0)
        os.waitpid(child, 0)
        assert RunStore().leases.holder(RUN) is not None


def test_heartbeats_outlive_a_hiccup_of_the_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    lease, answers, set_time = elsewhere(seconds=0.03), [errno.EIO, errno.ESTALE], os.utime
    beats = threading.Event()

    def flaky(*args: Any, **options: Any) -> None:
        if answers:
            raise OSError(answers.pop(), "hiccup")
        set_time(*args, **options)
        beats.set()

    monkeypatch.setattr(os, "utime", flaky)
    set_time(lease_path(), (5.0, 5.0))
    lease.start()
    assert beats.wait(30)
    lease.release()
    found = claims.read(lease_path())
    assert found is not None and found.beat == 0 and not answers
    lease.beat()
    assert lease_path().stat().st_mtime == 0, "no heartbeat after it was given back"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_hard_links_is_refused(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", no)
    with pytest.raises(StorageError, match=r"no hard links .*HARNESS_HOME"), RunStore().lock(RUN):
        raise AssertionError("it is held")
    assert files() == set()


def test_answers_of_a_network_file_system_that_are_not_so(monkeypatch: pytest.MonkeyPatch) -> None:
    link, rename = os.link, os.rename

    def after(change: Callable[..., Any], number: int) -> Callable[..., Any]:
        def changed(*args: Any, **options: Any) -> None:
            change(*args, **options)
            raise OSError(number, os.strerror(number))  # to the same request, sent again

        return changed

    mine = RunStore().leases
    monkeypatch.setattr(os, "link", after(link, errno.EEXIST))
    monkeypatch.setattr(os, "rename", after(rename, errno.ENOENT))
    for _ in range(2):  # a new lease, and one that is taken over
        lease = mine.claim(RUN)
        assert isinstance(lease, Lease)
        lease.check()
        lease.release()
    monkeypatch.setattr(os, "link", lambda *_, **__: None)
    assert mine.claim(RUN) is None
    assert files() == {f"{RUN}{LEASE}"}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"token": "../x"}'])
def test_a_lease_whose_content_is_lost_expires(content: bytes) -> None:
    clock = Clock()
    mine = Leases(RunStore().leases.folder, seconds=60, clock=clock)
    mine.folder.mkdir(parents=True)
    lease_path().write_bytes(content)
    assert "unknown machine" in str(mine.holder(RUN))
    clock.seconds = claims.SECONDS + 1
    lease = mine.claim(RUN)
    assert isinstance(lease, Lease)
    lease.check()


def test_a_claim_that_is_cleared_while_its_process_sleeps_is_no_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine, write = RunStore().leases, claims.write

    def cleared(folder: Path, *args: Any) -> Any:
        found = write(folder, *args)
        (folder / f"{found.token}{CLAIM}").unlink()
        return found

    monkeypatch.setattr(leases, "write", cleared)
    assert mine.claim(RUN) is None and files() == set()
