"""EmoPairCompete: what 26 people in puzzle teams felt, and what a wristband measured meanwhile.

Files are not shipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.data.corpus import Corpus, SplitArrays
from harness.data.partition import rows_of_parts
from harness.data.values import fail, shown
from harness_corpora.arrays import read_archive
from harness_corpora.scaling import Standardiser
from harness_corpora.specs.body import EMOPAIR_LABELS

ROWS = 312
SPLIT = "emopair@1/5"
"""Salt of the split by team (`harness.data.partition`)."""


class EmoPair(Corpus):
    """A sample is a phase of one person; rows without signals or with open answers are left out."""

    published_counts: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"train": 188, "valid": 48, "test": 69}
    )

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield train, valid and test; whole teams each, standardised on train."""
        (path,) = self.paths(root)
        arrays = read_phases(path, {m.name: m.dim for m in self.spec.modalities})
        kept = np.flatnonzero((arrays["signals"] == 1) & (arrays["Y"] >= 0).all(axis=1))
        teams = [str(arrays["team"][i]) for i in kept]
        scales: dict[str, Standardiser] = {}
        middle: dict[str, NDArray[np.float32]] = {}
        for part, chosen in rows_of_parts(SPLIT, teams):
            rows = kept[chosen]
            features: dict[str, list[NDArray[np.float32]]] = {}
            cleaned: dict[str, int] = {}
            for m in self.spec.modalities:
                values = arrays[m.name][rows].astype(np.float32)
                open_ = ~np.isfinite(values)
                if open_.any():
                    cleaned[f"{m.name}:not-measured"] = int(open_.sum())
                if m.name not in middle:
                    middle[m.name] = np.nanmean(np.where(open_, np.nan, values), axis=0)
                values = np.where(open_, middle[m.name], values)
                scale = scales.setdefault(m.name, Standardiser.of(values))
                features[m.name] = list(scale(values)[:, None, :])
            person, round_, phase = (arrays[k][rows] for k in ("person", "round", "phase"))
            names = zip(person, round_, phase, strict=True)
            yield SplitArrays(
                part,
                [f"{p}/round-{r}/phase-{s}" for p, r, s in names],
                [teams[i] for i in chosen],
                arrays["Y"][rows].astype(np.uint8),
                features,
                cleaned=cleaned,
                extras={"phase": phase.astype(int).tolist()},
                facts={"left out": ROWS - len(kept)} if part == "train" else {},
            )


def read_phases(path: Path, views: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """Return the arrays of the archive.

    Args:
        path: the archive.
        views: width of each view.

    Raises:
        DataFormatError: the archive is not as documented.
    """
    count = len(EMOPAIR_LABELS)
    wanted: dict[str, Any] = {
        "Y": ("iu", (ROWS, count)),
        "labels": ("U", (count,)),
        "signals": ("iu", (ROWS,)),
        **{name: ("U", (ROWS,)) for name in ("person", "team")},
        **{name: ("iu", (ROWS,)) for name in ("round", "phase")},
        **{name: ("f", (ROWS, width)) for name, width in views.items()},
    }
    arrays = read_archive(path, wanted)
    if arrays["labels"].tolist() != list(EMOPAIR_LABELS):
        raise fail(path, "labels", ", ".join(EMOPAIR_LABELS), shown(arrays["labels"].tolist()))
    if not np.isin(arrays["Y"], (-1, 0, 1)).all():
        raise fail(path, "Y", "-1, 0 or 1", "others")
    return arrays
