"""Training in two stages by a share of the steps."""

from __future__ import annotations

import math


def second_stage(epoch: int, step: int, total: int, share: float) -> tuple[bool, int]:
    """Return whether the second stage has begun as an epoch starts, and its first epoch.

    It begins with the first epoch that starts at or behind ``share`` of all steps. Before the first
    epoch has ended its length is unknown: the first epoch is then said to be 1. Both follow from
    the context alone, so that a resumed run finds what an uninterrupted one has.

    Args:
        ctx: as an epoch starts.
        share: of all steps, in [0, 1].
    """
    wanted = share * total
    if not epoch:
        return step >= wanted, min(1, math.ceil(wanted))
    return step >= wanted, math.ceil(wanted / (step // epoch))
