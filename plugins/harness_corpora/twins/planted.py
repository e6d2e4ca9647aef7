"""The planted dependence of labels on modalities, as a data set's spec orders both."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from harness.specs import DatasetSpec
from harness_corpora.twins.memor_design import MEMOR, PRIMARY_OF
from harness_corpora.twins.plan import PLANS
from harness_corpora.twins.words import GRID


def dependence(spec: DatasetSpec) -> NDArray[np.float64] | None:
    """Return the strengths behind a twin, float64 [L, M]; None for data that is no twin.

    The strength is the amplitude times the root of the event's frames: what the evidence of a whole
    event is in standard deviations of its noise. Text's is what text *shows*: under irony it stands
    on the axis of a label's partner, and only the other modalities say so. Of MEmoR, where a cell
    is one vector, a mild form has the amplitude of its primary emotion; among alike emotions it is
    that on the axis they share.
    """
    if spec.source != "twin":
        return None
    if spec.base_name in PLANS:
        by_name = {
            m.name: np.array(m.amplitude) / GRID * math.sqrt(m.window)
            for m in PLANS[spec.base_name].modalities
        }
    else:
        by_name = {s.name: np.array(s.amplitude)[PRIMARY_OF] / GRID for s in MEMOR.streams}
    return np.stack([by_name[m.name][: len(spec.labels)] for m in spec.modalities], axis=1)
