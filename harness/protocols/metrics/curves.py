"""Summaries of a metric over missing rates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def nauilc(rates: Sequence[float], scores: Sequence[float]) -> float:
    """Return the area under score over realised missing rate, divided by the range of rates.

    Trapezoids between the points in the order of their rates. It is the mean score over the range
    of rates, so unlike the plain area it does not grow with the range. Where all rates are equal
    (nothing could be dropped) the range is a point, and it is the mean of the scores there, the
    limit as the range shrinks.

    Args:
        rates: K realised missing rates, K >= 1.
        scores: K scores.
    """
    points = sorted(zip(rates, scores, strict=True), key=lambda point: point[0])
    width = points[-1][0] - points[0][0]
    if width <= 0:
        return sum(score for _, score in points) / len(points)
    area = sum((y + z) / 2 * (b - a) for (a, y), (b, z) in pairwise(points))
    return area / width
