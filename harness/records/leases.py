"""Leases: which process makes a run, on storage that several machines share.

Advisory locks are local to a machine on much shared storage, hard links and renames are not. Files
of ``.leases/``:

- ``<token>.claim``: what one claim says (`Holder`); it is written once, by the claimer.
- ``<run>.lease``: a hard link to the claim that holds the run. Its modification time is the
  heartbeat; zero: the holder gave it back.
- ``<token>.end``: a hard link to the claim of the one process that may end the claim ``token``.
- ``<token>.next``: a hard link to a claim, which is renamed over the lease to take it over.

No clocks are compared: a holder out of sight is gone when its heartbeat has not changed for as long
as the lease says by the clock of the one that waits. Who finds that links ``<token>.end``, which
succeeds once; reads the lease again; and renames. One that stops half-way is ended likewise: its
``.next`` is removed first, so that it cannot rename any more when it wakes.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import HarnessError, UsageError
from harness.paths import storage_errors
from harness.records.claims import (
    CLAIM,
    END,
    LEASE,
    NEXT,
    Holder,
    Seen,
    lease_seconds,
    link,
    read,
    withdraw,
    write,
)
from harness.records.processes import Process

FOLDER = ".leases"
BEATS = 3
"""Heartbeats of a lease in the time after which it expires."""
POLL_S, LONGEST_POLL_S = 0.05, 2.0


class RunHeldError(UsageError):
    """A process has the run.

    Args:
        run: its id.
        holder: the process.
    """

    def __init__(self, run: str, holder: Holder) -> None:
        super().__init__(f"{run} is under way in {holder}.")
        self.run, self.holder = run, holder


class LeaseLostError(HarnessError):
    """Another process has taken the run over, and nothing was written.

    Args:
        run: its id.
        reason: what happened, a sentence.
    """

    exit_code = 1

    def __init__(self, run: str, reason: str) -> None:
        super().__init__(f"{run}: {reason} Nothing is written; run the same command again.")
        self.run = run


@dataclass
class _Watch:
    """What this process saw of the last claim on a run: since when it is as it is."""

    seen: Seen
    since: float
    moved: bool = False


@dataclass
class Lease:
    """A run that this process holds.

    Attributes:
        run: its id.
        folder: of the leases.
        holder: what the claim says.
    """

    run: str
    folder: Path
    holder: Holder
    _ended: threading.Event = field(default_factory=threading.Event)
    _beating: threading.Lock = field(default_factory=threading.Lock)
    _process: int = field(default_factory=os.getpid)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin with heartbeats, from a thread that keeps no process alive."""
        name = f"lease of {self.run}"
        self._thread = threading.Thread(target=self._beats, name=name, daemon=True)
        self._thread.start()

    def _beats(self) -> None:
        while not self._ended.wait(self.holder.seconds / BEATS):
            self.beat()

    def beat(self) -> None:
        """Give one heartbeat.

        An error of the file system is passed over: there are more heartbeats before the lease
        expires, and `check` finds out whether they came too late.
        """
        with self._beating, contextlib.suppress(OSError):
            if not self._ended.is_set():
                os.utime(self.folder / f"{self.holder.token}{CLAIM}")

    def check(self) -> None:
        """Make sure that this process still has the run.

        Raises:
            LeaseLostError: another process has it, or is about to.
            StorageError: the lease cannot be read.
        """
        token = self.holder.token
        path = self.folder / f"{self.run}{LEASE}"
        with storage_errors(path):
            # In this order: while the lease is this one, no other process has taken it over.
            after, found = read(self.folder / f"{token}{END}"), read(path)
        if found is None:
            raise LeaseLostError(self.run, f"its lease, {path}, is gone (removed by hand?).")
        by = found if found.token != token else after
        if by is not None:
            raise LeaseLostError(
                self.run,
                f"{by.holder} has taken it over, for this process gave no sign of life for "
                f"{self.holder.seconds:g} s (stopped, or cut off from the storage?).",
            )

    def release(self) -> None:
        """Give the run back; nothing happens in a process forked from the one that holds it.

        Only the claim's own file is touched: what another process took over stays as it is.
        """
        if os.getpid() != self._process:
            return
        with self._beating:
            self._ended.set()
            withdraw(self.folder, self.holder.token)
        if self._thread is not None:
            self._thread.join()  # it waits for this, or for the lock above


class Leases:
    """The leases of a folder.

    Args:
        folder: where they are.
        seconds: after which those of this process expire; None: as of `lease_seconds`.
        here: this process; None: as it is.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seconds: float | None = None,
        here: Process | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self._seconds, self._here, self._clock = seconds, here, clock
        self._watched: dict[str, _Watch] = {}

    def holder(self, run: str) -> Holder | None:
        """Return who has a run, None: nobody; asking makes no file.

        A holder that is gone is nobody. One on another machine is known to be gone when this object
        was asked before, and the heartbeat has not changed for the time of the lease.

        Raises:
            StorageError: the lease cannot be read.
        """
        with storage_errors(self.folder / f"{run}{LEASE}"):
            chain = self._chain(run)
            return self._present(run, chain[-1]) if chain else None

    def tokens(self, run: str) -> set[str]:
        """Return the claims that decide who has a run.

        Raises:
            StorageError: they cannot be read.
        """
        with storage_errors(self.folder / f"{run}{LEASE}"):
            return {claim.token for claim in self._chain(run)}

    @contextmanager
    def hold(
        self, run: str, waiting: Callable[[RunHeldError], None] | None = None
    ) -> Iterator[Lease]:
        """Have a run inside the block; wait while another process has it.

        Args:
            run: its id.
            waiting: called once, before it waits, with the error that names the holder.

        Raises:
            StorageError: the folder cannot be written, or has no hard links.
        """
        held, told, pause = None, False, POLL_S
        try:
            while held is None:
                with storage_errors(self.folder):
                    found = self.claim(run)
                if isinstance(found, Lease):
                    held = found
                    continue
                if found is not None and not told and waiting is not None:
                    waiting(RunHeldError(run, found))
                    told = True
                time.sleep(pause)
                pause = min(pause * 1.5, LONGEST_POLL_S)
            held.start()
            yield held
        finally:
            if held is not None:
                held.release()

    def claim(self, run: str) -> Lease | Holder | None:
        """Take the lease of a run, or return who has it; None: another process was quicker.

        Heartbeats are the caller's (`Lease.start`).

        Raises:
            OSError: the folder cannot be written.
            StorageError: its file system has no hard links.
        """
        chain = self._chain(run)
        present = self._present(run, chain[-1]) if chain else None
        if present is not None:
            return present
        claim = write(self.folder, self._here or Process.here(), self._expiry())
        taken = False
        try:
            taken = self._take(run, claim.token, chain)
        finally:
            if not taken:
                withdraw(self.folder, claim.token)
        return Lease(run, self.folder, claim) if taken else None

    def _take(self, run: str, token: str, chain: Sequence[Seen]) -> bool:
        """Make a claim the lease of a run, whose claims so far have ended."""
        lease = self.folder / f"{run}{LEASE}"
        if not chain:
            return link(self.folder, token, lease)
        over = {claim.token for claim in chain}
        end = self.folder / f"{chain[-1].token}{END}"
        if not (
            link(self.folder, token, self.folder / f"{token}{NEXT}")
            and link(self.folder, token, end)
        ):
            return False
        for claim in chain[1:]:
            (self.folder / f"{claim.token}{NEXT}").unlink(missing_ok=True)
        # After a link of ours in the folder: a client of NFS then looks the name up anew.
        found = read(lease)
        if found is None or found.token not in over:
            end.unlink(missing_ok=True)  # taken over long ago, and its `.end` removed
            return False
        with contextlib.suppress(FileNotFoundError):  # another process ended this claim meanwhile
            (self.folder / f"{token}{NEXT}").rename(lease)
        found = read(lease)
        if found is None or found.token != token:
            return False
        for name in (f"{old}{kind}" for old in over for kind in (END, CLAIM, NEXT)):
            (self.folder / name).unlink(missing_ok=True)
        return True

    def _chain(self, run: str) -> list[Seen]:
        """Return the claim that is the lease, the one that ended it, and so on."""
        found: list[Seen] = []
        seen = read(self.folder / f"{run}{LEASE}")
        while seen is not None and seen.token not in {claim.token for claim in found}:
            found.append(seen)
            seen = read(self.folder / f"{seen.token}{END}")
        return found

    def _present(self, run: str, last: Seen) -> Holder | None:
        """Return the holder of the last claim on a run, unless it is over."""
        if last.beat == 0:
            return None
        lives = last.holder.process.lives(self._here or Process.here())
        if lives is not None:
            return last.holder if lives else None
        moment, watch = self._clock(), self._watched.get(run)
        if watch is None or watch.seen.token != last.token:
            watch = self._watched[run] = _Watch(last, moment)
        elif watch.seen != last:
            watch = self._watched[run] = _Watch(last, moment, moved=True)
        seconds = max(last.holder.seconds, self._expiry())
        if moment - watch.since >= seconds:
            return None
        silent = not watch.moved and abs(time.time() - last.beat / 1e9) > seconds
        return replace(last.holder, silent=silent)

    def _expiry(self) -> float:
        return lease_seconds() if self._seconds is None else self._seconds
