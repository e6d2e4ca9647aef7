"""Dropout of whole modalities: fixed keep sets, random survivors, and rules about persons."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.protocols.hashing import HashKey
from harness.protocols.masks import BoolArray, MaskRequest, canonical_order

SPOKEN = ("a", "t")
"""Modalities a person lacks who does not speak."""


def keep_set(request: MaskRequest, kept: Collection[str]) -> BoolArray:
    """Keep the named modalities where they are available, bool [N, M].

    A sample that has none of them by nature is left with nothing: the protocol says who is
    missing, it does not bring anything back.
    """
    kept_columns = np.array([m in kept for m in request.modalities], dtype=np.bool_)
    left: BoolArray = request.natural & kept_columns
    return left


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


def random_unit_keep(request: MaskRequest, key: HashKey, eta: float) -> list[BoolArray]:
    """Draw `anchored` once per unit, per sample bool [U_i, M] (``random-seg-ETA``)."""
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
        eta,
    )
    return np.split(kept, np.cumsum(counts)[:-1]) if counts else []


def train_mix_keep(request: MaskRequest, key: HashKey) -> BoolArray:
    """Keep a sample whole with probability 0.5, else draw `random_keep` (``train-mix``).

    The rate is uniform in [0, (M - 1)/M): up to 2/3 with three modalities.
    """
    modalities = len(request.modalities)
    reach = (modalities - 1) / modalities
    eta = key.uniforms(request.ids, "eta") * reach
    eta[key.uniforms(request.ids, "mix") < 0.5] = 0.0
    return random_keep(request, key, eta)


def silent_samples(request: MaskRequest, key: HashKey, rho: float) -> BoolArray:
    """Leave a sample nothing but v with probability ``rho``, bool [N, M] (``nonspeaker-RHO``)."""
    silent = key.uniforms(request.ids, "silent") < rho
    kept: BoolArray = np.where(silent[:, None], keep_set(request, ("v",)), request.natural)
    return kept


def silence(request: MaskRequest, silent: Sequence[str | None]) -> list[BoolArray]:
    """Take a and t from one party's units in each sample, per sample bool [U_i, M].

    ``silent`` names that party per sample (None: nobody). Other parties are untouched.
    """
    names = request.unit_names()
    available = request.availability_of_units(names)
    spoken = np.array([m in SPOKEN for m in request.modalities])
    parties = request.parties or [[] for _ in names]
    return [
        there & ~(np.array([p == who for p in own], dtype=np.bool_)[:, None] & spoken)
        for there, own, who in zip(available, parties, silent, strict=True)
    ]


def silent_party(request: MaskRequest, key: HashKey) -> list[str | None]:
    """Choose one party per sample by hash: number floor(u*n) of its n parties in sorted order."""
    chosen: list[str | None] = []
    draws = key.uniforms(request.ids, "party")
    for own, u in zip(request.parties or [], draws, strict=True):
        present = sorted(set(own))
        chosen.append(present[int(u * len(present))] if present else None)
    return chosen
