"""Each equation of the paper against a slow, literal transcription in NumPy loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness_ramer.ramer import (
    Ramer,
    commonality_loss,
    orthogonality_loss,
    specificity_loss,
)
from tests.unit.ramer.literal import (
    B,
    Case,
    L,
    M,
    array,
    bce,
    linear,
    literal_adv,
    literal_cml,
    literal_contrast,
    literal_lsr,
    literal_rec,
    literal_suf,
    lsr_logits,
    make,
    mlp,
    number,
    overlap,
    reconstruct,
    sigmoid,
    softmax,
    tell,
    telling,
)
from tests.unit.ramer.made import batch_of, paper_config, public_config, task_of


@pytest.fixture
def case() -> Case:
    return make()


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
