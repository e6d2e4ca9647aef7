"""The layouts of samples, a folder each: all that differs between sequences and grids.

A layout has a `StoredSplit` (what is stored, described, shown, and what dropout protocols are
given), a `SplitWriter` (how arrays are checked and written) and a `BatchLoader` (how they are
batched). ``SPLITS`` is the only table of layouts; a split names its writer and its loader.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.data.layouts.grid.split import GridSplit
from harness.data.layouts.sequence.split import SequenceSplit
from harness.data.layouts.stored import StoredSplit
from harness.errors import UnknownNameError
from harness.specs import DatasetSpec, Layout

SPLITS: Mapping[Layout, type[StoredSplit]] = {"sequence": SequenceSplit, "grid": GridSplit}


def split_class(spec: DatasetSpec) -> type[StoredSplit]:
    """Return the class of a data set's splits.

    Raises:
        UnknownNameError: no such layout.
    """
    if spec.layout not in SPLITS:
        raise UnknownNameError(f"layout of {spec.name}", spec.layout, tuple(SPLITS))
    return SPLITS[spec.layout]
