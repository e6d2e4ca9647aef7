"""Party protocols on a small MEmoR tree: whose scores they change, and whose they must not."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.config import resolve_config
from harness.data.layouts.grid.split import GridSplit
from harness.data.locate import find_store
from harness.data.store import Store
from harness.model import ModelPlugin
from harness.plugins import load, resolve
from harness.protocols.dropout import SplitMasks, parse
from harness.specs import TaskInfo
from tests.tiny_memor import small_memor

ALONE = "amer-no-personality"
MODELS = ("amer", ALONE, "mdl", "mdae", "bilstm-tfn", "bilstm-lmf", "dialoguegcn", "dialoguecrn")
EVERY = (*MODELS, "ramer", "ramer-public")


@pytest.fixture
def store(own_folders: Path) -> Iterator[Store]:
    with small_memor(own_folders / "data", clips=10):
        yield find_store(load().dataset("memor-primary"))


def masks_of(split: GridSplit, store: Store, protocol: str) -> SplitMasks:
    return parse(protocol).masks(split.mask_request())


def untrained(name: str, store: Store) -> tuple[ModelPlugin, str]:
    spec = load().model(name)
    config = resolve_config(spec, store.spec, "quick")
    task = TaskInfo.of(store.spec, config.threshold, spec.layouts)
    torch.manual_seed(0)
    return resolve(spec.factory)(config.model, task).eval(), task.layout


@torch.no_grad()
def scores(
    model: ModelPlugin,
    layout: str,
    store: Store,
    masks: SplitMasks | None,
    split: GridSplit | None = None,
) -> Tensor:
    loader = (split or store.split("train")).loader(
        layout=layout, batch_size=16, mask_option="nonzero", masks=masks,
        null_positions=model.needs_nonempty_mask,
    )  # fmt: skip
    return torch.cat([model.predict_step(batch) for batch in loader])


def test_dropping_personality_changes_every_model_that_has_it(store: Store) -> None:
    masks = masks_of(store.split("train"), store, "drop-p@1")
    for name in EVERY:
        model, layout = untrained(name, store)
        moved = (scores(model, layout, store, None) - scores(model, layout, store, masks)).abs()
        if name == ALONE:
            assert not moved.any(), name
        else:
            assert (moved.amax(dim=1) > 0).float().mean() > 0.9, name


def test_without_personality_nobody_is_known_by_an_id(store: Store) -> None:
    split = store.split("train")
    others = copy(split)
    first = np.repeat(split.person_offsets[:-1], split.persons)
    others.characters = np.arange(len(split.characters)) - first + 2
    assert (others.characters != split.characters).any()
    masks = masks_of(split, store, "drop-p@1")
    for name in EVERY:
        model, layout = untrained(name, store)
        known = scores(model, layout, store, masks, split)
        torch.testing.assert_close(scores(model, layout, store, masks, others), known, msg=name)


@pytest.mark.parametrize("protocol", ["nonspeaker@1", "party-silent@1"])
def test_silencing_the_silent_changes_nothing(store: Store, protocol: str) -> None:
    split = store.split("train")
    request = split.mask_request()
    masks = masks_of(split, store, protocol)
    assert masks.unit_keep is not None and request.unit_natural is not None
    pairs = zip(masks.unit_keep, request.unit_natural, strict=True)
    lost = torch.tensor([bool((there & ~kept).any()) for kept, there in pairs])
    if protocol == "nonspeaker@1":
        # Who has neither words nor voice in any segment has nothing to lose, and nobody else.
        spoken = [i for i, m in enumerate(store.spec.modalities) if m.key in "at"]
        assert lost.tolist() == split.available[:, spoken].any(axis=1).tolist()
    assert lost.any() and not lost.all()
    for name in EVERY:
        model, layout = untrained(name, store)
        whole, left = scores(model, layout, store, None), scores(model, layout, store, masks)
        torch.testing.assert_close(left[~lost], whole[~lost], atol=1e-6, rtol=1e-5, msg=name)
        if name not in ("mdl", "mdae"):  # they see one cell, which may have nothing to lose
            assert not torch.allclose(left[lost], whole[lost]), name
