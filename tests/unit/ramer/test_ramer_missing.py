"""What a modality that is missing for a sample does, and does not do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from harness.specs import TrainingConfig
from harness_ramer.missing import borrow
from harness_ramer.public import RamerPublic
from harness_ramer.ramer import Ramer
from tests.unit.ramer.made import Context, batch_of, paper_config, public_config, task_of

TASK = task_of()
TRAINING = TrainingConfig(optimizer="bertadam", lr=1e-3)


def holes() -> Tensor:
    """Return a presence with complete samples, one and two modalities missing, and none left."""
    rows = [[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0]]
    return torch.tensor(rows, dtype=torch.bool)


def model(**changes: object) -> Ramer:
    torch.manual_seed(0)
    made = Ramer(paper_config(**changes), TASK)
    for prototypes in made.reconstruction.prototypes:
        prototypes.positive.normal_()  # type: ignore[operator]
        prototypes.negative.normal_()  # type: ignore[operator]
    return made


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("levels", [(), ("w/o-Xbeta-Xgamma",), ("w/o-codec",)])
def test_everything_stays_finite(opened: bool, levels: tuple[str, ...]) -> None:
    batch = batch_of(TASK, present=holes())
    batch = batch.with_null_positions() if opened else batch
    made = model(ablate=levels).train()
    output = made.training_step(batch, Context(made, TRAINING))
    output.loss.backward()
    assert all(term.isfinite() for term in output.terms.values())
    assert all(p.grad.isfinite().all() for p in made.parameters() if p.grad is not None)
    assert made.eval().predict_step(batch.without_labels()).isfinite().all()


def test_public_stays_finite_without_and_with_personality() -> None:
    for task in (TASK, task_of(personality=4)):
        made = RamerPublic(public_config(), task).train()
        batch = batch_of(task, present=holes())
        output = made.training_step(batch, Context(made, TRAINING))
        output.loss.backward()
        assert output.loss.isfinite()
        assert all(p.grad is None or p.grad.isfinite().all() for p in made.parameters())
        alpha = made.embedding(batch)
        empty = alpha[~holes()].abs().amax(dim=(1, 2)) == 0
        assert empty.all() if task is TASK else not empty.any()


def test_the_content_of_a_missing_modality_reaches_nothing() -> None:
    """The null position's encoding, or anything else under it, changes no score and no term."""
    batch = batch_of(TASK, present=holes())
    opened = batch.with_null_positions()
    noisy = replace(
        opened,
        features={
            m: torch.where(batch.mask[m].any(1)[:, None, None], x, torch.randn_like(x))
            for m, x in opened.features.items()
        },
    )
    made = model()
    one, other = (made.eval().predict_step(b.without_labels()) for b in (opened, noisy))
    assert torch.equal(one, other)
    made.train()
    losses = []
    for b in (opened, noisy):
        fresh = model().train()
        losses.append(fresh.training_step(b, Context(fresh, TRAINING)))
    for name, value in losses[0].terms.items():
        assert torch.equal(value, losses[1].terms[name]), name
    assert torch.equal(losses[0].loss, losses[1].loss)


def test_prototypes_stand_in_for_what_is_missing() -> None:
    made = model().eval()
    f = made.features(batch_of(TASK, present=holes()))
    rec, combiners = f.rec, made.reconstruction.combiners
    sample, target = 1, 0  # sample 1 lacks modality 1
    parts = [rec.intrinsic[sample, 0], rec.intrinsic[sample, 1], rec.decoded[sample, 2]]
    want = combiners[target](torch.cat(parts, dim=-1))
    assert torch.allclose(rec.levels["beta"][sample, target], want, atol=1e-6)
    stand_in = made.specificity(rec.levels["gamma"])
    assert torch.allclose(f.specificity[sample, 1], stand_in[sample, 1], atol=1e-6)


@pytest.mark.parametrize("hard", [True, False])
def test_a_missing_modality_borrows_the_polarity_of_the_others(hard: bool) -> None:
    made = model()
    network = made.reconstruction
    latent = torch.randn(6, 3, 4, 4)
    mixed = borrow(latent, network.prototypes, holes(), hard=hard)
    unit = torch.nn.functional.normalize(latent, dim=-1)
    sample, missing, present = 1, 1, (0, 2)
    for label in range(4):
        shares = []
        for m in present:
            p = network.prototypes[m]
            asked = [unit[sample, m, label] @ k[label] for k in (p.positive, p.negative)]  # type: ignore[index]
            shares.append(torch.stack(asked).softmax(0)[0])
        share = torch.stack(shares).mean()
        share = (share > 0.5).float() if hard else share
        own = network.prototypes[missing]
        want = share * own.positive[label] + (1 - share) * own.negative[label]  # type: ignore[index]
        assert torch.allclose(mixed[sample, missing, label], want, atol=1e-6)


def test_missing_rows_teach_nothing_but_through_their_reconstruction() -> None:
    present = holes()
    batch = batch_of(TASK, present=present)
    made = model().train()
    made.training_step(batch, Context(made, TRAINING))
    # Of X_alpha only what has more than one position: with one it is equal for all labels.
    telling = torch.stack([batch.mask[m.name].sum(dim=1) > 1 for m in TASK.modalities], dim=1)
    assert not telling[present].all() and not telling[~present].any()
    written = int(telling.sum()) * 4 + 2 * 6 * 3 * 4
    assert int(made.contrast.queue.queue_ptr) == written % 64

    lonely = torch.zeros(6, 3, dtype=torch.bool)
    lonely[:, 0] = True
    made = model(norm="frobenius").train()
    before = [p.positive.clone() for p in made.reconstruction.prototypes]
    only_text = batch_of(TASK, present=lonely)
    f = made.features(only_text)
    terms = made.objective(f, only_text.targets, torch.Generator()).terms
    moved = [
        not torch.equal(a, p.positive)  # type: ignore[arg-type]
        for a, p in zip(before, made.reconstruction.prototypes, strict=True)
    ]
    assert moved == [True, False, False]
    target, decoded = f.rec.levels["alpha"][:, 0], f.rec.decoded[:, 0]
    want = torch.linalg.vector_norm(target - decoded, dim=(1, 2)).mean()
    assert torch.allclose(terms["rec_decoded"], want)
    winners = made.analysis(only_text)["winner_alpha"]
    assert (winners == 0).all()


def test_a_score_does_not_depend_on_the_rest_of_the_batch() -> None:
    made = model().eval()
    batch = batch_of(TASK, present=holes()).with_null_positions().without_labels()
    scores = made.predict_step(batch)
    for i in range(6):
        alone = replace(
            batch,
            features={m: x[i : i + 1] for m, x in batch.features.items()},
            mask={m: x[i : i + 1] for m, x in batch.mask.items()},
            present=batch.present[i : i + 1],
            natural=batch.natural[i : i + 1],
            ids=batch.ids[i : i + 1],
        )
        assert torch.allclose(made.predict_step(alone), scores[i : i + 1], atol=1e-6)
