"""Running mutants in forked children: a crash, a hang or a foreign exception is a finding."""

from __future__ import annotations

import os
import random
import resource
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from harness.data.safe import load_pickle, load_torch
from harness.errors import DataFormatError, UnsafePickleError
from tests.fuzz.corpus import seeds
from tests.fuzz.mutants import mutant

BATCH = 1000
SECONDS = 5.0
MEMORY = 2**30
# Ends of a child that are no findings: everything was data or the one refusal.
OUTCOMES = ("read", "refused", "unsafe")


@dataclass
class Result:
    """What became of a campaign's mutants, and the mutants that found a fault."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[str, str, bytes]] = field(default_factory=list)


class HangError(BaseException):
    """A mutant took longer than `SECONDS`; no handler for exceptions may take it."""


def campaign(kind: str, count: int, seed: int) -> Result:
    """Load ``count`` mutants of a kind of file in batches of `BATCH`.

    Args:
        kind: one of `tests.fuzz.corpus.KINDS`.
        count: the number of mutants.
        seed: the mutants are a function of it, the kind and the count.
    """
    rng = random.Random(f"{kind}:{seed}")
    base, result = seeds(kind), Result()
    for start in range(0, count, BATCH):
        batch = [mutant(rng, base, kind) for _ in range(min(BATCH, count - start))]
        _judge(kind, batch, result)
    return result


def _judge(kind: str, batch: Sequence[bytes], result: Result) -> None:
    """Run a batch; one that kills its child is halved until the mutant is found."""
    found = _child(kind, batch)
    if found is not None:
        for outcome, content in zip(found, batch, strict=True):
            result.counts[outcome] += 1
            if outcome not in OUTCOMES:
                result.findings.append((kind, outcome, content))
    elif len(batch) == 1:
        result.counts["crash"] += 1
        result.findings.append((kind, "crash", batch[0]))
    else:
        middle = len(batch) // 2
        _judge(kind, batch[:middle], result)
        _judge(kind, batch[middle:], result)


def _child(kind: str, batch: Sequence[bytes]) -> list[str] | None:
    """Return the outcomes of a batch, None where the child died or hung."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            text = "\n".join(_outcomes(kind, batch))
            with os.fdopen(writing, "w") as stream:
                stream.write(text)
        finally:
            os._exit(0)
    os.close(writing)
    text = _read(reading, time.monotonic() + SECONDS * 4 + 0.2 * len(batch), child)
    _, status = os.waitpid(child, 0)
    outcomes = text.split("\n") if text else []
    return outcomes if status == 0 and len(outcomes) == len(batch) else None


def _read(descriptor: int, until: float, child: int) -> str:
    import select

    parts = []
    while True:
        ready, _, _ = select.select([descriptor], [], [], max(until - time.monotonic(), 0.0))
        if not ready:
            os.kill(child, signal.SIGKILL)
            break
        part = os.read(descriptor, 2**16)
        if not part:
            break
        parts.append(part)
    os.close(descriptor)
    return b"".join(parts).decode()


def _outcomes(kind: str, batch: Sequence[bytes]) -> list[str]:
    most = _virtual_memory() + MEMORY + 4 * max(map(len, batch))
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    signal.signal(signal.SIGALRM, _hang)
    load = load_pickle if kind == "pickle" else load_torch
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant"
        outcomes = []
        for content in batch:
            path.write_bytes(content)
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            try:
                load(path)
                outcomes.append("read")
            except UnsafePickleError:
                outcomes.append("unsafe")
            except DataFormatError:
                outcomes.append("refused")
            except HangError:
                outcomes.append("hang")
            except BaseException as error:
                outcomes.append(f"{type(error).__name__}")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    return outcomes


def _hang(signum: int, frame: FrameType | None) -> None:
    raise HangError


def _virtual_memory() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
