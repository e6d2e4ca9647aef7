"""MEmoR's tree made small: the twin's generator with few clips and few features a row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from harness.plugins import registry
from harness_corpora import specs
from harness_corpora.memor import Memor
from harness_corpora.memor.reader import Dims
from harness_corpora.twins import memor, memor_design

FACE, TEXT, AUDIO = 24, 20, 28
SCENE = {"object": 5, "environment": 6}
SIZES = {"text": TEXT, "visual": FACE + sum(SCENE.values()), "audio": AUDIO}


@contextmanager
def small_memor(root: Path, clips: int = 14) -> Iterator[None]:
    """Write a tree of ``clips`` clips under ``root``; MEmoR's data sets are of its sizes inside."""
    streams = tuple(
        replace(s, dim={"text": TEXT, "visual": FACE, "audio": AUDIO}[s.name])
        for s in memor_design.MEMOR.streams
    )
    dims = Dims(FACE, SCENE["object"], SCENE["environment"], AUDIO, TEXT)
    design = replace(memor_design.MEMOR, clips=(clips, clips), streams=streams)
    patch = pytest.MonkeyPatch()
    patch.setattr(memor, "MEMOR", design)
    patch.setattr(memor, "SCENE_DIMS", SCENE)
    patch.setattr(Memor, "dims", dims)
    patch.setattr(specs, "DATASETS", tuple(map(_small, specs.DATASETS)))
    registry._load.cache_clear()
    try:
        memor.write(root, 3, "default")
        yield
    finally:
        patch.undo()
        registry._load.cache_clear()


def _small(spec: specs.DatasetSpec) -> specs.DatasetSpec:
    if not spec.name.startswith("memor"):
        return spec
    return replace(spec, modalities=tuple(replace(m, dim=SIZES[m.name]) for m in spec.modalities))
