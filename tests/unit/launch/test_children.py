"""However a child ends, the caller is told, and goes on with the others."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.children import Ended, Method, Say, run_children


def answer(say: Say, number: int = 1) -> int:
    say(f"work {number}")
    return number * number


def leave(say: Say) -> None:
    os._exit(0)


def die(say: Say) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(say: Say) -> None:
    raise SystemExit("no")


def outcomes(
    works: list[Any], workers: int = 2, method: Method = "fork"
) -> tuple[list[Ended], list[str]]:
    said: list[str] = []
    ended = list(run_children(works, workers, said.append, method))
    return sorted(ended, key=lambda e: e.place), said


def test_results_and_lines_arrive() -> None:
    ended, said = outcomes([functools.partial(answer, number=n) for n in range(5)])
    assert [e.result for e in ended] == [0, 1, 4, 9, 16]
    assert sorted(said) == [f"work {n}" for n in range(5)]


@pytest.mark.parametrize(
    ("work", "reason"),
    [(leave, "exit code 0"), (die, "signal 9"), (fail, "SystemExit: no")],
)
def test_an_abrupt_end_is_told_and_the_others_go_on(work: object, reason: str) -> None:
    ended, _ = outcomes([work, answer])
    assert not ended[0].finished and reason in ended[0].reason
    assert ended[1].finished and ended[1].result == 1


@pytest.mark.full
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_other_ways_to_start(method: Method) -> None:
    ended, _ = outcomes([answer, die], method=method)
    assert ended[0].result == 1 and "signal 9" in ended[1].reason


SLEEPER = """
import signal, sys, time
from harness.children import run_children

# A shell that starts a job in the background has it ignore interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

def sleep(say):
    say("asleep")
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        if sys.argv[1] == "stubborn":
            time.sleep(60)
        raise

list(run_children([sleep, sleep], 2, lambda line: print(line, flush=True)))
"""


@pytest.mark.parametrize("kind", ["obedient", "stubborn"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_children_end_with_their_parent(kind: str, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPER, kind],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        assert [parent.stdout.readline() for _ in range(2)] == ["asleep\n"] * 2
        os.kill(parent.pid, number)
        assert parent.wait(timeout=10) != 0
    until = time.monotonic() + 5
    while running(parent.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not running(parent.pid)


def running(group: int) -> list[str]:
    """Return the processes of a group that have not ended (a zombie has)."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, own = status.read_text().rpartition(")")[2].split()[:3]
            if int(own) == group and state != "Z":
                found.append(status.parent.name)
    return found
