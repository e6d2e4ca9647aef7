"""IMDer beyond its golden files: noise from ids, patterns, frames, stages."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.errors import ConfigError
from harness_baselines.imder import GENERATES, Imder, stacked
from harness_baselines.imder_inputs import ImderConfig, TrainingDraws, binned, noise_of
from tests.unit.baselines.sequences import Context, cropped, made_batch, made_task, rows

NAMES = ("text", "visual", "audio")
SMALL = ImderConfig(
    size=8, heads=2, layers=1, memory_layers=1, embed_dropout=0.0, attention_dropout={},
    growth=[1, 1, 2, 2], embedding=8, score_layers=1, first_groups=2, groups=4, blocks=1,
    reduction=4, sampler_steps=3, bins=8, readout="last_valid", key_padding="mask",
    standardize=False,
)  # fmt: skip


def made(
    stage: int = GENERATES, names: tuple[str, ...] = NAMES, **config: object
) -> tuple[Imder, Batch]:
    task = made_task(names, max_length=6, step=0)
    torch.manual_seed(0)
    model = Imder(replace(SMALL, **config), task)  # type: ignore[arg-type]
    model.stage.fill_(stage)
    return model.eval(), made_batch(task, 5, lengths=True)


def scores(model: Imder, batch: Batch) -> Tensor:
    with torch.no_grad():
        return model.predict_step(batch.without_labels())


def keeping(batch: Batch, *names: str) -> Batch:
    kept = torch.tensor([n in names for n in batch.features]).expand(len(batch), -1)
    return batch.keeping(kept)


def mixed(batch: Batch) -> Batch:
    """Return the batch with another pattern in each of its first four samples, one of nothing."""
    kept = torch.ones_like(batch.present)
    kept[0, 1:], kept[1, 0], kept[2, :2], kept[3] = False, False, False, False
    return batch.keeping(kept)


@pytest.mark.parametrize("noise", ["sample", "shared"])
def test_a_sample_scores_as_in_company_and_the_same_at_every_call(noise: str) -> None:
    model, batch = made(noise=noise)
    batch = mixed(batch)
    whole = scores(model, batch)
    torch.manual_seed(7)
    torch.testing.assert_close(scores(model, batch), whole, atol=0, rtol=0)
    for i in range(len(batch)):
        alone = scores(model, rows(batch, torch.tensor([i])))
        torch.testing.assert_close(alone, whole[i : i + 1], atol=1e-5, rtol=0)
    order = torch.tensor([4, 2, 0, 3, 1])
    torch.testing.assert_close(scores(model, rows(batch, order)), whole[order], atol=1e-5, rtol=0)
    torch.testing.assert_close(scores(model, cropped(batch, 5)), whole, atol=1e-5, rtol=0)


def test_noise_follows_from_the_id_and_is_drawn_for_what_is_missing_alone() -> None:
    model, batch = made()
    other = replace(batch, ids=tuple(f"x{i}" for i in batch.ids))
    torch.testing.assert_close(scores(model, other), scores(model, batch), atol=0, rtol=0)
    left = keeping(batch, "text")
    gap = (scores(model, keeping(other, "text")) - scores(model, left)).abs().amax(1)
    assert bool((gap > 1e-7).all())
    first = noise_of(0, "text", "7", (2, 3))
    torch.testing.assert_close(first, noise_of(0, "text", "7", (2, 3)), atol=0, rtol=0)
    for key in ((1, "text", "7"), (0, "audio", "7"), (0, "text", "8")):
        assert not torch.equal(first, noise_of(*key, (2, 3)))


def test_several_draws_are_averaged() -> None:
    model, batch = made(draws=2)
    left = keeping(batch, "text")
    parts = [scores(made(noise_seed=k)[0], left) for k in (0, 1)]
    assert not torch.equal(*parts)
    torch.testing.assert_close(scores(model, left), torch.stack(parts).mean(0))


@pytest.mark.parametrize("stage", [1, GENERATES])
def test_what_is_absent_cannot_be_seen(stage: int) -> None:
    model, batch = made(stage)
    left = keeping(batch, "text", "audio")
    noised = {**left.features, "visual": torch.randn_like(batch.features["visual"])}
    torch.testing.assert_close(scores(model, replace(left, features=noised)), scores(model, left))
    nothing = scores(model, keeping(batch))
    torch.testing.assert_close(nothing, nothing[:1].expand_as(nothing))
    assert torch.isfinite(nothing).all()


@pytest.mark.parametrize("names", [("text", "audio"), ("text", "visual", "audio", "gaze")])
def test_two_or_four_modalities(names: tuple[str, ...]) -> None:
    model, batch = made(names=names)
    assert len(model.subsets) == {2: 0, 4: 10}[len(names)]
    known = torch.tensor([n != "audio" for n in names]).expand(5, -1)
    x = stacked(model.encode(batch))[0]
    c = model.condition(x, known)
    wanted = x[:, 0] if len(names) == 2 else model.merges[7](x[:, [0, 1, 3]].flatten(1, 2))
    torch.testing.assert_close(c, wanted)
    assert torch.isfinite(scores(model, batch.keeping(known))).all()


def test_unaligned_streams_are_averaged_over_equal_parts_of_their_frames() -> None:
    x, length = torch.randn(2, 11, 3), 7
    kept = torch.arange(11) < torch.tensor([[length], [11]])
    got = binned(x, kept, 4)
    for i, end in enumerate((length, 11)):
        want = F.adaptive_avg_pool1d(x[i, :end].T[None], 4)[0].T
        torch.testing.assert_close(got[i], want)
    assert not binned(x, torch.zeros_like(kept), 4).any()
    task = made_task(NAMES, max_length=6, step=5, aligned=False, label_kind="singlelabel")
    model = Imder(SMALL, task).eval()
    model.stage.fill_(GENERATES)
    found = scores(model, mixed(made_batch(task, 5, lengths=True)))
    torch.testing.assert_close(found.sum(1), torch.ones(5))


def test_losses_count_hidden_modalities_alone() -> None:
    model, batch = made()
    lacking = keeping(batch, "text", "audio")
    encoded, there = model.encode(lacking), lacking.present
    draws = TrainingDraws(model.config, model.length, batch.device, torch.Generator())
    terms = model.losses(encoded, there, batch.targets, draws)
    assert all(terms[k].item() == 0.0 for k in ("rec", "score_visual", "score_text"))
    known = there & torch.tensor([True, True, False])
    terms = model.losses(encoded, known, batch.targets, draws)
    assert terms["score_audio"].item() > 1.0 and terms["rec"].item() > 0.0
    assert terms["score_visual"].item() == 0.0
    alone = model.losses(encoded, known, batch.targets, draws, generates=False)
    assert "cls" not in alone and alone["score_audio"].requires_grad


def test_stages_train_what_they_should() -> None:
    for stage, still in ((1, ("scores", "merges", "refinements")), (GENERATES, ("projections",))):
        model, batch = made(stage, hide=1.0, sampler_every=2)
        ctx = Context(
            model,
            list(
                model.configure_optimizers(
                    SimpleNamespace(  # type: ignore[arg-type]
                        optimizer="adam", lr=1e-3, weight_decay=0.0, amsgrad=False
                    ),
                    10,
                )
            ),
        )
        rates = [o.param_groups[0]["lr"] for o in ctx.optimizers]
        assert rates == [1e-3, 2e-3]
        before = {k: v.clone() for k, v in model.named_parameters()}
        output = model.train().training_step(batch, ctx)  # type: ignore[arg-type]
        assert torch.isfinite(output.loss)
        moved = {k.partition(".")[0] for k, v in model.named_parameters() if (v != before[k]).any()}
        assert not moved & set(still) and {"stack", "output"} <= moved
        before = {k: v.clone() for k, v in model.named_parameters()}
        ctx.step = 1
        model.training_step(batch, ctx)  # type: ignore[arg-type]
        moved = {k.partition(".")[0] for k, v in model.named_parameters() if (v != before[k]).any()}
        assert ("stack" in moved) == (stage == 1)


def test_stages_follow_the_share_of_the_steps() -> None:
    model, _ = made(1)
    seen = []
    for epoch in range(8):
        ctx = SimpleNamespace(epoch=epoch, step=epoch * 7, total_steps=56)
        model.on_epoch_start(ctx)  # type: ignore[arg-type]
        seen.append(int(model.stage))
    assert seen == [1] * 4 + [GENERATES] * 4
    assert model.selects_from == 7
    model.on_epoch_start(SimpleNamespace(epoch=1, step=28, total_steps=56))  # type: ignore[arg-type]
    assert model.selects_from == 1  # the last epoch there is


@pytest.mark.parametrize(
    "wrong", [{"growth": [1, 2]}, {"growth": [2, 2, 2, 2]}, {"kernel": 2}, {"embedding": 5}]
)
def test_a_configuration_that_cannot_be_built_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"model.{next(iter(wrong))}"):
        made(**wrong)
