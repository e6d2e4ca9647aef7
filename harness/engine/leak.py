"""The leak floor: what the pattern of missing modalities alone says of the labels.

Where masks follow features, which modalities are there is associated with the labels as far as the
features are. The floor is the best constant label set of each pattern, fitted on validation under
the same protocol: it should agree with the best constant of all samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Patterns = NDArray[np.bool_]
FAMILY = "mnar"


def fitted(
    kept: Patterns, labels: NDArray[np.uint8], single: bool = False
) -> dict[bytes, NDArray[np.uint8]]:
    """Return by pattern (`keys_of`) the label set with which micro-F1 is highest, uint8 [L].

    Micro-F1 of pairs of a pattern and a label is 2 * hits / (predictions + true labels). With t
    its largest value, a pair belongs to the best sets where its share of hits is above t / 2; so
    pairs are taken by their share, and the best of these nested choices is the best of all. The
    empty pattern ``b""`` stands for those that are not here: the best set of all samples.

    Args:
        kept: bool [N, M], which modalities are left.
        labels: uint8 [N, L] in {0, 1}.
        single: one label a sample: each pattern has its most frequent label.
    """
    names = keys_of(kept)
    rows = {key: np.flatnonzero([name == key for name in names]) for key in dict.fromkeys(names)}
    return {b"": _sets([labels], single)[0]} | dict(
        zip(rows, _sets([labels[own] for own in rows.values()], single), strict=True)
    )


def decided(found: dict[bytes, NDArray[np.uint8]], kept: Patterns) -> NDArray[np.float64]:
    """Return the label set of each sample's pattern, float64 [N, L] in {0, 1}.

    Args:
        found: of `fitted`.
        kept: bool [N, M].
    """
    rows: Any = [found.get(key, found[b""]) for key in keys_of(kept)]
    return np.array(rows, dtype=np.float64).reshape(len(kept), -1)


def keys_of(kept: Patterns) -> list[bytes]:
    """Return the pattern of each sample as bytes."""
    return [np.asarray(row, dtype=np.bool_).tobytes() for row in kept]


def _sets(groups: list[NDArray[np.uint8]], single: bool) -> list[NDArray[np.uint8]]:
    hits = np.array([group.sum(axis=0, dtype=np.int64) for group in groups])
    chosen = np.zeros(hits.shape, dtype=np.uint8)
    if single:
        chosen[np.arange(len(groups)), hits.argmax(axis=1)] = 1
        return list(chosen)
    sizes = np.repeat([len(group) for group in groups], hits.shape[1])
    order = np.argsort(-hits.ravel() / sizes, kind="stable")
    right, made = hits.ravel()[order].cumsum(), sizes[order].cumsum()
    best = int((2 * right / (made + hits.sum())).argmax()) + 1
    chosen.ravel()[order[:best]] = 1
    return list(chosen)
