"""What a trained model's mechanisms do, measured on validation and kept in its record's facts.

Three measures, each of what the model lays open (`harness.model.ModelPlugin.loss_terms` and
`diagnostics`): the share of each loss in the gradient of the shared parameters, the accuracy of a
fresh linear probe for the modality, R² of each reconstruction against the target's mean.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.conformance import check_diagnostics, check_loss_terms
from harness.data.batch import Batch
from harness.data.store import Store
from harness.engine.checkpoint import State, read_checkpoint, rebuild_config, restore, snapshot
from harness.engine.context import LoopContext
from harness.engine.device import Compute
from harness.engine.evaluate import VALID
from harness.engine.predict import predicting
from harness.engine.seeds import generator, isolated_rng, seed_globals
from harness.engine.splits import SplitView
from harness.errors import NoValidationError, UsageError
from harness.model import ModelPlugin
from harness.plugins import Registry
from harness.records.record import DIAGNOSTICS, RunRecord, finite
from harness.records.store import RunStore
from harness.specs import TrainingConfig
from harness.statistics.probe import probe_accuracy

BATCHES = 8
"""Batches of the gradient's shares: the first of validation, of the size trained with."""
VECTORS = 6000
"""Most vectors of a probe."""


def offers_diagnostics(kind: type[ModelPlugin]) -> bool:
    """Return whether a model lays open anything of its mechanisms."""
    return (
        kind.loss_terms is not ModelPlugin.loss_terms
        or kind.diagnostics is not ModelPlugin.diagnostics
    )


def with_diagnostics(
    record: RunRecord, runs: RunStore, registry: Registry, store: Store, compute: Compute
) -> RunRecord:
    """Return a finished run with the measures of its mechanisms, written to its folder.

    Args:
        record: the run; the caller holds its lock.
        runs: where it is.
        registry: the plugins, with the model's.
        store: the data that it was trained on.
        compute: what is computed on.

    Raises:
        NoValidationError: the data set has no validation split.
        UsageError: the model lays nothing open.
        CheckFailedError: what it lays open breaks the contract.
    """
    if VALID not in store.spec.splits:
        raise NoValidationError(store.spec.name, "diagnostics")
    model = read_checkpoint(runs.folder(record.id), record).build(registry).to(compute.device)
    training = rebuild_config(TrainingConfig, record.config["training"])
    view = SplitView(store.split(VALID), record.dataset["mask"], model)
    with isolated_rng(), compute.deterministic():
        found = measured(model, view, training, record.seed, compute)
    return runs.write(replace(record, facts={**record.facts, DIAGNOSTICS: finite(found)}))


def measured(
    model: ModelPlugin, view: SplitView, training: TrainingConfig, seed: int, compute: Compute
) -> dict[str, Any]:
    """Return the measures of a trained model as JSON.

    Args:
        model: the model; its state is left as it was.
        view: the validation split.
        training: its recipe.
        seed: the training seed, from which dropout in the losses is drawn.
        compute: what is computed on.

    Returns:
        ``split``, ``samples``; ``gradient``: per term ``norm``, ``share`` of the sum of all norms
        and ``cosine`` to the gradient of the whole loss, with ``batches`` and ``batch_size``;
        ``probe``: per part ``accuracy``, ``chance`` and how many ``vectors``; ``reconstruction``:
        per level ``r2`` and ``by_modality``.
    """
    kind = type(model)
    if not offers_diagnostics(kind):
        raise UsageError(
            f"{kind.__name__} lays nothing of its mechanisms open: it defines neither loss_terms "
            "nor diagnostics (harness.ModelPlugin)."
        )
    found: dict[str, Any] = {"split": view.split.name, "samples": len(view)}
    if kind.loss_terms is not ModelPlugin.loss_terms:
        found["gradient"] = _gradient(model, view, training, seed, compute)
    if kind.diagnostics is not ModelPlugin.diagnostics:
        found |= _vectors(model, view, training.eval_batch_size, compute)
    return found


def _gradient(
    model: ModelPlugin, view: SplitView, training: TrainingConfig, seed: int, compute: Compute
) -> dict[str, Any]:
    """Return norms, shares and cosines of the terms' gradients, means over batches."""
    shared = [
        p
        for name, p in model.named_parameters()
        if p.requires_grad and any(fnmatch(name, wanted) for wanted in model.shared_parameters)
    ]
    if not shared:
        raise UsageError(f"{type(model).__name__}.shared_parameters matches no parameter.")
    size = min(training.batch_size, len(view))
    state, was_training = snapshot(model), model.training
    norms: dict[str, list[float]] = {}
    cosines: dict[str, list[float]] = {}
    used = 0
    try:
        model.train()
        for batch in _first(view, size):
            step = _Step(model, state, batch.to(compute.device), training, seed, compute, used)
            terms = step.terms(checked=not used)
            whole = _grads(torch.stack([*terms.values()]).sum(), shared)
            length = _norm(whole)
            for name, term in terms.items():
                own = _grads(term, shared)
                norm = _norm(own)
                norms.setdefault(name, []).append(norm)
                if norm and length:
                    dot = sum(float((a * b).sum()) for a, b in zip(own, whole, strict=True))
                    cosines.setdefault(name, []).append(dot / norm / length)
            used += 1
    finally:
        restore(model, state)
        model.train(was_training)
    means = {name: math.fsum(each) / used for name, each in norms.items()}
    total = math.fsum(means.values())
    terms_found = {
        name: {
            "norm": norm,
            "share": norm / total if total else None,
            "cosine": float(np.mean(cosines[name])) if name in cosines else None,
        }
        for name, norm in means.items()
    }
    return {"terms": terms_found, "batches": used, "batch_size": size}


def _first(view: SplitView, size: int) -> Iterator[Batch]:
    yield from itertools.islice(view.batches(size, labelled=True, drop_last=True), BATCHES)


class _Step:
    """One training step that is not taken, from the trained state and fixed random numbers."""

    def __init__(
        self,
        model: ModelPlugin,
        state: State,
        batch: Batch,
        training: TrainingConfig,
        seed: int,
        compute: Compute,
        number: int,
    ) -> None:
        self._model, self._state, self._batch = model, state, batch
        self._training, self._seed, self._compute = training, seed, compute
        self._purpose = f"diagnostics:{number}"

    def terms(self, *, checked: bool) -> dict[str, Tensor]:
        """Return the weighted terms that have a gradient; ``checked``: against the loss."""
        loss = None
        # First: bringing the state back would spoil the graph of the terms.
        if checked and self._model.automatic_optimization:
            with torch.no_grad(), self._compute.autocast():
                loss = self._model.training_step(self._batch, self._start()).loss
        with self._compute.autocast():
            terms = self._model.loss_terms(self._batch, self._start())
        if loss is not None:
            check_loss_terms(self._model, terms, loss)
        return {name: term for name, term in terms.items() if term.requires_grad}

    def _start(self) -> LoopContext:
        """Bring state and random numbers back; return the context of a run's last step."""
        restore(self._model, self._state)
        seed_globals(self._seed, self._purpose)
        drawn = generator(self._seed, self._purpose)
        ctx = LoopContext(self._model.parameters(), [], self._training, self._compute, drawn, 1)
        ctx.step, ctx.epoch = 1, self._training.epochs - 1
        self._model.on_epoch_start(ctx)
        return ctx


def _grads(value: Tensor, shared: Sequence[nn.Parameter]) -> list[Tensor]:
    found = torch.autograd.grad(value, shared, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, shared, strict=True)]


def _norm(grads: Sequence[Tensor]) -> float:
    return math.sqrt(math.fsum(float(g.double().square().sum()) for g in grads))


@dataclass
class _Probe:
    """Vectors of one part, their modality and group."""

    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    classes: list[NDArray[np.int64]] = field(default_factory=list)
    groups: list[NDArray[np.str_]] = field(default_factory=list)

    def result(self) -> dict[str, Any]:
        vectors, classes = np.concatenate(self.vectors), np.concatenate(self.classes)
        counts = np.bincount(classes)
        told = int((counts > 0).sum()) > 1
        groups = np.concatenate(self.groups)
        return {
            "accuracy": probe_accuracy(vectors, classes, groups) if told else None,
            "chance": float(counts.max() / counts.sum()),
            "vectors": len(vectors),
        }


@dataclass
class _Level:
    """Sums over samples of one reconstruction, each [M, K, H], in float64; ``count`` [M, K]."""

    count: Any = 0.0
    total: Any = 0.0
    squares: Any = 0.0
    missed: Any = 0.0

    def add(self, made: Tensor, target: Tensor, valid: Tensor) -> None:
        """Take a batch: [B, M, K, H] each, valid bool [B, M, K]."""
        kept = valid[..., None]
        x, y = (torch.where(kept, t.double(), 0.0) for t in (target, made))
        self.count = self.count + valid.sum(dim=0).double()
        self.total = self.total + x.sum(dim=0)
        self.squares = self.squares + x.square().sum(dim=0)
        self.missed = self.missed + (x - y).square().sum(dim=0)

    def result(self, names: Sequence[str]) -> dict[str, Any]:
        spread = self.squares - self.total.square() / self.count[..., None].clamp(min=1)

        def r2(missed: Tensor, around: Tensor) -> float | None:
            total = float(around.sum())
            return 1.0 - float(missed.sum()) / total if total > 0 else None

        pairs = zip(names, self.missed, spread, strict=True)
        return {
            "r2": r2(self.missed, spread),
            "by_modality": {name: r2(missed, around) for name, missed, around in pairs},
        }


def _vectors(
    model: ModelPlugin, view: SplitView, batch_size: int, compute: Compute
) -> dict[str, Any]:
    """Return the accuracies of probes and R² of reconstructions over the split."""
    probes: dict[str, _Probe] = {}
    levels: dict[str, _Level] = {}
    groups, start = np.asarray(view.split.groups, dtype=np.str_), 0
    with predicting(model):
        for batch in view.batches(batch_size):
            given = batch.without_labels().to(compute.device)
            with compute.autocast():
                shown = check_diagnostics(model, model.diagnostics(given), given)
            first, start = start, start + len(batch)
            if shown is None:
                continue
            most = math.ceil(VECTORS * len(batch) / len(view))
            for name, x in shown.parts.items():
                valid = _each(shown.valid, x)
                places = np.argwhere(valid.cpu().numpy())
                # The same vectors of every part of the same shape.
                drawn = np.random.default_rng(first).permutation(len(places))[:most]
                chosen = places[np.sort(drawn)]
                probe = probes.setdefault(name, _Probe())
                table = x.reshape(*valid.shape, -1).float().cpu().numpy()
                probe.vectors.append(table[tuple(chosen.T)])
                probe.classes.append(chosen[:, 1])
                probe.groups.append(groups[first + chosen[:, 0]])
            for name, (made, target) in shown.levels.items():
                valid = _each(shown.valid, made)
                shape = (*valid.shape, -1)
                level = levels.setdefault(name, _Level())
                level.add(made.reshape(shape), target.reshape(shape), valid)
    names = [m.name for m in model.task.modalities]
    return {
        "probe": {name: probe.result() for name, probe in probes.items()},
        "reconstruction": {name: level.result(names) for name, level in levels.items()},
    }


def _each(valid: Tensor, x: Tensor) -> Tensor:
    """Return which vectors of x [B, M, H] or [B, M, K, H] count, bool [B, M, K]; K may be 1."""
    if valid.ndim == 3:
        return valid
    width = x.shape[2] if x.ndim == 4 else 1
    return valid[..., None].expand(-1, -1, width)
