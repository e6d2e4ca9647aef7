"""Random survivors: ``random``, ``random-seg`` and ``train-mix``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.protocols.dropout.families.patterns import needs_several
from harness.protocols.dropout.hashing import HashKey
from harness.protocols.dropout.protocol import RATE, Drawn, DropoutProtocol, Family, register
from harness.protocols.dropout.request import BoolArray, MaskRequest, Traits, canonical_order


def anchored(
    available: BoolArray,
    u_anchor: NDArray[np.float64],
    u_keep: NDArray[np.float64],
    eta: float | NDArray[np.float64],
) -> BoolArray:
    """Drop modalities at rate ``eta`` such that one always survives (``random-ETA``).

    Of k available modalities in canonical order, number floor(u_anchor*k) stays; every other stays
    iff its u_keep < q = max(0, 1 - eta*k/(k - 1)), hence P(keep) = 1 - eta up to the largest
    reachable rate (k - 1)/k. The draws do not depend on eta, so masks are nested in it.

    Args:
        available: bool [R, M], columns in canonical order.
        u_anchor: float64 [R].
        u_keep: float64 [R, M].
        eta: missing rate, one or per row [R].
    """
    k = available.sum(axis=1)
    others = np.maximum(k - 1, 1)
    q = np.where(k > 1, np.maximum(0.0, 1.0 - np.asarray(eta) * k / others), 1.0)
    rank = np.cumsum(available, axis=1) - 1
    is_anchor = rank == np.floor(u_anchor * k)[:, None]
    kept: BoolArray = available & (is_anchor | (u_keep < q[:, None]))
    return kept


def random_keep(request: MaskRequest, key: HashKey, eta: float | NDArray[np.float64]) -> BoolArray:
    """Draw `anchored` once per sample, bool [N, M]. ``eta`` may differ between samples [N]."""
    order = canonical_order(request.modalities)
    u_keep = [key.uniforms(request.ids, f"keep:{request.modalities[j]}") for j in order]
    kept = np.empty_like(request.natural)
    kept[:, order] = anchored(
        request.natural[:, order],
        key.uniforms(request.ids, "anchor"),
        np.stack(u_keep, axis=1),
        eta,
    )
    return kept


def _random(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    return Drawn(random_keep(request, key, protocol.level))


def _random_seg(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    """Draw `anchored` once per unit."""
    names = request.unit_names()
    counts = [len(u) for u in names]
    ids = [i for i, n in zip(request.ids, counts, strict=True) for _ in range(n)]
    flat = [u for own in names for u in own]
    order = canonical_order(request.modalities)
    available = np.concatenate(
        [np.zeros((0, len(order)), np.bool_), *request.availability_of_units(names)]
    )
    u_keep = [
        key.uniforms(ids, (f"seg:{u}:keep:{request.modalities[j]}" for u in flat)) for j in order
    ]
    kept = np.empty_like(available)
    kept[:, order] = anchored(
        available[:, order],
        key.uniforms(ids, (f"seg:{u}:anchor" for u in flat)),
        np.stack(u_keep, axis=1),
        protocol.level,
    )
    return Drawn.by_unit(request, np.split(kept, np.cumsum(counts)[:-1]) if counts else [])


def _train_mix(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    """Keep a sample whole with probability 0.5, else draw `random_keep`.

    The rate is uniform in [0, (M - 1)/M): up to 2/3 with three modalities.
    """
    modalities = len(request.modalities)
    reach = (modalities - 1) / modalities
    eta = key.uniforms(request.ids, "eta") * reach
    eta[key.uniforms(request.ids, "mix") < 0.5] = 0.0
    return Drawn(random_keep(request, key, eta))


def _needs_units(protocol: DropoutProtocol, traits: Traits) -> str:
    return "" if traits.units else "its samples have no segments (use the 'random' family)"


register(
    "random",
    Family(
        _random, needs_several, RATE, doc="modalities missing at that rate; one always survives"
    ),
)
register(
    "random-seg",
    Family(_random_seg, _needs_units, RATE, doc="as random, drawn for each segment or utterance"),
)
register(
    "train-mix",
    Family(
        _train_mix,
        use="training",
        doc="half of the samples whole, the others as random at a rate of their own",
    ),
)
