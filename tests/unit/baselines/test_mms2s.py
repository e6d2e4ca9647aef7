from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.batch import Batch
from harness.specs import ModalitySpec, TaskInfo, TrainingConfig
from harness_baselines.mms2s.likelihood import Steps, follow
from harness_baselines.mms2s.model import Mms2s, Mms2sConfig

LABELS = ("joy", "anger", "fear", "awe")
SMALL = Mms2sConfig(
    size=8, heads=2, inner=12, encoder_layers=1, decoder_layers=2, dropout=0.0, warmup_epochs=0
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Steps this small are slower, on a busy machine by far, when threads wait for each other."""
    torch.set_num_threads(1)


class Context:
    """A step context without optimisers."""

    optimizers: tuple[torch.optim.Optimizer, ...] = ()
    epoch, step, total_steps = 0, 0, 10
    generator = torch.Generator()


def made(
    names: tuple[str, ...] = ("text", "face", "a.voice"),
    *,
    labels: tuple[str, ...] = LABELS,
    config: Mms2sConfig = SMALL,
    **task: Any,
) -> Mms2s:
    torch.manual_seed(0)
    streams = tuple(ModalitySpec(n, n[0], 3 + i, 4 + i) for i, n in enumerate(names))
    return Mms2s(config, TaskInfo("made", streams, labels, **task))


def batch_for(model: Mms2s, size: int, seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    streams, count = model.task.modalities, model.task.num_labels
    labels = torch.randint(0, 2, (size, count), generator=generator).float()
    if model.task.label_kind == "singlelabel":
        labels = F.one_hot(labels.argmax(1), count).float()
    present = torch.ones(size, len(streams), dtype=torch.bool)
    lengths = torch.randint(1, 5, (size, 1), generator=generator)
    mask = {m.name: torch.arange(m.max_length) < lengths for m in streams}
    features = {
        m.name: torch.randn(size, m.max_length, m.dim, generator=generator) for m in streams
    }
    features = {k: torch.where(mask[k][..., None], x, 0.0) for k, x in features.items()}
    return Batch(features, mask, present, present, tuple(map(str, range(size))), labels)


def rows_of(batch: Batch, rows: Any) -> Batch:
    return Batch(
        {k: v[rows] for k, v in batch.features.items()},
        {k: v[rows] for k, v in batch.mask.items()},
        batch.present[rows],
        batch.natural[rows],
        tuple(batch.ids[i] for i in torch.arange(len(batch))[rows].tolist()),
        None if batch.labels is None else batch.labels[rows],
    )


def scores(model: Mms2s, batch: Batch) -> Tensor:
    with torch.no_grad():
        return model.eval().predict_step(batch.without_labels())


GATE = replace(SMALL, modality_attention="gate")


@pytest.mark.parametrize("names", [("text",), ("x", "y"), ("text", "face", "a.voice", "pulse")])
@pytest.mark.parametrize("kind", ["multilabel", "singlelabel"])
@pytest.mark.parametrize("config", [SMALL, GATE], ids=["soft", "gate"])
def test_any_modalities_train_and_predict(
    names: tuple[str, ...], kind: str, config: Mms2sConfig
) -> None:
    model = made(names, config=config, label_kind=kind)
    batch = batch_for(model, 5)
    out = model.training_step(batch, Context())  # type: ignore[arg-type]
    out.loss.backward()
    without = {n for n, p in model.named_parameters() if p.grad is None}
    # With one modality no score is compared with another; a lone branch needs no gate.
    assert not without
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    result = scores(model, batch)
    assert result.shape == (5, 4)
    assert (result >= 0).all() and (result <= 1).all()
    if kind == "singlelabel":
        torch.testing.assert_close(result.sum(1), torch.ones(5))


@pytest.mark.parametrize("config", [SMALL, GATE], ids=["soft", "gate"])
def test_a_sample_scores_alone_as_in_company_and_in_any_order(config: Mms2sConfig) -> None:
    model = made(config=config)
    batch = batch_for(model, 7)
    together = scores(model, batch)
    for row in (0, 3, 6):
        torch.testing.assert_close(scores(model, rows_of(batch, [row])), together[row : row + 1])
    order = torch.tensor([4, 2, 6, 0, 1, 5, 3])
    torch.testing.assert_close(scores(model, rows_of(batch, order)), together[order])
    alone = rows_of(batch, [2])
    assert model.training_step(alone, Context()).loss.isfinite()  # type: ignore[arg-type]


@pytest.mark.parametrize("frames", [0, 2])
def test_padding_changes_nothing(frames: int) -> None:
    model = made(config=replace(SMALL, max_frames=frames))
    batch = batch_for(model, 4)
    longer = replace(
        batch,
        features={k: F.pad(x, (0, 0, 0, 3), value=9.0) for k, x in batch.features.items()},
        mask={k: F.pad(x, (0, 3)) for k, x in batch.mask.items()},
    )
    torch.testing.assert_close(scores(model, longer), scores(model, batch))


@pytest.mark.parametrize("config", [SMALL, GATE], ids=["soft", "gate"])
def test_missing_modality_is_independent_of_its_values(config: Mms2sConfig) -> None:
    model = made(config=config)
    batch = batch_for(model, 3)
    present = batch.present.clone()
    present[1, 0] = False
    present[2] = False
    seen = replace(batch, present=present)
    features = {k: v.clone() for k, v in batch.features.items()}
    features["text"][1:] = 7.0
    features["face"][2] = -3.0
    other = replace(seen, features=features)
    torch.testing.assert_close(scores(model, other), scores(model, seen))
    assert not torch.allclose(scores(model, seen)[1], scores(model, batch)[1])
    mask = {k: v.clone() for k, v in batch.mask.items()}
    mask["text"][1:] = False
    mask["face"][2] = mask["a.voice"][2] = False
    emptied = replace(seen, mask=mask)
    for form in (seen, emptied, emptied.with_null_positions()):
        torch.testing.assert_close(scores(model, form), scores(model, seen))
        out = model.training_step(form, Context())  # type: ignore[arg-type]
        model.zero_grad()
        out.loss.backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_the_declared_threshold_gives_the_most_probable_set() -> None:
    for threshold in (0.25, 0.5):
        model = made(threshold=threshold)
        batch = batch_for(model, 40)
        analysis = model.analysis(batch.without_labels())
        native = scores(model, batch)
        assert torch.equal(native > threshold, analysis["label_set"])
        marginal = made(config=replace(SMALL, native_decision=False), threshold=threshold)
        torch.testing.assert_close(scores(marginal, batch), analysis["marginals"])
        assert not torch.equal(analysis["marginals"] > threshold, analysis["label_set"])


def test_warm_up_uses_the_frequency_order_then_the_set() -> None:
    model = made(config=replace(SMALL, warmup_epochs=1, label_smoothing=0.0))
    labels = torch.tensor([[0.0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 1, 0], [1, 1, 1, 1]])

    class Data:
        def __init__(self) -> None:
            self.labels = labels

    model.setup_fit(Data())  # type: ignore[arg-type]
    assert model.frequency_order.tolist() == [1, 3, 2, 0]
    batch = replace(batch_for(model, 1), labels=torch.tensor([[1.0, 1, 0, 0]]))
    ctx = Context()
    ordered = model.training_step(batch, ctx).loss  # type: ignore[arg-type]
    ctx.epoch = 1
    both = model.training_step(batch, ctx).loss  # type: ignore[arg-type]
    assert both < ordered
    memory = model.remember(batch)
    sequences = torch.tensor([[1, 0], [0, 1]])
    owner, lengths = torch.zeros(2, dtype=torch.long), torch.full((2,), 2)
    log_probs = follow(model.decoder, memory, owner, sequences, lengths).sequence_log_probs()
    torch.testing.assert_close(ordered, -log_probs[0])
    torch.testing.assert_close(both, -log_probs.logsumexp(0))


def test_smoothing_spreads_over_the_symbols_still_open() -> None:
    probabilities = torch.tensor([[[0.5, 0.25, 0.25], [0.0, 0.4, 0.6]]])
    steps = Steps(
        probabilities.log(), torch.tensor([[0, 2]]), torch.ones(1, 2, dtype=torch.bool), Tensor()
    )
    p = probabilities.log()[0]
    expected = -0.9 * (p[0, 0] + p[1, 2]) - 0.1 * (p[0].mean() + p[1, 1:].mean())
    torch.testing.assert_close(steps.smoothed_loss(0.1), expected[None])


def test_the_rate_rises_linearly_and_then_stays() -> None:
    model = made()
    ctx = Context()
    ctx.total_steps = 10
    training = TrainingConfig(optimizer="adam", lr=1.0, warmup=0.4)
    ctx.optimizers = tuple(model.configure_optimizers(training, 10))
    rates = []
    for step in range(7):
        ctx.step = step
        model.on_step_start(ctx)  # type: ignore[arg-type]
        rates.append(ctx.optimizers[0].param_groups[0]["lr"])
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]


def test_modality_weights_belong_to_produced_labels_and_sum_to_one() -> None:
    for config in (SMALL, GATE):
        model = made(config=config)
        batch = batch_for(model, 20)
        present = batch.present.clone()
        present[::2, 1] = False
        weights = model.analysis(replace(batch, present=present, labels=None))["modality_attention"]
        total = weights.sum(2)
        assert ((total - 1).abs().lt(1e-5) | (total == 0)).all() and total.any()
        assert (weights[::2, :, 1] == 0).all() and weights[1::2, :, 1].any()


def test_half_precision_keeps_the_likelihood_in_float32() -> None:
    model = made()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model.training_step(batch_for(model, 4), Context())  # type: ignore[arg-type]
    out.loss.backward()
    exact = made().training_step(batch_for(model, 4), Context())  # type: ignore[arg-type]
    assert out.loss.dtype == torch.float32
    torch.testing.assert_close(out.loss, exact.loss, rtol=0.05, atol=0)


def test_set_objective_beats_independent_sigmoids_where_labels_depend_on_labels() -> None:
    """Card, test 7: c and d come only with b, and which of them no input tells.

    Sets {a} .45, {b, c} .3, {b, d} .25 (or the like with a and b exchanged, as the input says):
    marginals above one half give {b}, which never occurs.
    """
    generator = torch.Generator().manual_seed(0)

    def draw(count: int) -> tuple[Tensor, Tensor]:
        z = torch.randint(0, 2, (count,), generator=generator)
        pick = torch.multinomial(torch.tensor([0.45, 0.3, 0.25]), count, True, generator=generator)
        sets = torch.tensor([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 1]])[pick]
        sets[:, :2] = torch.where(z[:, None] == 1, sets[:, :2].flip(1), sets[:, :2])
        x = (2.0 * z - 1)[:, None] + 0.3 * torch.randn(count, 3, generator=generator)
        return x, sets

    def batch(x: Tensor, labels: Tensor) -> Batch:
        here = torch.ones(len(x), 1, dtype=torch.bool)
        return Batch({"text": x[:, None]}, {"text": here}, here, here, ("",) * len(x), labels)

    config = replace(SMALL, size=16, heads=2, inner=16, decoder_layers=1)
    torch.manual_seed(0)
    model = Mms2s(config, TaskInfo("made", (ModalitySpec("text", "t", 3, 1),), LABELS))
    linear = nn.Linear(3, 4)
    optimizer = torch.optim.Adam([*model.parameters(), *linear.parameters()], 0.01)
    for _ in range(150):
        x, labels = draw(64)
        optimizer.zero_grad()
        loss = model.training_step(batch(x, labels), Context()).loss  # type: ignore[arg-type]
        (loss + F.binary_cross_entropy_with_logits(linear(x), labels)).backward()
        optimizer.step()
    x, labels = draw(1000)
    as_sets = ((scores(model, batch(x, labels)) > 0.5) == labels.bool()).all(1).float().mean()
    independent = ((linear(x) > 0) == labels.bool()).all(1).float().mean()
    assert as_sets > 0.4
    assert as_sets > independent + 0.2


def test_a_wide_beam_decides_for_the_exactly_most_probable_set() -> None:
    model = made(labels=("a", "b", "c"), config=replace(SMALL, beam=40)).eval()
    batch = batch_for(model, 30)
    sets = torch.cartesian_prod(*[torch.tensor([False, True])] * 3)
    with torch.no_grad():
        memory = model.remember(batch)
        owner = torch.arange(30).repeat_interleave(8)
        exact = model.likelihood(model.decoder, memory, sets.repeat(30, 1), owner).view(30, 8)
        found = model.candidates(memory)
    assert torch.equal(found.best(), sets[exact.argmax(1)])
    expected = (exact.exp()[..., None] * sets.float()).sum(1)
    torch.testing.assert_close(found.marginals(), expected, atol=1e-5, rtol=1e-5)
