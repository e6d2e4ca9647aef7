"""Embeddings of a trained model in the plane, and numbers for what the eye should see there.

Figure 3 of Yang et al. 2025: specificity and commonality with and without adversarial training,
reconstruction embeddings with and without reconstruction and contrast. A point is one modality's
vector for one label of one sample. t-SNE shows neighbours, neither distances nor sizes; so the
numbers are computed in the space of the embeddings. scikit-learn (extra ``cc``) is imported late.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError, require
from harness.statistics.probe import probe_accuracy

_PERPLEXITY = 30.0
MODALITY, LABEL, PART = "modality", "label", "part"


@dataclass(frozen=True)
class Points:
    """n drawn points, in d dimensions, of P parts (tensors), M modalities and L labels.

    Attributes:
        vectors: float32 [n, d].
        part, modality, label: int64 [n].
        groups: n group names, for cross-validation.
    """

    vectors: NDArray[np.float32]
    part: NDArray[np.int64]
    modality: NDArray[np.int64]
    label: NDArray[np.int64]
    groups: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.vectors)

    def of(self, part: int) -> Points:
        """Return the points of one part."""
        own = self.part == part
        return Points(
            self.vectors[own],
            self.part[own],
            self.modality[own],
            self.label[own],
            self.groups[own],
        )


@dataclass(frozen=True)
class Separation:
    """How well points fall apart by a property; NaN where there is only one class.

    Attributes:
        of: name of the part, or ``all``. by: ``modality``, ``label`` or ``part``.
        silhouette: mean silhouette, Euclidean, in [-1, 1].
        probe: accuracy of a linear probe (logistic regression on standardised vectors),
            cross-validated over groups.
        chance: share of the most frequent class.
    """

    of: str
    by: str
    silhouette: float
    probe: float
    chance: float


def label_axes(
    tensor: NDArray[np.floating], labels: int, modalities: int, axes: str = ""
) -> NDArray[np.float32]:
    """Return an analysis tensor as float32 [N, L', M, d]; L' is 1 where it has no label axis.

    Args:
        tensor: [N, L, M, d], [N, M, L, d] or [N, M, d].
        labels: L.
        modalities: M.
        axes: the declared axes (`harness.model.ModelPlugin.analysis_axes`); empty: sizes decide.

    Raises:
        UsageError: other axes, or sizes that cannot tell labels from modalities.
    """
    array = np.asarray(tensor, dtype=np.float32)
    if axes:
        orders = {"ML": (0, 2, 1, 3), "LM": (0, 1, 2, 3), "M": (0, 1, 2)}
        order = orders.get(axes[1:-1])
        if order is None or array.ndim != len(order):
            raise UsageError(
                f"a tensor with the axes {' '.join(axes)} has no vector per modality (and label); "
                "choose another with --of."
            )
        array = array.transpose(order)
        return array if array.ndim == 4 else array[:, None]
    if array.ndim == 4 and labels == modalities:
        raise UsageError(
            f"a tensor of shape {list(array.shape)}: there are as many labels as modalities, so "
            "sizes do not tell them apart; the model must declare its axes in `analysis_axes`."
        )
    if array.ndim == 4 and array.shape[1:3] == (labels, modalities):
        return array
    if array.ndim == 4 and array.shape[1:3] == (modalities, labels):
        return array.transpose(0, 2, 1, 3)
    if array.ndim == 3 and array.shape[1] == modalities:
        return array[:, None]
    raise UsageError(
        f"a tensor of shape {list(array.shape)} has no modality axis of {modalities} (and label "
        f"axis of {labels}); choose another with --of."
    )


def draw_points(
    parts: Sequence[NDArray[np.float32]],
    truth: NDArray[np.integer],
    available: NDArray[np.bool_],
    groups: Sequence[str],
    count: int,
    seed: int,
) -> Points:
    """Draw at most ``count`` points: the same samples, labels and modalities of every part.

    Only labels that a sample has and modalities that it has are drawn, each equally likely.

    Args:
        parts: P times float32 [N, L', M, d] (`label_axes`); L' is 1 or L.
        truth: 0/1 [N, L].
        available: bool [N, M].
        groups: N group names.
        count: most points of all parts together.
        seed: of the draw.

    Raises:
        UsageError: no point is left, or the parts have different shapes.
    """
    shape = parts[0].shape
    if any(p.shape != shape for p in parts):
        found = " and ".join(str(list(p.shape)) for p in parts)
        raise UsageError(f"tensors of different shapes cannot share a picture: {found}.")
    there: NDArray[np.bool_] = np.asarray(truth, dtype=np.bool_)
    if shape[1] == 1:
        there = np.any(there, axis=1, keepdims=True)
    places = np.argwhere(there[:, :, None] & available[:, None, :])
    if not len(places):
        raise UsageError("no sample of this split has a label and a modality to draw.")
    keep = min(max(1, count // len(parts)), len(places))
    drawn = np.random.default_rng(seed).permutation(len(places))[:keep]
    sample, label, modality = places[np.sort(drawn)].T
    names = np.asarray(groups, dtype=np.str_)[sample]
    return Points(
        np.concatenate([p[sample, label, modality] for p in parts]),
        np.repeat(np.arange(len(parts)), keep),
        np.tile(modality, len(parts)),
        np.tile(label, len(parts)),
        np.tile(names, len(parts)),
    )


def project(points: Points, seed: int) -> NDArray[np.float32]:
    """Return the points in the plane by t-SNE, float32 [n, 2] (van der Maaten & Hinton 2008).

    Raises:
        UsageError: scikit-learn is not installed, or there are fewer than 5 points.
    """
    if len(points) < 5:
        raise UsageError(f"t-SNE needs at least 5 points, there are {len(points)}: --points.")
    manifold = require("sklearn.manifold", "cc")
    perplexity = min(_PERPLEXITY, (len(points) - 1) / 3)
    made = manifold.TSNE(perplexity=perplexity, init="pca", random_state=seed)
    plane: NDArray[np.float32] = made.fit_transform(points.vectors)
    return plane


def separations(points: Points, names: Sequence[str]) -> list[Separation]:
    """Return how points fall apart: each part by modality and by label, all by part.

    Args:
        points: as `draw_points` gives them.
        names: of the parts.
    """
    found = []
    for number, name in enumerate(names):
        own = points.of(number)
        for by, classes in ((MODALITY, own.modality), (LABEL, own.label)):
            found.append(_separation(name, by, own, classes))
    if len(names) > 1:
        found.append(_separation("all", PART, points, points.part))
    return found


def _separation(of: str, by: str, points: Points, classes: NDArray[np.int64]) -> Separation:
    counts = np.bincount(classes)
    chance = float(counts.max() / counts.sum())
    kinds = int((counts > 0).sum())
    if kinds < 2 or kinds >= len(points):
        return Separation(of, by, math.nan, math.nan, chance)
    metrics = require("sklearn.metrics", "cc")
    silhouette = float(metrics.silhouette_score(points.vectors, classes))
    return Separation(
        of, by, silhouette, probe_accuracy(points.vectors, classes, points.groups), chance
    )


def parts_of(asked: str, given: Mapping[str, object] | Sequence[str]) -> tuple[str, ...]:
    """Return the tensors that ``--of`` names: one, or several joined by ``-``.

    Raises:
        UsageError: the model's analysis gives no such tensor.
    """
    names = (asked,) if asked in given else tuple(asked.split("-"))
    missing = [n for n in names if n not in given]
    if missing:
        gives = ", ".join(given) or "nothing"
        raise UsageError(
            f"the model's analysis has no {' and no '.join(map(repr, missing))}; it gives: {gives}."
        )
    return names
