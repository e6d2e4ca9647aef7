"""Patterns of modalities: ``exclusive``, ``patterns``, ``tiers``, and those of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.protocols.dropout.hashing import HashKey
from harness.protocols.dropout.protocol import RATE, Drawn, DropoutProtocol, Family, register
from harness.protocols.dropout.request import BoolArray, MaskRequest, Traits, canonical_order

TIERS = {
    0.1: (0.1, 0.2),
    0.2: (0.2, 0.4),
    0.3: (0.3, 0.6),
    0.4: (0.5, 0.7),
    0.5: (0.7, 0.8),
    0.6: (0.9, 0.9),
    0.7: (1.0, 1.0),
}
"""Missing rate -> probability of one survivor, and of at most two (IMDer's law)."""


def by_modality(
    request: MaskRequest, decide: Callable[[BoolArray, Sequence[str]], BoolArray]
) -> Drawn:
    """Return what a rule keeps that is written for columns in canonical order.

    Args:
        request: the split.
        decide: returns what is kept, bool [N, M], of what is available, bool [N, M], and of the M
            modality keys, both in canonical order. Samples with one modality or none stay whole.
    """
    order = canonical_order(request.modalities)
    available = request.natural[:, order]
    kept = np.empty_like(request.natural)
    kept[:, order] = available & (
        decide(available, [request.modalities[j] for j in order])
        | (available.sum(axis=1) <= 1)[:, None]
    )
    return Drawn(kept)


def patterned(available: BoolArray, u: NDArray[np.float64]) -> BoolArray:
    """Return one incomplete pattern a sample, all alike in probability.

    Of k available modalities number j is kept iff bit j of b = 1 + floor(u*(2^k - 2)) is set.

    Args:
        available: bool [N, M], columns in canonical order.
        u: float64 [N].
    """
    k = available.sum(axis=1)
    pattern = 1 + np.floor(u * (2.0**k - 2.0)).astype(np.int64)
    place = np.maximum(np.cumsum(available, axis=1) - 1, 0)
    kept: BoolArray = (pattern[:, None] >> place & 1) == 1
    return kept


def _exclusive(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    """Leave incomplete samples one modality: number floor(u*k) of the k available."""
    incomplete = key.uniforms(request.ids, "incomplete") < protocol.level
    u = key.uniforms(request.ids, "survivor")

    def decide(available: BoolArray, keys: Sequence[str]) -> BoolArray:
        survivor = np.floor(u * available.sum(axis=1))
        kept: BoolArray = (np.cumsum(available, axis=1) - 1 == survivor[:, None]) | ~incomplete[
            :, None
        ]
        return kept

    return by_modality(request, decide)


def _patterns(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    incomplete = key.uniforms(request.ids, "incomplete") < protocol.level
    u = key.uniforms(request.ids, "pattern")
    return by_modality(request, lambda there, _: patterned(there, u) | ~incomplete[:, None])


def _train_patterns(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    """Draw an incomplete pattern for every sample and epoch; complete ones never."""
    u = key.uniforms(request.ids, "pattern")
    return by_modality(request, lambda there, _: patterned(there, u))


def _tiers(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    """Leave one, two or three modalities; those with the smallest draws go first."""
    one, two = TIERS[protocol.level]
    u = key.uniforms(request.ids, "tier")
    survivors = np.where(u < one, 1, np.where(u < two, 2, 3))

    def decide(available: BoolArray, keys: Sequence[str]) -> BoolArray:
        drawn = np.stack([key.uniforms(request.ids, f"order:{m}") for m in keys], axis=1)
        # Of equal draws the first in canonical order is kept.
        best = np.argsort(np.where(available, -drawn, np.inf), axis=1, kind="stable")
        kept = np.zeros_like(available)
        np.put_along_axis(kept, best, np.arange(len(keys)) < survivors[:, None], axis=1)
        return kept

    return by_modality(request, decide)


def needs_several(protocol: DropoutProtocol, traits: Traits) -> str:
    """Return why data of one modality cannot have the protocol."""
    return "" if len(traits.keys) > 1 else "its only modality always survives (use 'full')"


def _needs_three(protocol: DropoutProtocol, traits: Traits) -> str:
    count = len(traits.keys)
    return "" if count == 3 else f"it has {count} modalities, and tiers are of three (use 'random')"


register(
    "exclusive",
    Family(
        _exclusive, needs_several, RATE, high=1.0, doc="that share of samples keeps one modality"
    ),
)
register(
    "patterns",
    Family(
        _patterns,
        needs_several,
        RATE,
        high=1.0,
        doc="that share of samples has one of the incomplete patterns, all alike",
    ),
)
register(
    "tiers",
    Family(
        _tiers,
        _needs_three,
        RATE,
        choices=tuple(TIERS),
        doc="one, two or three modalities left, as IMDer's rates say",
    ),
)
register(
    "train-patterns",
    Family(
        _train_patterns,
        needs_several,
        use="training",
        doc="an incomplete pattern for every sample and epoch",
    ),
)
register(
    "train-paired",
    Family(
        _train_patterns,
        needs_several,
        stream="train-patterns",
        use="training",
        doc="masks of train-patterns, the complete batch beside them for a model that asks for it",
    ),
)
