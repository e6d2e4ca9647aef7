"""Each equation of the paper against a slow, literal transcription in NumPy loops, in float64."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.nn.objective import Objective
from harness_ramer.ramer import (
    Features,
    Ramer,
    StackShuffle,
    commonality_loss,
    orthogonality_loss,
    specificity_loss,
)
from tests.unit.ramer.made import batch_of, paper_config, public_config, task_of

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


@pytest.fixture
def case() -> Case:
    return make()


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


def test_equation_1_commonality_adversarial_loss(case: Case) -> None:
    c = case.f.commonality.detach().requires_grad_()
    loss = commonality_loss(case.model.discriminator, c)
    assert number(loss) == pytest.approx(tell(case.model, array(c)), rel=1e-9)
    # G is to hide the modality: its gradient is the negated one of the cross entropy.
    hidden = torch.autograd.grad(loss, c)[0]
    plain = c.detach().requires_grad_()
    everywhere = torch.ones(B, M, dtype=torch.bool)
    told = torch.autograd.grad(
        specificity_loss(case.model.discriminator, plain, everywhere), plain
    )[0]
    assert torch.allclose(hidden, -told) and told.abs().max() > 0


def test_equation_2_specificity_adversarial_loss(case: Case) -> None:
    loss = specificity_loss(case.model.discriminator, case.f.specificity, case.f.usable["alpha"])
    assert number(loss) == pytest.approx(tell(case.model, array(case.f.specificity)), rel=1e-9)


def test_equation_3_common_semantic_loss(case: Case) -> None:
    assert number(case.objective.terms["common_semantic"]) == pytest.approx(literal_cml(case))


def test_equation_4_orthogonality_is_minimised(case: Case) -> None:
    c, s = case.f.commonality, case.f.specificity
    loss = number(orthogonality_loss(c, s))
    assert loss == pytest.approx(overlap(array(c), array(s)), rel=1e-9)
    assert loss > 0
    apart = torch.zeros_like(s)
    assert number(orthogonality_loss(c, apart)) == 0.0


def test_equation_5_adversarial_objective(case: Case) -> None:
    names = ("adversarial_common", "adversarial_specific", "orthogonality", "common_semantic")
    got = sum(case.model.weights[name] * number(case.objective.terms[name]) for name in names)
    assert got == pytest.approx(literal_adv(case), rel=1e-9)


def test_equation_6_two_level_reconstruction(case: Case) -> None:
    beta, gamma = reconstruct(case)
    assert np.allclose(array(case.f.rec.levels["beta"]), beta)
    assert np.allclose(array(case.f.rec.levels["gamma"]), gamma)
    for m in range(M):
        x = array(case.f.rec.levels["alpha"])[0, m, 0]
        codec = case.model.reconstruction.codecs[m]
        decoded = mlp(codec.decoder, mlp(codec.encoder, x))  # type: ignore[arg-type]
        assert np.allclose(array(case.f.rec.decoded)[0, m, 0], decoded)


@pytest.mark.parametrize("norm", ["mse", "frobenius"])
def test_equation_7_reconstruction_loss(norm: str) -> None:
    case = make(norm=norm)
    got = case.objective.terms["rec_decoded"] + case.objective.terms["rec_beta"]
    assert number(got) == pytest.approx(literal_rec(case, norm), rel=1e-9)


def test_equation_8_classification_of_three_levels() -> None:
    names = ("contrastive", "shuffle", "adversarial", "orthogonality", "commonality")
    case = make(**{f"{n}_weight": 0.0 for n in names}, reconstruction_weight=0.0)
    assert number(case.objective.total) == pytest.approx(literal_lsr(case), rel=1e-9)


def test_the_printed_equations_are_the_default() -> None:
    config = paper_config()
    assert (config.norm, config.inference_prototypes) == ("frobenius", "soft")
    assert public_config().inference_prototypes == "hard"


@pytest.mark.parametrize("choice", ["soft", "hard"])
@pytest.mark.parametrize("training", [True, False])
def test_equation_9_prototype_mixture(choice: str, training: bool) -> None:
    case = make(training, inference_prototypes=choice)
    # make() has moved the prototypes since; a fresh pass uses those that are compared.
    f = case.model.features(case.batch)
    z, mixed = array(f.rec.latent), array(f.rec.mixed)
    for m, prototypes in enumerate(case.model.reconstruction.prototypes):
        positive, negative = array(prototypes.positive), array(prototypes.negative)  # type: ignore[arg-type]
        for b in range(B):
            for j in range(L):
                unit = z[b, m, j] / np.linalg.norm(z[b, m, j])
                o = softmax(np.array([unit @ positive[j], unit @ negative[j]]))
                if not training and choice == "hard":
                    o = np.array([1.0, 0.0]) if o[0] > o[1] else np.array([0.0, 1.0])
                assert np.allclose(mixed[b, m, j], o[0] * positive[j] + o[1] * negative[j])


def test_equation_9_prototypes_move_sample_after_sample(case: Case) -> None:
    before = make()
    z = array(before.f.rec.latent)
    torch.manual_seed(3)
    fresh = Ramer(paper_config(), task_of(labels=L)).double()
    for prototypes in fresh.reconstruction.prototypes:
        prototypes.positive.normal_()  # type: ignore[operator]
        prototypes.negative.normal_()  # type: ignore[operator]
    for m in range(M):
        old = fresh.reconstruction.prototypes[m]
        pair = [array(old.negative).copy(), array(old.positive).copy()]  # type: ignore[arg-type]
        for b in range(B):
            for j in range(L):
                k = int(before.y[b, j])
                unit = z[b, m, j] / np.linalg.norm(z[b, m, j])
                pair[k][j] = 0.99 * pair[k][j] + 0.01 * unit
        moved = before.model.reconstruction.prototypes[m]
        assert np.allclose(array(moved.negative), pair[0])  # type: ignore[arg-type]
        assert np.allclose(array(moved.positive), pair[1])  # type: ignore[arg-type]


def test_equation_10_intrinsic_vector(case: Case) -> None:
    mixed, intrinsic = array(case.f.rec.mixed), array(case.f.rec.intrinsic)
    for m in range(M):
        decoder = case.model.reconstruction.codecs[m].decoder
        for b in range(B):
            for j in range(L):
                assert np.allclose(intrinsic[b, m, j], mlp(decoder, mixed[b, m, j]))  # type: ignore[arg-type]


def test_equation_11_supervised_contrast(case: Case) -> None:
    got = number(case.objective.terms["contrastive"])
    assert got == pytest.approx(literal_contrast(case), rel=1e-9)


def test_equation_11_queue_takes_the_batch_after_the_loss(case: Case) -> None:
    contrast_module = case.model.contrast
    assert not telling(case).all()
    rows = (2 * B * M + telling(case).sum()) * L
    kept = min(rows, 64)
    assert int(contrast_module.queue.queue_ptr) == rows % 64
    norms = contrast_module.queue.queue.norm(dim=1)
    assert torch.allclose(norms[:kept], torch.ones(kept, dtype=norms.dtype))


def test_equation_12_shuffled_classification(case: Case) -> None:
    assert number(case.objective.terms["shuffle"]) == pytest.approx(literal_suf(case), rel=1e-9)


def test_equation_12_stack_holds_s_in_order_then_c_then_the_fusion(case: Case) -> None:
    s, c, slots = case.f.specificity, case.f.commonality, case.f.slots
    visual, audio, text = s[:, 1], s[:, 2], s[:, 0]
    want = [visual, audio, text, c[:, 0] + c[:, 1] + c[:, 2]]
    assert slots.shape[1] == 5
    assert torch.allclose(slots[:, :4], torch.stack(want, dim=1))
    assert torch.allclose(slots, case.model.fusion(slots[:, :4]))


def test_equation_13_total(case: Case) -> None:
    w = case.model.config
    want = (
        w.shuffle_weight * literal_suf(case)
        + literal_lsr(case)
        + w.reconstruction_weight * literal_rec(case, "frobenius")
        + w.contrastive_weight * literal_contrast(case)
        + literal_adv(case)
    )
    assert number(case.objective.total) == pytest.approx(want, rel=1e-9)


def test_score_is_the_mean_of_both_classifiers() -> None:
    case = make(training=False)
    model, f = case.model, case.model.features(case.batch)
    classifier, slots = model.slot_classifier, array(f.slots)
    scores = model.predict_step(case.batch.without_labels()).detach().numpy()
    pooled = lsr_logits(model, array(f.rec.levels["gamma"]))
    for b in range(B):
        by_slot = []
        for m in range(slots.shape[1]):
            hidden = np.maximum(linear(classifier[0], slots[b, m].ravel()), 0.0)
            by_slot.append([sigmoid(x) for x in linear(classifier[2], hidden)])
        want = 0.5 * (np.array([sigmoid(x) for x in pooled[b]]) + np.mean(by_slot, axis=0))
        assert np.allclose(scores[b], want, atol=1e-6)


def test_shuffled_rows_of_single_labels_are_scored_per_label() -> None:
    """Such a row is not one-hot: eq. 12 is binary cross entropy for both kinds of labels."""
    task = task_of(labels=L, kind="singlelabel")
    torch.manual_seed(3)
    model = Ramer(paper_config(), task).train()
    batch = batch_of(task, B)
    f = model.features(batch)
    drawn = torch.Generator().manual_seed(1)
    v, y = model.shuffle(f.slots, batch.targets, torch.Generator().manual_seed(1))
    assert not torch.equal(y.sum(-1), torch.ones(y.shape[:2]))
    logits = model.slot_classifier(v.flatten(2)).detach().double().numpy()
    got = model.objective(f, batch.targets, drawn).terms["shuffle"]
    assert number(got) == pytest.approx(bce(logits, y.double().numpy()), rel=1e-5)
