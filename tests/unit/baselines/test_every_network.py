"""What holds for every network of tables 2 and 3, built as its ``quick`` preset builds it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch

import pytest
import torch
from torch import Tensor

from harness.config import resolve_config
from harness.conformance import check_diagnostics, check_loss_terms
from harness.data.batch import Batch
from harness.model import ModelPlugin
from harness.plugins import load, resolve
from harness.specs import TaskInfo, TrainingConfig
from tests.unit.baselines.sequences import Context, made_batch, made_task, rows

NETWORKS = (
    "ramer", "ramer-public", "carat", "tailor", "amp", "mult", "misa", "mms2s", "hhmpn", "ml-gcn",
    "lddu", "momke", "mmin", "gcnet", "imder",
)  # fmt: skip


@dataclass
class Fit:
    """A training split of one batch."""

    batch: Batch

    @property
    def labels(self) -> Tensor:
        return self.batch.targets

    def batches(self, batch_size: int) -> Iterator[Batch]:
        yield self.batch

    def __len__(self) -> int:
        return len(self.batch)


def built(name: str, task: TaskInfo, batch: Batch) -> ModelPlugin:
    registry = load()
    spec = registry.model(name)
    config = resolve_config(spec, registry.dataset("mosei-aligned"), "quick", None, [])
    torch.manual_seed(0)
    model: ModelPlugin = resolve(spec.factory)(config.model, task)
    model.setup_fit(Fit(batch))
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_of_one_and_an_odd_last_batch_score_as_in_company(name: str) -> None:
    task = made_task(("text", "visual", "audio"), max_length=12, step=0)
    whole = made_batch(task, 7)
    model = built(name, task, whole).eval()
    with torch.no_grad():
        scores = model.predict_step(whole.without_labels())
        parts = [
            model.predict_step(rows(whole.without_labels(), torch.tensor(index)))
            for index in ([0, 1, 2, 3], [4, 5], [6])
        ]
    assert scores.shape == (7, 3) and bool(((scores >= 0) & (scores <= 1)).all())
    torch.testing.assert_close(torch.cat(parts), scores, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [1, 3])
def test_small_batches_train(name: str, size: int) -> None:
    task = made_task(("text", "visual", "audio"), max_length=12, step=0)
    whole = made_batch(task, 7)
    model = built(name, task, whole).train()
    batch = rows(whole, torch.arange(size))
    ctx = Context(model, list(model.configure_optimizers(TrainingConfig(), 10)))
    model.on_epoch_start(ctx)
    output = model.training_step(batch, ctx)
    if model.automatic_optimization:
        output.loss.backward()
    assert torch.isfinite(output.loss)
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads and all(bool(torch.isfinite(g).all()) for g in grads)


@pytest.mark.parametrize("name", ["ramer", "ramer-public", "carat", "tailor", "lddu"])
def test_declared_axes_are_those_of_the_analysis_tensors(name: str) -> None:
    task = made_task(("text", "visual"), max_length=12, step=0)
    batch = made_batch(task, 7)
    model = built(name, task, batch).eval()
    with torch.no_grad():
        found = model.analysis(batch.without_labels())
    sizes = {"B": 7, "M": 2, "L": task.num_labels}
    assert set(model.analysis_axes) <= set(found)
    assert task.num_labels == 3
    for tensor, axes in model.analysis_axes.items():
        assert len(axes) == found[tensor].ndim, tensor
        for size, axis in zip(found[tensor].shape, axes, strict=True):
            assert size == sizes.get(axis, size), (tensor, axes)


@pytest.mark.parametrize("name", ["ramer", "ramer-public", "carat", "tailor"])
def test_terms_add_up_to_the_loss_and_diagnostics_keep_the_contract(name: str) -> None:
    task = made_task(("text", "visual", "audio"), max_length=12, step=0)
    batch = made_batch(task, 7)
    found = []
    for step in ("training_step", "loss_terms"):
        model = built(name, task, batch).train()
        torch.manual_seed(1)
        found.append(getattr(model, step)(batch, Context(model, [])))
    terms = check_loss_terms(model, found[1], found[0].loss)
    assert set(terms) == set(found[0].terms) and len(terms) > 5
    shared = [
        p for n, p in model.named_parameters()
        if any(fnmatch(n, pattern) for pattern in model.shared_parameters)
    ]  # fmt: skip
    every = sum(1 for _ in model.parameters())
    assert 0 < len(shared) < every
    for term in terms.values():
        grads = torch.autograd.grad(term, shared, retain_graph=True, allow_unused=True)
        assert not term or any(g is not None and bool(g.any()) for g in grads)
    with torch.no_grad():
        shown = check_diagnostics(model, model.eval().diagnostics(batch.without_labels()), batch)
    assert shown is not None and len(shown.parts) > 1
    assert bool(shown.levels) == (name != "tailor")
