"""Each modality by itself: ``lose``, ``mcar`` (at random) and ``mnar`` (not at random)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.protocols.dropout.families.patterns import by_modality, needs_several
from harness.protocols.dropout.hashing import HashKey
from harness.protocols.dropout.protocol import RATE, Drawn, DropoutProtocol, Family, register
from harness.protocols.dropout.request import (
    BoolArray,
    MaskRequest,
    Ranks,
    Traits,
    canonical_order,
    rank_digest,
)

DIRECTIONS = {
    "high": ("energy", False),
    "low": ("energy", True),
    "long": ("length", False),
    "short": ("length", True),
}
"""What goes more often -> the statistic whose rank decides, and whether it is turned round."""
STREAM = "bernoulli"
"""Shared, so that ``mcar`` and ``mnar`` differ by the dependence alone."""


def _lose(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    gone = key.uniforms(request.ids, f"lose:{protocol.word}") < protocol.level

    def decide(available: BoolArray, keys: Sequence[str]) -> BoolArray:
        column = np.array([m == protocol.word for m in keys], dtype=np.bool_)
        kept: BoolArray = ~(gone[:, None] & column)
        return kept

    return by_modality(request, decide)


def _uniforms(request: MaskRequest, key: HashKey, keys: Sequence[str]) -> NDArray[np.float64]:
    return np.stack([key.uniforms(request.ids, f"drop:{m}") for m in keys], axis=1)


def last_to_go(available: BoolArray, order: NDArray[np.float64]) -> BoolArray:
    """Return where the largest of the available is, the first of equal ones, bool [N, M].

    Args:
        available: bool [N, M].
        order: float64 [N, M], of the modality that goes last the largest.
    """
    best = np.where(available, order, -np.inf).argmax(axis=1)
    last: BoolArray = np.arange(available.shape[1]) == best[:, None]
    return last


def _mcar(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    def decide(available: BoolArray, keys: Sequence[str]) -> BoolArray:
        u = _uniforms(request, key, keys)
        return (u >= protocol.level) | last_to_go(available, u)

    return by_modality(request, decide)


def _mnar(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    """Drop a modality of a sample with probability ``P r / n``, r its rank in 0..2n.

    The decision sees the sample's own features of that modality and tables of the training split,
    never a label.
    """
    statistic, turned = DIRECTIONS[protocol.word]
    ranks: Ranks = (request.ranks or {})[statistic]
    columns = canonical_order(request.modalities)
    r, n = ranks[0][:, columns], ranks[1][columns]
    r = 2 * n - r if turned else r

    def decide(available: BoolArray, keys: Sequence[str]) -> BoolArray:
        u = _uniforms(request, key, keys)
        limit = protocol.level * r / np.maximum(n, 1)
        order = np.where(r > 0, u * n / np.maximum(r, 1), np.inf)
        return (u >= limit) | last_to_go(available, order)

    drawn = by_modality(request, decide)
    return Drawn(
        drawn.keep,
        rank_digest=rank_digest(request, ranks),
        # Lengths are known of what is left, too; features that are gone are not.
        informative=statistic == "energy",
    )


def _needs_word(protocol: DropoutProtocol, traits: Traits) -> str:
    if protocol.word not in traits.keys:
        return f"it has no modality {protocol.word!r} (it has {', '.join(sorted(traits.keys))})"
    return needs_several(protocol, traits)


def _needs_ranks(protocol: DropoutProtocol, traits: Traits) -> str:
    if not traits.ranked:
        return "it has no training split to rank its features among"
    statistic, _ = DIRECTIONS[protocol.word]
    if statistic == "length" and not traits.varying:
        return "all its samples have the same number of valid positions (use 'high' or 'low')"
    return needs_several(protocol, traits)


register(
    "lose",
    Family(
        _lose,
        _needs_word,
        rf"[^@\s]+-{RATE}",
        high=1.0,
        worded=True,
        doc="that share of samples lacks the modality",
    ),
)
register(
    "mcar",
    Family(
        _mcar,
        needs_several,
        RATE,
        stream=STREAM,
        doc="each modality goes by itself with that probability; one is left",
    ),
)
register(
    "mnar",
    Family(
        _mnar,
        _needs_ranks,
        rf"(?:{'|'.join(DIRECTIONS)})-{RATE}",
        high=0.5,
        stream=STREAM,
        worded=True,
        use="scoring",
        doc="as mcar, but more often where the modality's own features are high, low, long, short",
    ),
)
