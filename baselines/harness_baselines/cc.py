"""Classifier chains (Read, Pfahringer, Holmes and Frank, Machine Learning 85, 2011).

One binary classifier per label, in a chain: link i reads the pooled features and the labels of
the links before it, true ones in training, its predecessors' outputs in prediction. How features
are pooled follows the table this row is quoted from (Ju et al., ACM MM 2020: modalities averaged
over time and concatenated); base classifier and order are not stated there and are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.errors import ConfigError
from harness.model import FitData, ModelPlugin, StepContext
from harness.specs import TaskInfo, bounded
from harness_baselines.cc_links import Params, build_base, constants, learnable, probability
from harness_baselines.cc_pooling import pool

FIT_BATCH = 256


@dataclass(frozen=True)
class ClassifierChainsConfig:
    """Hyper-parameters of classifier chains.

    Attributes:
        base: binary classifier of the links; the SVMs need the extra ``cc``.
        c: inverse strength of the L2 penalty (logistic) or the SVM's C.
        gamma: RBF width, as scikit-learn names it.
        order: ``spec`` the data set's label order, ``random`` seeded, ``frequency`` most frequent
            first, ``explicit`` as in ``explicit_order``.
        explicit_order: label indices in chain order.
        chain_method: what a link hands on in prediction: 0/1 outputs (``hard``) or
            probabilities (``soft``).
        ensemble: number of chains whose probabilities are averaged; more than one draws a random
            order for each.
        cv: 0, or the number of folds whose out-of-fold outputs replace the true labels of earlier
            links in training.
        pooling: over valid frames, ``mean`` or ``mean_std``; ``flatten`` keeps all frames
            (aligned data only).
        missing_indicator: add one 0/1 column per modality that says it is missing.
    """

    base: Literal["logistic", "gaussian_nb", "linear_svm", "rbf_svm"] = "logistic"
    c: float = bounded(1.0, above=0)
    gamma: Literal["scale", "auto"] = "scale"
    order: Literal["spec", "random", "frequency", "explicit"] = "spec"
    explicit_order: tuple[int, ...] = ()
    chain_method: Literal["hard", "soft"] = "hard"
    ensemble: int = bounded(1, least=1)
    cv: int = bounded(0, least=0)
    pooling: Literal["mean", "mean_std", "flatten"] = "mean"
    missing_indicator: bool = False


class ClassifierChains(ModelPlugin):
    """Classifier chains over pooled features; fitted once, without epochs.

    Every learned array is a float64 buffer with a leading axis of m chains, in chain order:
    ``order`` int64 [m, L], ``mean`` and ``scale`` [D], ``constant`` [m, L] (the probability of a
    label with one class in training, NaN for a learned link), and the base's own.
    """

    Config = ClassifierChainsConfig
    iterative = False
    needs_nonempty_mask = False
    order: Tensor
    mean: Tensor
    scale: Tensor
    constant: Tensor

    def __init__(self, config: ClassifierChainsConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        _check(config, task)
        self.base = build_base(config.base, config.c, config.gamma)
        self.register_buffer("order", torch.zeros(0, dtype=torch.int64))
        for name in ("mean", "scale", "constant", *self.base.names):
            self.register_buffer(name, torch.zeros(0, dtype=torch.float64))

    def fit(self, data: FitData, ctx: StepContext) -> None:
        """Pool the training split, draw the chain orders and fit every link."""
        pooled = torch.cat([self.pool(b).cpu() for b in data.batches(FIT_BATCH)])
        labels = data.labels.double().cpu()
        self.fit_features(pooled, labels, self.draw_orders(labels, ctx.generator), ctx.generator)

    def draw_orders(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Return the chain orders int64 [m, L] for training labels [N, L]."""
        count, size = self.config.ensemble, labels.shape[1]
        if count > 1 or self.config.order == "random":
            return torch.stack([torch.randperm(size, generator=generator) for _ in range(count)])
        if self.config.order == "frequency":
            frequency = labels.sum(dim=0)
            return frequency.sort(descending=True, stable=True).indices[None]
        if self.config.order == "explicit":
            return torch.tensor([list(self.config.explicit_order)])
        return torch.arange(size)[None]

    def fit_features(
        self, pooled: Tensor, labels: Tensor, orders: Tensor, generator: torch.Generator
    ) -> None:
        """Fit chains in the given orders.

        Args:
            pooled: float64 [N, D] on the CPU, not yet standardised.
            labels: float64 [N, L] in {0, 1}.
            orders: int64 [m, L], each row a permutation.
            generator: draws the folds of ``cv``.
        """
        mean, spread = pooled.mean(dim=0), pooled.std(dim=0, correction=0)
        scale = torch.where(spread > 0, spread, 1.0)
        x = (pooled - mean) / scale
        fitted = [self._fit_chain(x, labels[:, order], generator) for order in orders]
        learned: Params = {"mean": mean, "scale": scale, "order": orders}
        learned["constant"] = torch.stack([c for c, _ in fitted])
        for name in self.base.names:
            parts = [params[name] for _, params in fitted]
            learned[name] = parts[0] if name in self.base.shared else torch.stack(parts)
        for name, value in learned.items():
            self.register_buffer(name, value.to(self.mean.device))

    def _fit_chain(
        self, x: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Params]:
        """Return the constants [L] and parameters of one chain; ``targets`` in chain order."""
        size = targets.shape[1]
        visible = torch.ones(size, size, dtype=torch.bool).tril(-1)
        fed = targets
        if self.config.cv:
            fed = targets.clone()
            for link in range(size - 1):
                fed[:, link] = self._held_out(x, fed, targets[:, link], visible[link], generator)
        constant = constants(targets)
        learn = constant.isnan()
        params = self.base.fit(x, fed, learnable(targets, learn), visible)
        return constant, params

    def _held_out(
        self, x: Tensor, fed: Tensor, target: Tensor, visible: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return out-of-fold outputs [N] of one link over stratified, shuffled folds."""
        shuffled = torch.randperm(len(x), generator=generator)
        ranked = shuffled[target[shuffled].argsort(stable=True)]
        fold = torch.empty_like(ranked)
        fold[ranked] = torch.arange(len(x)) % self.config.cv
        out = torch.empty_like(target)
        for held in range(self.config.cv):
            train, test = fold != held, fold == held
            part = target[train][:, None]
            constant = constants(part)
            params = self.base.fit(
                x[train], fed[train], learnable(part, constant.isnan()), visible[None]
            )
            margin = self.base.margin(params, self.base.static(params, x[test]), fed[test], 0)
            out[test] = self._handed_on(probability(margin, constant[0]))
        return out

    def _handed_on(self, probability: Tensor) -> Tensor:
        if self.config.chain_method == "soft":
            return probability
        return (probability > 0.5).to(probability)

    def pool(self, batch: Batch) -> Tensor:
        """Return pooled, not yet standardised features, float64 [B, D]."""
        return pool(batch, self.task, self.config.pooling, self.config.missing_indicator)

    def probabilities(self, pooled: Tensor) -> Tensor:
        """Return the mean probability over chains, float64 [B, L] in label order.

        ``pooled`` is float64 [B, D], not yet standardised.
        """
        x = (pooled - self.mean) / self.scale
        return torch.stack([self._run_chain(x, c) for c in range(len(self.order))]).mean(dim=0)

    def _run_chain(self, x: Tensor, chain: int) -> Tensor:
        params: Params = {}
        for name in self.base.names:
            value = self.get_buffer(name)
            params[name] = value if name in self.base.shared else value[chain]
        static = self.base.static(params, x)
        fed = x.new_zeros(len(x), self.task.num_labels)
        out = torch.empty_like(fed)
        # Strictly triangular: a link reads only columns already written.
        for link in range(self.task.num_labels):
            margin = self.base.margin(params, static, fed, link)
            out[:, link] = probability(margin, self.constant[chain, link])
            fed[:, link] = self._handed_on(out[:, link])
        return out[:, self.order[chain].argsort()]

    def predict_step(self, batch: Batch) -> Tensor:
        """Return scores float32 [B, L]; single-label data: normalised to sum to 1."""
        scores = self.probabilities(self.pool(batch))
        if self.task.label_kind == "singlelabel":
            total = scores.sum(dim=1, keepdim=True)
            scores = torch.where(total > 0, scores / total, 1.0 / self.task.num_labels)
        return scores.float()

    def describe(self) -> dict[str, Any]:
        """Return the chain orders and the labels that had one class only."""
        names = self.task.labels
        orders = [[names[i] for i in row] for row in self.order.tolist()]
        fixed = self.constant[:1].isnan().logical_not()
        return {
            "orders": orders,
            "constant_labels": [names[i] for i in self.order[:1][fixed].tolist()],
        }


def _check(config: ClassifierChainsConfig, task: TaskInfo) -> None:
    if config.order == "explicit" and sorted(config.explicit_order) != list(range(task.num_labels)):
        raise ConfigError(
            f"model.explicit_order: {list(config.explicit_order)} is no permutation of the label "
            f"indices 0..{task.num_labels - 1} of {task.dataset}; list each index once."
        )
    if config.pooling == "flatten" and not task.aligned:
        raise ConfigError(
            f"model.pooling: flatten needs aligned data of fixed length, {task.dataset} is not "
            "aligned; use mean or mean_std."
        )
    if config.cv == 1:
        raise ConfigError("model.cv: 1 fold is none; use 0 or at least 2.")
