"""Dropout inside a modality: positions (``frames``) and contiguous blocks (``burst``)."""

from __future__ import annotations

from collections.abc import Mapping
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
    streams = {m: "frame:*" if sync else f"frame:{m}" for m in request.modalities}
    return drop_positions(request, key, streams, np.float64(protocol.level))


def drop_positions(
    request: MaskRequest,
    key: HashKey,
    streams: Mapping[str, str],
    rate: np.float64 | NDArray[np.float64],
) -> Drawn:
    """Drop valid positions one by one; the one with the largest draw stays where all would go.

    Args:
        request: the split.
        key: of the hash.
        streams: stream of each modality.
        rate: probability of dropping, one or per sample and modality [N, M].
    """
    rates = np.broadcast_to(rate, request.natural.shape)
    result: dict[str, list[BoolArray]] = {}
    for column, modality in enumerate(request.modalities):
        lengths = request.lengths[:, column]
        u = ragged_uniforms(key.hashes(request.ids, streams[modality]), lengths)
        rows = _split(u >= np.repeat(rates[:, column], lengths), lengths)
        draws = _split(u, lengths)
        for kept, drawn in zip(rows, draws, strict=True):
            if kept.size and not kept.any():
                kept[np.argmax(drawn)] = True
        result[modality] = rows
    return Drawn(request.natural.copy(), frames=result)


def _train_frames(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    """Drop every position with probability 1/2 (a uniform rate of its own is the same law)."""
    return drop_positions(request, key, _streams(request), np.float64(0.5))


def _train_frame_rates(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    """Drop positions at a rate per sample and modality: 0 for half of them, else uniform."""
    rates = [
        np.where(
            key.uniforms(request.ids, f"whole:{m}") < 0.5,
            0.0,
            key.uniforms(request.ids, f"rate:{m}"),
        )
        for m in request.modalities
    ]
    return drop_positions(request, key, _streams(request), np.stack(rates, axis=1))


def _streams(request: MaskRequest) -> dict[str, str]:
    return {m: f"frame:{m}" for m in request.modalities}


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


register("frames", Family(_frames, pattern=RATE, doc="positions missing at that rate"))
register(
    "frames-sync",
    Family(_frames, _needs_aligned, RATE, doc="as frames, the same positions in every modality"),
)
register(
    "burst",
    Family(_burst, pattern=RATE, doc="one block of that share of the positions of each modality"),
)
register(
    "burst-sync",
    Family(
        _burst, _needs_aligned, RATE, stream="burst", doc="as burst, one block for all modalities"
    ),
)
register(
    "train-frames",
    Family(_train_frames, use="training", doc="every position goes with probability 1/2"),
)
register(
    "train-frame-rates",
    Family(
        _train_frame_rates,
        use="training",
        doc="positions at a rate of each sample and modality; half are whole",
    ),
)
