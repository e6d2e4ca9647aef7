"""A slow, literal transcription of the paper's equations in NumPy loops, in float64."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.nn.objective import Objective
from harness_ramer.ramer import (
    Features,
    Ramer,
    StackShuffle,
)
from tests.unit.ramer.made import batch_of, paper_config, task_of

Array = NDArray[np.float64]
B, M, L = 5, 3, 3


@dataclass
class Case:
    model: Ramer
    batch: Batch
    f: Features
    y: Array
    objective: Objective
    sources: tuple[Array, Array]
    queue: Array
    codes: Array


def weights(**changes: float) -> dict[str, float]:
    """Return loss weights, all different so that a mixed-up one shows, and ``changes``."""
    names = ("alpha", "beta", "gamma", "contrastive", "adversarial", "orthogonality")
    names += ("commonality", "shuffle", "reconstruction")
    out = {f"{name}_weight": 0.3 + 0.17 * i for i, name in enumerate(names)}
    return out | changes


def make(training: bool = True, **changes: object) -> Case:
    torch.manual_seed(3)
    task = task_of(labels=L)
    model = Ramer(paper_config(**(weights() | changes)), task).double().train(training)
    for prototypes in model.reconstruction.prototypes:
        prototypes.positive.normal_()  # type: ignore[operator]
        prototypes.negative.normal_()  # type: ignore[operator]
    batch = batch_of(task, B)
    batch = replace(
        batch,
        features={m: x.double() for m, x in batch.features.items()},
        labels=batch.targets.double(),
    )
    model.contrast.queue.queue_label[:20] = torch.arange(20).double()
    queue = model.contrast.queue.queue.numpy().copy()
    codes = model.contrast.queue.queue_label.numpy().copy()
    f = model.features(batch)
    # The same offsets as `StackShuffle` draws from a generator in this state.
    draw = torch.Generator().manual_seed(1)
    slots = f.slots.shape[1]
    o = torch.randint(B, (slots, L), generator=draw)
    r = torch.randint(slots, (B, L), generator=draw)
    sample, slot = StackShuffle().indices(o, r)
    objective = model.objective(f, batch.targets, torch.Generator().manual_seed(1))
    sources = (sample.numpy(), slot.numpy())
    return Case(model, batch, f, batch.targets.numpy(), objective, sources, queue, codes)


def array(x: Tensor | None) -> Array:
    assert x is not None
    return x.detach().numpy()


def number(x: Tensor) -> float:
    return float(x.detach())


def linear(layer: nn.Module, x: Array) -> Array:
    return array(layer.weight) @ x + array(layer.bias)  # type: ignore[arg-type]


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max())
    return e / e.sum()


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + np.exp(-x))


def bce(logits: Array, y: Array) -> float:
    terms = [
        -(t * np.log(sigmoid(x)) + (1 - t) * np.log(1 - sigmoid(x)))
        for x, t in zip(logits.ravel(), y.ravel(), strict=True)
    ]
    return float(np.mean(terms))


def discriminate(model: Ramer, x: Array) -> Array:
    d = model.discriminator
    return softmax(linear(d[3], np.maximum(linear(d[0], x), 0.0)))


def tell(model: Ramer, features: Array) -> float:
    """Eq. 1 and 2: sum over m of the mean over samples and label tokens of -log D(.)_m."""
    total = 0.0
    for m in range(M):
        tokens = [
            -np.log(discriminate(model, features[b, m, c])[m]) for b in range(B) for c in range(L)
        ]
        total += np.mean(tokens)
    return total


def mlp(layers: nn.Module, x: Array) -> Array:
    return linear(layers[2], np.maximum(linear(layers[0], x), 0.0))  # type: ignore[index]


def overlap(c: Array, s: Array) -> float:
    total = 0.0
    for b in range(B):
        for m in range(M):
            for i in range(L):
                for j in range(L):
                    total += float(c[b, m, i] @ s[b, m, j]) ** 2
    return total / B


def lsr_logits(model: Ramer, x: Array) -> Array:
    w, out = array(model.scorer.weight), np.zeros((B, L))
    for b in range(B):
        for c in range(L):
            out[b, c] = max(float(x[b, m, c] @ w[m, c]) for m in range(M))
    return out


def reconstruct(case: Case) -> tuple[Array, Array]:
    """Eq. 6, both levels."""
    f, g = case.f, case.model.reconstruction.combiners
    known, intrinsic = array(f.rec.decoded), array(f.rec.intrinsic)
    beta, gamma = np.zeros_like(known), np.zeros_like(known)
    for b in range(B):
        for c in range(L):
            for m in range(M):
                parts = [intrinsic[b, k, c] if k == m else known[b, k, c] for k in range(M)]
                beta[b, m, c] = linear(g[m], np.concatenate(parts))
            for m in range(M):
                gamma[b, m, c] = linear(g[m], np.concatenate([beta[b, k, c] for k in range(M)]))
    return beta, gamma


def contrast(rows: Array, codes: Array, temperature: float) -> float:
    """Eq. 11, the mean over all rows."""
    n, total = len(rows), 0.0
    for i in range(n):
        positives = [p for p in range(n) if p != i and codes[p] == codes[i]]
        others = sum(np.exp(rows[i] @ rows[r] / temperature) for r in range(n) if r != i)
        for p in positives:
            ratio = np.exp(rows[i] @ rows[p] / temperature) / others
            total -= np.log(ratio) / len(positives)
    return total / n


def telling(case: Case) -> Array:
    """Return where label attention has a choice: only there does X_alpha differ by label."""
    masks = [case.batch.mask[name].sum(dim=1) > 1 for name in case.batch.mask]
    return torch.stack(masks, dim=1).numpy()


def literal_contrast(case: Case) -> float:
    f, codecs = case.f, case.model.reconstruction.codecs
    rows, codes = [], []
    for name, level in f.rec.levels.items():
        x = array(level)
        for b in range(B):
            for m in range(M):
                if name == "alpha" and not telling(case)[b, m]:
                    continue
                for c in range(L):
                    z = mlp(codecs[m].encoder, x[b, m, c])  # type: ignore[arg-type]
                    rows.append(z / np.linalg.norm(z))
                    codes.append(2 * L * m + c + (0 if case.y[b, c] else L))
    everything = np.concatenate([np.array(rows), case.queue])
    return contrast(everything, np.concatenate([np.array(codes), case.codes]), 0.07)


def literal_suf(case: Case) -> float:
    """Eq. 12 on the shuffled stack, cell by cell."""
    classifier, (sample, slot) = case.model.slot_classifier, case.sources
    slots = array(case.f.slots)
    count = slots.shape[1]
    logits, targets = np.zeros((B, count, L)), np.zeros((B, count, L))
    for b in range(B):
        for m in range(count):
            row = []
            for c in range(L):
                i, k = sample[b, m, c], slot[b, m, c]
                row.append(slots[i, k, c])
                targets[b, m, c] = case.y[i, c]
            hidden = np.maximum(linear(classifier[0], np.concatenate(row)), 0.0)
            logits[b, m] = linear(classifier[2], hidden)
    return bce(logits, targets)


def literal_cml(case: Case) -> float:
    scorer = case.model.commonality_scorer
    w, bias, c = array(scorer.weight), array(scorer.bias), array(case.f.commonality)
    total = 0.0
    for m in range(M):
        logits = [[float(c[b, m, j] @ w[j]) + bias[j] for j in range(L)] for b in range(B)]
        total += bce(np.array(logits), case.y)
    return total


def literal_rec(case: Case, norm: str) -> float:
    x, total = array(case.f.rec.levels["alpha"]), 0.0
    for output in (case.f.rec.decoded, case.f.rec.levels["beta"]):
        y = array(output)
        for m in range(M):
            if norm == "mse":
                total += float(np.mean((x[:, m] - y[:, m]) ** 2))
            else:
                total += float(np.mean([np.linalg.norm(x[b, m] - y[b, m]) for b in range(B)]))
    return total


def literal_lsr(case: Case) -> float:
    levels = case.f.rec.levels.values()
    w = case.model.config
    lambdas = (w.alpha_weight, w.beta_weight, w.gamma_weight)
    return sum(
        weight * bce(lsr_logits(case.model, array(x)), case.y)
        for weight, x in zip(lambdas, levels, strict=True)
    )


def literal_adv(case: Case) -> float:
    w, s, c = case.model.config, array(case.f.specificity), array(case.f.commonality)
    return (
        w.adversarial_weight * (tell(case.model, c) + tell(case.model, s))
        + w.orthogonality_weight * overlap(c, s)
        + w.commonality_weight * literal_cml(case)
    )
