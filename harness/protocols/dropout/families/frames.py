"""Dropout inside a modality: positions (``frames``) and contiguous blocks (``burst``)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.protocols.dropout.hashing import HashKey, ragged_uniforms
from harness.protocols.dropout.protocol import (
    BELOW_ONE,
    OPEN,
    RATE,
    Drawn,
    DropoutProtocol,
    Family,
    Frames,
    register,
)
from harness.protocols.dropout.request import MaskRequest, Traits

Scalar = TypeVar("Scalar", bound=np.generic)


def drop_frames(request: MaskRequest, key: HashKey, eta: float, *, sync: bool) -> Frames:
    """Drop every valid position independently with probability ``eta`` (``frames-ETA``).

    With ``sync`` one draw per position is shared by all modalities. Where every position of a
    modality would go, the one with the largest draw stays, which keeps the masks nested in eta.
    """
    if sync:
        _check_equal_lengths(request, "frames-sync")
    result: Frames = {}
    for column, modality in enumerate(request.modalities):
        lengths = request.lengths[:, column]
        hashes = key.hashes(request.ids, "frame:*" if sync else f"frame:{modality}")
        u = ragged_uniforms(hashes, lengths)
        rows = _split(u >= eta, lengths)
        draws = _split(u, lengths)
        for kept, drawn in zip(rows, draws, strict=True):
            if kept.size and not kept.any():
                kept[np.argmax(drawn)] = True
        result[modality] = rows
    return result


def drop_burst(request: MaskRequest, key: HashKey, eta: float, *, sync: bool) -> Frames:
    """Drop one contiguous block of valid positions per modality (``burst-ETA``).

    The block has b = min(floor(eta*L + 0.5), L - 1) of L positions and starts at
    floor(u*(L - b + 1)). With ``sync`` it is the same block in all modalities.
    """
    if sync:
        _check_equal_lengths(request, "burst-sync")
    result: Frames = {}
    for column, modality in enumerate(request.modalities):
        lengths = request.lengths[:, column]
        u = key.uniforms(request.ids, "burst:start" if sync else f"burst:{modality}:start")
        block = np.minimum(np.floor(eta * lengths + 0.5).astype(np.int64), lengths - 1)
        block = np.maximum(block, 0)
        start = np.floor(u * (lengths - block + 1)).astype(np.int64)
        position = np.concatenate([np.arange(n) for n in lengths] or [np.zeros(0, np.int64)])
        first, last = np.repeat(start, lengths), np.repeat(start + block, lengths)
        result[modality] = _split((position < first) | (position >= last), lengths)
    return result


def _split(flat: NDArray[Scalar], lengths: NDArray[np.int64]) -> list[NDArray[Scalar]]:
    return np.split(flat, np.cumsum(lengths)[:-1]) if len(lengths) else []


def _check_equal_lengths(request: MaskRequest, family: str) -> None:
    most = np.where(request.natural, request.lengths, -1).max(axis=1, initial=-1)
    uneven = (request.natural & (request.lengths != most[:, None])).any(axis=1)
    if uneven.any():
        i = int(np.argmax(uneven))
        found = ", ".join(
            f"{m} {n}" for m, n in zip(request.modalities, request.lengths[i], strict=True)
        )
        raise UsageError(
            f"{family} drops the same positions in every modality, but sample "
            f"{request.ids[i]!r} has different numbers of valid positions ({found}); use the mask "
            f"option 'ones' or the protocol {family.removesuffix('-sync')!r}"
        )


def _needs_aligned(family: str, argument: str, t: Traits) -> str:
    """Require that a position is the same moment in every modality."""
    return (
        ""
        if t.aligned
        else f"it is not aligned (use {family.replace('-sync', '') + '-' + argument!r})"
    )


def _frames(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    sync = p.family.endswith("sync")
    return Drawn(r.natural.copy(), frames=drop_frames(r, key, p.level, sync=sync))


def _burst(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    sync = p.family.endswith("sync")
    return Drawn(r.natural.copy(), frames=drop_burst(r, key, p.level, sync=sync))


register("frames", Family(_frames, pattern=RATE, number=True, low=OPEN, high=BELOW_ONE))
register("frames-sync", Family(_frames, _needs_aligned, RATE, True, OPEN, BELOW_ONE))
register("burst", Family(_burst, pattern=RATE, number=True, low=OPEN, high=BELOW_ONE))
register("burst-sync", Family(_burst, _needs_aligned, RATE, True, OPEN, BELOW_ONE, stream="burst"))
