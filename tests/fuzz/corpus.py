"""Small harmless pickles and torch files, from which mutants are made."""

from __future__ import annotations

import argparse
import collections
import io
import pickle
from typing import Any

import numpy as np
import torch

KINDS = ("pickle", "torch-zip", "torch-legacy")


def values() -> list[Any]:
    """Return values of every kind that data files hold."""
    grid = np.arange(12, dtype=np.float32).reshape(3, 4)
    return [
        {"train": {"text": grid, "id": [["v1", "0", "1"]], "labels": grid.astype(np.float64)}},
        [np.arange(5), np.asfortranarray(grid), np.array(["ab", "c"]), np.array([b"x", b"yz"])],
        [np.array([[1], [2, 3]], dtype=object), np.float64(2.5), np.int64(3), np.bool_(True)],
        {"a": {1, 2}, "b": frozenset("xy"), "c": collections.OrderedDict(x=1, y=[2, 3])},
        [collections.defaultdict(list, k=[1]), collections.Counter("abca")],
        [collections.deque([1, 2], maxlen=4), (1, (2, (3, ()))), bytearray(b"abc"), b"\x00\xff"],
        [np.datetime64("2020-01-02"), np.arange(3).astype("timedelta64[s]"), 1 + 2j, 2**70, -5],
        argparse.Namespace(length=60, name="café", deep={"a": [1.5, None, True]}),
        [np.zeros((0, 3)), np.zeros((2, 2), ">f4"), "x" * 300, list(range(300))],
    ]


def tensors() -> list[Any]:
    """Return values with tensors, for torch files."""
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    return [
        {"x": base, "row": base[1], "t": base.t()},
        [torch.tensor(True), torch.zeros(0, 2), torch.arange(3, dtype=torch.int16)],
        {"train": {"text": np.ones((2, 3)), "n": torch.ones(2, dtype=torch.complex64)}},
    ]


def pickles() -> list[bytes]:
    """Return every value under every protocol that can write it."""
    return [pickle.dumps(value, protocol) for value in values() for protocol in range(6)]


def torch_file(value: Any, *, legacy: bool, protocol: int = 2) -> bytes:
    """Return what ``torch.save`` writes."""
    stream = io.BytesIO()
    torch.save(
        value,
        stream,
        _use_new_zipfile_serialization=not legacy,
        pickle_protocol=protocol,
    )
    return stream.getvalue()


def seeds(kind: str) -> list[bytes]:
    """Return the files of a kind (`KINDS`)."""
    if kind == "pickle":
        return pickles()
    every = [*values(), *tensors()]
    legacy = kind == "torch-legacy"
    return [torch_file(v, legacy=legacy, protocol=p) for v in every for p in (2, 4)]
