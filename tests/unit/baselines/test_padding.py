"""Padding that a mask leaves out changes no score, except where a model says that it reads it."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config import resolve_config
from harness.data.batch import Batch
from harness.model import ModelPlugin
from harness.plugins import load, resolve
from tests.gpu import made
from tests.unit.baselines.sequences import Context, cropped, made_batch, score

LONGEST = 7
# Beside the quick preset of every model: settings that read sequences in another way.
OTHERS = (
    ("carat", "model.aligner=5"),
    ("tailor", "model.aligner=5"),
    ("ramer-public", "model.align_to=5"),
    ("bilstm-tfn", "model.subnets=reference"),
    ("bilstm-lmf", "model.subnets=reference"),
    ("misa", "model.max_frames=4"),
)
READERS = (
    ("mult", "model.readout=last_step"),
    ("tailor", "model.mask_common=false"),
    ("dialoguecrn", "model.packed=false"),
    ("dialoguegcn", "model.packed=false"),
    ("bilstm-tfn", "model.subnets=reference model.padded_text=true"),
    ("bilstm-lmf", "model.subnets=reference model.padded_text=true"),
)
EVERY = [(name, "") for name in dict(made.cases())]


@cache
def built(name: str, settings: str) -> ModelPlugin:
    registry, task = load(), made.made_task("sequence")
    spec, data = registry.model(name), registry.dataset("mosei-aligned")
    config = resolve_config(spec, data, "quick", None, settings.split())
    torch.manual_seed(0)
    model: ModelPlugin = resolve(spec.factory)(config.model, task)
    data = made.OneBatch(samples(), task)
    model.setup_fit(data)
    if not model.iterative:
        model.fit(data, Context(model, []))
    return model


def samples() -> Batch:
    """Return samples of at most `LONGEST` of 12 positions."""
    return made_batch(made.made_task("sequence"), 7, lengths=True, longest=LONGEST)


@pytest.mark.parametrize(("name", "settings"), [*EVERY, *OTHERS])
def test_scores_are_those_of_padded_batches(name: str, settings: str) -> None:
    model, batch = built(name, settings), samples()
    assert not model.reads_padding
    torch.testing.assert_close(
        score(model, cropped(batch, LONGEST)), score(model, batch), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(("name", "settings"), READERS)
def test_models_that_read_padding_say_so(name: str, settings: str) -> None:
    assert built(name, settings).reads_padding


@pytest.mark.parametrize("name", ["carat", "tailor", "ramer", "misa", "mult"])
@settings(deadline=None, max_examples=15)
@given(rows=st.lists(st.integers(0, 6), min_size=1, max_size=4, unique=True))
def test_any_samples_score_at_their_own_length_as_in_long_batches(
    name: str, rows: list[int]
) -> None:
    model, whole = built(name, ""), samples()
    some = whole.select(rows)
    longest = max(int(m.sum(1).max()) for m in some.mask.values())
    torch.testing.assert_close(
        score(model, cropped(some, longest)), score(model, whole)[rows], rtol=0, atol=1e-5
    )
