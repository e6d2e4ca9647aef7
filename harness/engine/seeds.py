"""Named seeds: each use of randomness has its own stream, derived from the run's seed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

import numpy as np
import torch

_BITS = 63


def derive_seed(seed: int, purpose: str) -> int:
    """Return the seed of a purpose (``init``, ``order:3``, ``epoch:3``), in [0, 2^63).

    A hash, so that streams of one run are unrelated and 0 is a seed like any other.
    """
    message = f"harness\x1fseed\x1f{seed}\x1f{purpose}".encode()
    digest = hashlib.blake2b(message, digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - _BITS)


def generator(seed: int, purpose: str) -> torch.Generator:
    """Return a CPU generator seeded for a purpose."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose))


class Restored:
    """Context manager that calls ``change`` on entry, and on exit the undo that it returned.

    Not a generator: Python closes one that is left suspended when the interpreter exits (a run in
    a generator of the user's, Ctrl-C at entry), after the modules that it needs are gone.
    """

    def __init__(self, change: Callable[[], Callable[[], None]]) -> None:
        self._change = change

    def __enter__(self) -> None:
        self._undo = self._change()

    def __exit__(self, *_: object) -> None:
        self._undo()


def isolated_rng() -> Restored:
    """Leave the caller's global random states (torch, CUDA, numpy, random) as they were."""
    return Restored(_remember_states)


def _remember_states() -> Callable[[], None]:
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    cpu, cuda = torch.get_rng_state(), torch.cuda.get_rng_state_all()

    def undo() -> None:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        torch.cuda.set_rng_state_all(cuda)

    return undo


def seed_globals(seed: int, purpose: str) -> None:
    """Seed the global streams (dropout layers and libraries draw from them) for a purpose.

    Done anew at each epoch: a run resumed at an epoch's start then draws the same numbers as one
    that was never interrupted, without storing any generator's state.
    """
    value = derive_seed(seed, purpose)
    torch.manual_seed(value)
    random.seed(value)
    np.random.seed(value % 2**32)  # noqa: NPY002
