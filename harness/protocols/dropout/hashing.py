"""Hash scheme v1: every mask is a pure function of names, never of an order or a library's RNG.

A message of UTF-8 fields joined by 0x1F is hashed with BLAKE2b-64; positions inside a sample are
reached by the SplitMix64 finaliser, vectorised over numpy uint64 arrays. The scheme and its
golden vectors are fixed: a change means a new protocol version.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataFormatError

SEPARATOR = "\x1f"
_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def clean_field(text: str) -> str:
    """Return a message field in Unicode form NFC.

    Raises:
        DataFormatError: the text holds the separator 0x1F, which would make messages ambiguous.
    """
    if SEPARATOR in text:
        raise DataFormatError(
            f"the name {text!r} holds the control character 0x1F, which the mask hash uses as its "
            "separator; rename the sample, split or modality"
        )
    return unicodedata.normalize("NFC", text)


@dataclass(frozen=True)
class HashKey:
    """The fields of the hash that all draws of one protocol on one split share.

    ``prefix`` stands before every stream name (``epoch:3:`` while training).
    """

    family: str
    version: int
    seed: int
    split: str
    prefix: str = ""

    def hashes(self, ids: Sequence[str], streams: str | Iterable[str]) -> NDArray[np.uint64]:
        """Return the hash of each sample id, uint64 [len(ids)].

        ``streams`` is one stream name for all ids, or one for each.
        """
        fields = ("dropout", self.family, str(self.version), str(self.seed), self.split)
        head = SEPARATOR.join(clean_field(f) for f in fields) + SEPARATOR
        start = head.encode()
        names = repeat(streams, len(ids)) if isinstance(streams, str) else streams
        digests = [
            blake2b(
                start + f"{clean_field(i)}{SEPARATOR}{clean_field(self.prefix + s)}".encode(),
                digest_size=8,
            ).digest()
            for i, s in zip(ids, names, strict=True)
        ]
        return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)

    def uniforms(self, ids: Sequence[str], streams: str | Iterable[str]) -> NDArray[np.float64]:
        """Return one uniform number in [0, 1) for each sample id, float64 [len(ids)]."""
        return to_uniform(self.hashes(ids, streams))


def to_uniform(hashes: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Map 64-bit hashes to [0, 1) by their upper 53 bits, elementwise."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniforms_at(hashes: NDArray[np.uint64], positions: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the uniform number of each position of a hash; both arguments broadcast.

    Position ``l`` is SplitMix64's finaliser of ``h + (l + 1) * 0x9E3779B97F4A7C15`` mod 2**64.
    """
    z = hashes + (positions.astype(np.uint64) + np.uint64(1)) * _GOLDEN_GAMMA
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return to_uniform(z ^ (z >> np.uint64(31)))


def ragged_uniforms(
    hashes: NDArray[np.uint64], lengths: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return the uniforms of positions 0..length-1 of each row, end to end, float64 [sum]."""
    starts = np.cumsum(lengths) - lengths
    positions = np.arange(int(lengths.sum()), dtype=np.int64) - np.repeat(starts, lengths)
    return uniforms_at(np.repeat(hashes, lengths), positions)
