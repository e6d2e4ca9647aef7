"""The ceiling from what the corpora's own readers return."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness_corpora import specs
from harness_corpora.twins import m3ed, mosei
from harness_corpora.twins.ceiling import scores

COUNT = 60


@pytest.mark.parametrize("name", ["mosei-aligned", "mosei-unaligned", "m3ed"])
def test_ceiling_of_what_the_reader_returns(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, plan in ((mosei, "MOSEI_ALIGNED"), (mosei, "MOSEI_UNALIGNED"), (m3ed, "M3ED")):
        monkeypatch.setattr(module, plan, replace(getattr(module, plan), sizes=(3, 3, COUNT)))
    spec = next(s for s in specs.DATASETS if s.name == name)
    module_name, class_name = spec.corpus.split(":")
    corpus = getattr(import_module(module_name), class_name)(spec)
    corpus.write_twin(tmp_path, 5, "default")
    read: Any = next(s for s in corpus.read(tmp_path) if s.name == "test")
    split = SimpleNamespace(
        ids=read.ids,
        natural=np.ones((COUNT, len(spec.modalities)), bool),
        gather=lambda indices: {m: [x[i] for i in indices] for m, x in read.features.items()},
    )
    masks = SimpleNamespace(keep=split.natural, frames=None, noise=None)
    right = scores(name, split, masks, 5)
    error = ((right - read.labels) ** 2).mean()
    prior = ((read.labels.mean(axis=0) - read.labels) ** 2).mean()
    assert error < 0.5 * prior
    # With the matrix of another seed the evidence is noise.
    assert ((scores(name, split, masks, 6) - read.labels) ** 2).mean() > 1.5 * error
