"""Work in processes of its own, so that no end of it, however abrupt, ends the caller.

A child says what it has to say over a pipe and sends its result as its last message. A child that
ends without one (``os._exit``, an abort, a kill by the kernel) is reported as `Ended` with its exit
code. Only pipes are used: no shared memory, no semaphores that a killed process could leave.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Literal, Protocol

Method = Literal["fork", "forkserver", "spawn"]
Say = Callable[[str], None]

# How long interrupted children may take to end by themselves.
GRACE = 3.0
# Python's own thresholds of garbage collection, which the command line raises.
COLLECTING = (700, 10, 10)
# Imported once by the fork server, for all of its children.
PRELOAD = ("torch", "harness.engine.run")


class Work(Protocol):
    """What a child does; with the methods ``forkserver`` and ``spawn`` it must be picklable."""

    def __call__(self, say: Say) -> Any:
        """Return the result, which must be picklable; ``say`` passes a line to the caller."""


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        place: the place of its work in the sequence.
        result: what it returned; None where it ended without a result.
        finished: whether it returned.
        exit_code: the exit code of a child that did not: negative, a signal's number.
        error: what a child raised, as text; empty: it raised nothing.
    """

    place: int
    result: Any = None
    finished: bool = True
    exit_code: int | None = None
    error: str = ""

    @property
    def killed(self) -> bool:
        """Return whether it was ended from outside: by the kernel, a user or a scheduler."""
        return self.exit_code in (-signal.SIGKILL, -signal.SIGTERM)

    @property
    def reason(self) -> str:
        """Return how a child without a result ended, as a clause."""
        if self.error:
            return self.error
        code = self.exit_code or 0
        if code == -signal.SIGKILL:
            return "its process was killed by signal 9 (by the kernel, for lack of memory?)"
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            return f"its process was ended by signal {-code} ({name})"
        return f"its process ended by itself with exit code {code} (os._exit?)"


@dataclass
class _Child:
    place: int
    process: Any
    pipe: Connection
    say: Say
    result: Any = None
    finished: bool = False
    error: str = ""
    open: bool = True


def run_children(
    works: Sequence[Work],
    workers: int,
    say: Say,
    method: Method = "fork",
    *,
    say_of: Callable[[int], Say] | None = None,
    started: Callable[[int], None] | None = None,
    turn: Callable[[], int | None] | None = None,
) -> Generator[Ended, None, None]:
    """Do every piece of work in a process of its own, several at a time; yield as they end.

    Args:
        works: what to do.
        workers: how many children at a time.
        say: told what the children say, in the caller's thread.
        method: how children are started; ``fork`` takes any callable, but the caller must have no
            threads and no CUDA context.
        say_of: returns what is told of the child of a place, instead of ``say``.
        started: called with the place of a child that has been started.
        turn: returns the place of the work to start now, instead of one after the other with
            ``workers`` at a time; None: none for now. It may give a place again. When it gives
            none and no child is left, all is done.

    Raises:
        KeyboardInterrupt: the caller or a child was interrupted; the children are told and have
            ended, within `GRACE` seconds and a little.
    """
    context: Any = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(list(PRELOAD))
    waiting = [*range(len(works))][::-1]
    children: list[_Child] = []

    def in_order() -> int | None:
        return waiting.pop() if waiting and len(children) < workers else None

    turn = turn or in_order
    try:
        while True:
            while (place := turn()) is not None:
                tell = say if say_of is None else say_of(place)
                children.append(_start(context, place, works[place], tell))
                if started is not None:
                    started(place)
            if not children:
                break
            ended = _listen(children)
            children = [child for child in children if child not in ended]
            for child in ended:
                yield _ended(child)
    finally:
        _stop(children)


def _start(context: Any, place: int, work: Work, say: Say) -> _Child:
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(work, sending, os.getpid()), daemon=False)
    with warnings.catch_warnings():  # the threads of NumPy's BLAS, which knows of forks
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    sending.close()
    return _Child(place, process, receiving, say)


def _listen(children: Sequence[_Child]) -> list[_Child]:
    """Wait for messages; return the children that have ended and sent all they had."""
    handles = [child.process.sentinel for child in children]
    handles += [child.pipe for child in children if child.open]
    wait(handles, timeout=0.5)
    for child in children:
        # What a child has started may hold its end of the pipes after it is gone.
        dead = not child.process.is_alive()
        while child.open and child.pipe.poll():
            _take(child)
        child.open = child.open and not dead
    return [child for child in children if not child.open and not child.process.is_alive()]


def _take(child: _Child) -> None:
    try:
        kind, value = child.pipe.recv()
    # A child that is killed while it writes leaves half a message.
    except (EOFError, OSError, pickle.UnpicklingError):
        child.open = False
        return
    if kind == "say":
        child.say(value)
    elif kind == "interrupt":
        raise KeyboardInterrupt
    elif kind == "end":
        child.result, child.finished = value, True
    else:
        child.error = value


def _ended(child: _Child) -> Ended:
    child.process.join()
    child.pipe.close()
    code = None if child.finished else child.process.exitcode
    child.process.close()
    return Ended(child.place, child.result, child.finished, code, child.error)


def _stop(children: Sequence[_Child]) -> None:
    """End children that are still at work: ask, wait a little, then insist."""
    for child in children:
        _signal(child, signal.SIGINT)
    until = time.monotonic() + GRACE
    for child in children:
        child.process.join(max(until - time.monotonic(), 0.0))
        _signal(child, signal.SIGKILL)
        child.process.join()
        child.pipe.close()


def _signal(child: _Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, ValueError):
        if child.process.is_alive():
            os.kill(child.process.pid, number)


def _child(work: Work, pipe: Connection, parent: int) -> None:
    """The child's whole life."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # What was imported before the fork is not garbage, and stays in the pages that are shared.
    gc.freeze()
    gc.set_threshold(*COLLECTING)
    watch = threading.Thread(target=_end_with, args=(parent, os.getppid()), daemon=True)
    watch.start()

    def say(text: str) -> None:
        pipe.send(("say", text))

    try:
        pipe.send(("end", work(say)))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller passes on its own
        pipe.send(("interrupt", None))
        raise SystemExit(130) from None
    except BaseException as error:
        pipe.send(("error", f"{type(error).__name__}: {error}"))
        raise SystemExit(1) from None
    finally:
        pipe.close()


def _end_with(caller: int, parent: int) -> None:
    """End this process when the one that asked for it, or its parent, is gone, killed or not.

    They are one, but for a fork server, which ends with the caller.
    """
    while os.getppid() == parent and alive(caller):
        time.sleep(0.5)
    os._exit(1)


def alive(process: int) -> bool:
    """Return whether a process is there, ours or another user's."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
