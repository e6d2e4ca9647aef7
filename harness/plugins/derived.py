"""Data sets that are made of registered ones, by name: twins, cross-corpus, folds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from harness.errors import UnknownNameError
from harness.plugins.faults import TWIN
from harness.specs import DatasetSpec, LabelMap, cross_spec, fold_spec
from harness.specs.derived import ON, fold_parts


def twin_of(spec: DatasetSpec) -> DatasetSpec:
    """Return the spec of a data set's twin."""
    return replace(
        spec,
        name=spec.base_name + TWIN,
        source="twin",
        modalities=tuple(
            replace(m, extractor="drawn by the twin's generator", trained_on="no labels")
            for m in spec.modalities
        ),
        origin="generated here (docs/twins.md); no sample of the real data",
        labelling="drawn with the features from a known model",
        licence="generated: none needed",
        redistribute=True,
    )


def derived(
    name: str, dataset: Callable[[str], DatasetSpec], maps: Sequence[LabelMap]
) -> DatasetSpec | None:
    """Return the data set that a name makes of others; None: it names none that are there.

    Args:
        name: ``x-on-y``: trained on ``x``, tested on ``y``; ``x-5folds``, ``x-by-speaker``: ``x``
            in folds, with ``.2`` at the end the second of them.
        dataset: returns a data set's spec, or raises `UnknownNameError`.
        maps: declared maps of labels.

    Raises:
        UsageError: ``x`` cannot be tested on ``y``, or not be divided so.
    """
    parts = fold_parts(name)
    if parts is not None:
        with suppress(UnknownNameError):
            return fold_spec(dataset(parts[0]), *parts[1:])
    for place in (found.start() for found in re.finditer(f"(?={ON})", name)):
        with suppress(UnknownNameError):
            source, target = dataset(name[:place]), dataset(name[place + len(ON) :])
            return cross_spec(source, target, maps)
    return None
