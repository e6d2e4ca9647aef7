"""GCNet beyond its golden files: what it removes and rebuilds, nodes, relations, layouts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.errors import ConfigError
from harness_baselines.dialogue import Dialogue
from harness_baselines.gcnet import Gcnet, anchored, draw_kept
from harness_baselines.gcnet_network import GcnetConfig, GcnetNetwork, RelationalMean
from tests.unit.baselines import grids
from tests.unit.baselines.sequences import Context, made_batch, made_task, rows

SMALL = GcnetConfig(hidden=6, graph_hidden=4, dropout=0.0, d_e=4)


def made(**config: object) -> tuple[Gcnet, Batch]:
    task = made_task(max_length=6, step=0)
    torch.manual_seed(0)
    return Gcnet(replace(SMALL, **config), task), made_batch(task, 7, lengths=True)  # type: ignore[arg-type]


def scores(model: Gcnet, batch: Batch) -> Tensor:
    with torch.no_grad():
        return model.eval().predict_step(batch.without_labels())


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
def test_an_anchored_draw_keeps_one_and_reaches_the_rate(rate: float) -> None:
    torch.manual_seed(1)
    valid = torch.rand(20_000, 3) < 0.8
    kept = anchored(valid, torch.full((20_000,), rate), torch.rand(20_000), torch.rand(20_000, 3))
    k = valid.sum(1)
    assert not (kept & ~valid).any()
    assert bool((kept.sum(1) >= (k > 0)).all())
    for count in (1, 2, 3):
        own = kept[k == count].float().mean() * 3 / count
        want = 1 - min(rate, (count - 1) / count)
        assert abs(float(own) - want) < 0.02


def test_units_of_removal() -> None:
    valid = torch.rand(200, 6, 3, generator=torch.Generator().manual_seed(0)) < 0.9
    whole = draw_kept(valid, 0.5, "sample", torch.Generator().manual_seed(1))
    lost = valid & ~whole
    gone = lost.any(1)
    assert not (lost.any(1) & (valid & whole).any(1)).any(), "a modality goes from the whole sample"
    assert 0.4 < float(gone.float().mean()) < 0.6
    each = draw_kept(valid, 0.5, "position", torch.Generator().manual_seed(1))
    assert ((valid & ~each).any(1) & each.any(1)).float().mean() > 0.8
    mixed = draw_kept(valid, None, "both", torch.Generator().manual_seed(1))
    untouched = (mixed == valid).flatten(1).all(1)
    assert 0.4 < float(untouched.float().mean()) < 0.7
    assert torch.equal(draw_kept(valid, 0.0, "both", torch.Generator().manual_seed(1)), valid)


def test_only_what_the_model_removed_is_rebuilt() -> None:
    model, batch = made(mask_rate="0.6")
    kept = torch.ones_like(batch.present)
    kept[:3, 0] = False
    left = batch.keeping(kept)
    said = model.utterances(left, torch.Generator().manual_seed(0))
    assert said.removed.any() and not said.removed[:3, :, 0].any()
    real = said.nodes.dialogue.real
    assert not said.removed[~real].any()
    name = model.standardizer.names[1]
    places = said.removed[..., 1].nonzero()
    want = torch.stack([left.features[name][b, t] for b, t in places.tolist()])
    torch.testing.assert_close(said.targets[1], want)
    dims = [m.dim for m in model.task.modalities]
    shown = said.x[..., dims[0] : dims[0] + dims[1]]
    assert not shown[said.removed[..., 1]].any(), "what is rebuilt is not seen"
    ctx = Context(model, [])
    assert float(model.train().training_step(left, ctx).terms["rec"]) > 0
    complete, _ = made(mask_rate="0")
    assert float(complete.train().training_step(left, ctx).terms["rec"]) == 0.0


def test_reconstruction_is_over_all_utterances() -> None:
    network = GcnetNetwork(SMALL, 5, 2, [2, 3], 1)
    z, removed = torch.randn(2, 3, 16), torch.zeros(2, 3, 2, dtype=torch.bool)
    removed[0, 1, 0] = removed[1, 0, 1] = removed[1, 2, 1] = True
    real = torch.tensor([[True, True, False], [True, True, True]])
    targets = [torch.randn(1, 2), torch.randn(2, 3)]
    x = network.rebuild(z)
    want = (x[0, 1, :2] - targets[0][0]).square().mean()
    want = want + (x[1, 0, 2:] - targets[1][0]).square().mean()
    want = (want + (x[1, 2, 2:] - targets[1][1]).square().mean()) / 5
    torch.testing.assert_close(network.reconstruction(z, removed, targets, real), want)


def test_relations_are_receiver_first_and_means_within_each() -> None:
    torch.manual_seed(0)
    conv = RelationalMean(3, 2, senders=2, receivers=2)
    u, who = torch.randn(1, 4, 3), torch.tensor([[0, 1, 1, 0]])
    near = torch.tensor([[[1, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]]]).bool()
    found = conv(u, near, who[:, None, :].expand(1, 4, 4), who)
    for i in range(4):
        want = u[0, i] @ conv.root + conv.bias
        for speaker in (0, 1):
            senders = [j for j in range(4) if near[0, i, j] and who[0, j] == speaker]
            if senders:
                want = want + u[0, senders].mean(0) @ conv.weight[2 * int(who[0, i]) + speaker]
        torch.testing.assert_close(found[0, i], want)


def test_the_past_window_reaches_behind_the_receiver() -> None:
    network = GcnetNetwork(replace(SMALL, window_past=1, window_future=0), 5, 2, [5], 1).eval()
    seen: dict[str, Tensor] = {}
    hook = lambda _, given: seen.update(near=given[1])  # noqa: E731
    network.temporal.conv1.register_forward_pre_hook(hook)
    length, real = torch.tensor([4]), torch.ones(1, 4, dtype=torch.bool)
    zero, segment = torch.zeros(1, 4, dtype=torch.int64), torch.arange(4)[None]
    network(torch.randn(1, 4, 5), Dialogue(real, length, zero, zero, segment, 1))
    assert torch.equal(seen["near"][0], torch.ones(4, 4).triu().tril(1).bool())


def test_missing_modalities_are_zeros_whatever_they_hold() -> None:
    model, batch = made()
    model.setup_fit(FitOf(batch))
    kept = torch.ones_like(batch.present)
    kept[:, 1] = False
    left = batch.keeping(kept)
    name = model.standardizer.names[1]
    other = left.features | {name: torch.randn_like(left.features[name])}
    torch.testing.assert_close(scores(model, replace(left, features=other)), scores(model, left))
    assert not torch.allclose(scores(model, batch), scores(model, left), atol=1e-4)
    nothing = scores(model, batch.keeping(torch.zeros_like(batch.present)))
    assert bool(torch.isfinite(nothing).all())
    torch.testing.assert_close(nothing, nothing[:1].expand_as(nothing))


class FitOf:
    """A training split of one batch."""

    def __init__(self, batch: Batch) -> None:
        self.batch, self.labels = batch, batch.targets

    def batches(self, batch_size: int) -> list[Batch]:
        return [self.batch]

    def __len__(self) -> int:
        return len(self.batch)


@pytest.mark.parametrize("attention", [False, True])
def test_a_score_depends_on_its_sample_alone(attention: bool) -> None:
    model, batch = made(attention=attention)
    whole = scores(model, batch)
    for index in ([6, 2, 0], [4]):
        torch.testing.assert_close(scores(model, rows(batch, torch.tensor(index))), whole[index])


@pytest.mark.parametrize("kind", ["singlelabel", "multilabel"])
def test_grids_are_dialogues_of_characters(kind: str) -> None:
    task = grids.task(kind=kind)  # type: ignore[arg-type]
    torch.manual_seed(0)
    model = Gcnet(replace(SMALL, mask_unit="both", mask_rate="0.5"), task)
    batch = grids.made_batch() if kind == "singlelabel" else multi(grids.made_batch())
    found = scores(model, batch)
    assert found.shape == (len(batch), 3) and bool(torch.isfinite(found).all())
    model.train()
    output = model.training_step(batch, Context(model, []))
    output.loss.backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None]
    assert not missing and float(output.terms["rec"]) > 0
    said = model.utterances(batch)
    dialogue = said.nodes.dialogue
    assert int(dialogue.lengths.max()) == dialogue.real.shape[1]
    wide = said.x.shape[-1]
    assert wide == (len(task.modalities) + 1) * 2 * SMALL.d_e


def multi(batch: Batch) -> Batch:
    """Return the batch with several labels a sample."""
    labels = (torch.arange(3 * len(batch)).view(-1, 3) % 2).float()
    return replace(batch, labels=labels)


def test_speakers_of_a_dialogue_are_told_apart_where_batches_name_them() -> None:
    task = made_task(max_length=6, step=0, speakers=True)
    batch = replace(made_batch(task, 4), speakers=torch.arange(24).view(4, 6) % 2)
    torch.manual_seed(0)
    model = Gcnet(replace(SMALL, speakers=2), task)
    found = scores(model, batch)
    assert torch.equal(model.nodes(batch, batch.as_grid()).dialogue.speaker, batch.speakers)
    alone = replace(batch, speakers=torch.zeros_like(batch.speakers))
    assert not torch.allclose(scores(model, alone), found, atol=1e-4)
    for index in ([2, 0], [3]):
        torch.testing.assert_close(scores(model, batch.select(index)), found[index])
    # In windows of two positions the first of them speaks.
    windows = Gcnet(replace(SMALL, speakers=2, max_frames=3), task)
    said = windows.utterances(replace(batch, speakers=torch.arange(6).repeat(4, 1) // 2 % 2))
    assert said.nodes.dialogue.speaker.tolist() == [[0, 1, 0]] * 4


@pytest.mark.parametrize("rate", ["often", "1.0", "-0.1", "nan"])
def test_a_rate_that_is_none_is_refused(rate: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.mask_rate"):
        GcnetConfig(mask_rate=rate)


def test_two_modalities_and_one() -> None:
    for names in (("text", "audio"), ("text",)):
        task = made_task(names, max_length=4, step=0)
        model, batch = Gcnet(SMALL, task), made_batch(task, 5)
        output = model.train().training_step(batch, Context(model, []))
        assert bool(output.loss.isfinite())
        if len(names) == 1:
            assert float(output.terms["rec"]) == 0.0
