"""The planted dependence of labels on modalities, as a data set's spec orders both."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from harness.specs import DatasetSpec
from harness_corpora.twins.design import DESIGNS
from harness_corpora.twins.memor_design import MEMOR, PRIMARY_OF


def dependence(spec: DatasetSpec) -> NDArray[np.float64] | None:
    """Return the strengths behind a twin, float64 [L, M]; None for data that is no twin.

    The strength is the amplitude times the root of the event's frames: what the evidence of a whole
    event is in standard deviations of its noise. Irony, which turns the sign of text's evidence,
    is not in it. Of MEmoR, where a cell is one vector, a mild form has the amplitude of its
    primary emotion; among alike emotions it is that on the axis they share.
    """
    if spec.source != "twin":
        return None
    if spec.base_name in DESIGNS:
        streams = DESIGNS[spec.base_name].streams
        by_name = {s.name: np.array(s.amplitude) * math.sqrt(s.window) for s in streams}
    else:
        by_name = {s.name: np.array(s.amplitude)[PRIMARY_OF] for s in MEMOR.streams}
    return np.stack([by_name[m.name][: len(spec.labels)] for m in spec.modalities], axis=1)
