"""Grids and their sequence views: shared evaluation gives the scores of single protocols."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from harness.config import resolve_config
from harness.data.locate import find_store
from harness.engine.patterns import predict_whole
from harness.engine.predict import predict
from harness.engine.splits import TEST, views_of
from harness.plugins import load, resolve
from harness.protocols.dropout import Traits, parse, suite
from harness.specs import TaskInfo
from tests.gpu.made import CPU
from tests.tiny_memor import small_memor


@pytest.mark.parametrize(
    ("name", "dataset", "separable"),
    [
        ("amer", "memor-primary", True),
        ("ramer", "memor-primary", True),
        ("bilstm-lmf", "memor-primary", True),
        ("carat", "memor-primary", True),
        ("ramer", "memor-primary-clip-multilabel", True),
        ("carat", "memor-primary-clip-multilabel", False),
    ],
)
def test_scores_are_those_of_single_protocols(
    own_folders: Path, name: str, dataset: str, separable: bool
) -> None:
    with small_memor(own_folders / "data"):
        registry = load()
        entry, spec = registry.model(name), registry.dataset(dataset)
        store = find_store(spec)
        config = resolve_config(entry, spec, "quick", None, [])
        torch.manual_seed(0)
        task = TaskInfo.of(store.spec, config.threshold, entry.layouts)
        model = resolve(entry.factory)(config.model, task)
        view = views_of(store, spec.default_mask, model, (TEST,))[TEST]
        assert view.separable is separable and model.shares_encodings
        protocols = [*suite("core@1", Traits.of(spec))]
        if spec.grid_context == "row":
            protocols.append(parse("nonspeaker-0.5"))
        masks = [view.masks(p) for p in protocols]
        assert all(m.whole for m in masks)
        shared = predict_whole(model, view, masks, CPU, batch_size=5)
        for own, scores in zip(masks, shared, strict=True):
            alone = predict(model, view.batches(7, own), CPU)
            np.testing.assert_allclose(scores, alone, rtol=0, atol=1e-6)
        assert np.abs(shared[0] - shared[1]).max() > 2e-5
        assert not view.masks(parse("drop-p")).whole
