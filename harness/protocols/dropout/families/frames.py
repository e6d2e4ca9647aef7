"""Dropout inside a modality: positions (``frames``) and contiguous blocks (``burst``)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.protocols.dropout.hashing import HashKey, ragged_uniforms
from harness.protocols.dropout.protocol import RATE, Drawn, DropoutProtocol, Family, register
from harness.protocols.dropout.request import BoolArray, MaskRequest, Traits

Scalar = TypeVar("Scalar", bound=np.generic)


def _frames(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    """Drop every valid position independently with probability ``eta`` (``frames-ETA``).

    With ``-sync`` one draw per position is shared by all modalities. Where every position of a
    modality would go, the one with the largest draw stays, which keeps the masks nested in eta.
    """
    sync = _is_sync(protocol, request)
    result: dict[str, list[BoolArray]] = {}
    for column, modality in enumerate(request.modalities):
        lengths = request.lengths[:, column]
        hashes = key.hashes(request.ids, "frame:*" if sync else f"frame:{modality}")
        u = ragged_uniforms(hashes, lengths)
        rows = _split(u >= protocol.level, lengths)
        draws = _split(u, lengths)
        for kept, drawn in zip(rows, draws, strict=True):
            if kept.size and not kept.any():
                kept[np.argmax(drawn)] = True
        result[modality] = rows
    return Drawn(request.natural.copy(), frames=result)


def _burst(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    """Drop one contiguous block of valid positions per modality (``burst-ETA``).

    The block has b = min(floor(eta*L + 0.5), L - 1) of L positions and starts at
    floor(u*(L - b + 1)). With ``-sync`` it is the same block in all modalities.
    """
    sync = _is_sync(protocol, request)
    result: dict[str, list[BoolArray]] = {}
    for column, modality in enumerate(request.modalities):
        lengths = request.lengths[:, column]
        u = key.uniforms(request.ids, "burst:start" if sync else f"burst:{modality}:start")
        block = np.minimum(np.floor(protocol.level * lengths + 0.5).astype(np.int64), lengths - 1)
        block = np.maximum(block, 0)
        start = np.floor(u * (lengths - block + 1)).astype(np.int64)
        position = np.concatenate([np.arange(n) for n in lengths] or [np.zeros(0, np.int64)])
        first, last = np.repeat(start, lengths), np.repeat(start + block, lengths)
        result[modality] = _split((position < first) | (position >= last), lengths)
    return Drawn(request.natural.copy(), frames=result)


def _split(flat: NDArray[Scalar], lengths: NDArray[np.int64]) -> list[NDArray[Scalar]]:
    return np.split(flat, np.cumsum(lengths)[:-1]) if len(lengths) else []


def _is_sync(protocol: DropoutProtocol, request: MaskRequest) -> bool:
    """Return whether modalities share their positions; refuse unequal lengths where they do."""
    family = protocol.family
    if not family.endswith("-sync"):
        return False
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
    return True


def _needs_aligned(protocol: DropoutProtocol, traits: Traits) -> str:
    instead = protocol.name.replace("-sync", "")
    return "" if traits.aligned else f"it is not aligned (use {instead!r})"


register("frames", Family(_frames, pattern=RATE))
register("frames-sync", Family(_frames, _needs_aligned, RATE))
register("burst", Family(_burst, pattern=RATE))
register("burst-sync", Family(_burst, _needs_aligned, RATE, stream="burst"))
