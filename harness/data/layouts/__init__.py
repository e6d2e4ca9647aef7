"""The layouts of samples, a package each: all that differs between sequences and grids.

A layout has a `StoredSplit` (what is stored, described, displayed and given to dropout protocols),
a `SplitWriter` (how arrays are written) and a `BatchLoader` (how they are batched).
What a layout means before data is opened is in `harness.specs.LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.data.layouts.grid.split import GridSplit
from harness.data.layouts.sequence.split import SequenceSplit
from harness.data.layouts.stored import StoredSplit
from harness.specs import Layout

SPLITS: Mapping[Layout, type[StoredSplit]] = {"sequence": SequenceSplit, "grid": GridSplit}
