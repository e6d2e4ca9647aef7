"""Named seeds: each use of randomness has its own stream, derived from the run's seed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def isolated_rng() -> Iterator[None]:
    """Leave the caller's global random states (torch, CUDA, numpy, random) as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = range(torch.cuda.device_count())
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def seed_globals(seed: int, purpose: str) -> None:
    """Seed the global streams (dropout layers and libraries draw from them) for a purpose.

    Done anew at each epoch: a run resumed at an epoch's start then draws the same numbers as one
    that was never interrupted, without storing any generator's state.
    """
    value = derive_seed(seed, purpose)
    torch.manual_seed(value)
    random.seed(value)
    np.random.seed(value % 2**32)  # noqa: NPY002
