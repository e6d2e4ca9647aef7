from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from harness.errors import ConfigError
from harness.specs import TrainingConfig
from harness_baselines.hhmpn import Hhmpn, HhmpnConfig
from harness_baselines.hhmpn_labels import Fusion, label_graph
from tests.unit.baselines.crossmodal_made import batch_of, task_of

SMALL = {
    "size": 8,
    "encoder_heads": 2,
    "encoder_layers": 1,
    "memory_layers": 1,
    "decoder_heads": 2,
    "decoder_layers": 1,
    "feed_forward": 8,
}


def build(**changes: object) -> Hhmpn:
    torch.manual_seed(0)
    return Hhmpn(HhmpnConfig(**(SMALL | changes)), task_of())  # type: ignore[arg-type]


def test_label_graph_by_hand() -> None:
    labels = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0]])
    # S_01 = 1/sqrt(3), S_02 = 1/sqrt(6), S_12 = 0; label 3 never occurs.
    graph = label_graph(labels, 0.5)
    assert graph.tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [False, False, True, False],
        [False, False, False, True],
    ]
    assert label_graph(labels, 0.4)[0, 2]


def test_the_graph_blocks_messages_and_is_described() -> None:
    model = build().eval()
    labels = torch.eye(4)
    batch = batch_of(model.task, 3)
    with torch.no_grad():
        before = model.predict_step(batch)
        model.setup_fit(SimpleNamespace(labels=labels))  # type: ignore[arg-type]
        after = model.predict_step(batch)
    assert not torch.allclose(before, after)
    assert ["joy", "anger"] in model.describe()["blocked_pairs"]
    assert len(model.describe()["blocked_pairs"]) == 6
    assert torch.equal(model.state_dict()["graph"], torch.eye(4, dtype=torch.bool))


def test_without_label_messages_the_graph_is_not_read() -> None:
    model = build(label_to_label=False).eval()
    batch = batch_of(model.task, 3)
    with torch.no_grad():
        before = model.predict_step(batch)
        model.setup_fit(SimpleNamespace(labels=torch.eye(4)))  # type: ignore[arg-type]
        torch.testing.assert_close(model.predict_step(batch), before)


@pytest.mark.parametrize(("over", "axis"), [("modalities", 0), ("labels", 1)])
@torch.no_grad()
def test_fusion_weights_sum_to_one_over(over: str, axis: int) -> None:
    torch.manual_seed(0)
    fusion = Fusion(3, 8, over)  # type: ignore[arg-type]
    for part in fusion.maps:
        part.weight.zero_()  # type: ignore[operator]
        part.bias.fill_(1.0)  # type: ignore[operator]
    fusion.output.weight.copy_(torch.eye(8))
    fusion.output.bias.zero_()
    fused = fusion([torch.randn(2, 4, 8) for _ in range(3)])
    total = 1.0 if axis == 0 else 3 / 4
    torch.testing.assert_close(fused, torch.full((2, 4, 8), total))


@torch.no_grad()
def test_zero_steps_are_masked_and_an_empty_sample_attends_evenly() -> None:
    model = build().eval()
    batch = batch_of(model.task, 3)
    batch.features["text"][0, 2] = 0.0
    batch.features["text"][1] = 0.0
    text, visual, _ = model.memory_steps(batch)
    assert text.mask[0].tolist() == [True, True, False, True, True, True]
    assert text.mask[1].all() and text.even.tolist() == [False, True, False]
    assert not visual.even.any()
    ours = model.decoders[0][0].from_features  # type: ignore[index]
    memory = torch.randn(1, 6, 8)
    z = torch.randn(1, 4, 8)
    even = ours(z, memory, torch.ones(1, 1, 1, 6, dtype=torch.bool), torch.tensor([True]))
    mean = ours.output(ours.value(memory).mean(1, keepdim=True))
    torch.testing.assert_close(even, ours.norm(z + mean))
    plain = build(zero_steps="attend").memory_steps(batch)[0]
    assert plain.mask.all() and not plain.even.any()


@torch.no_grad()
def test_the_readout_is_the_diagonal_of_the_product() -> None:
    model = build().eval()
    batch = batch_of(model.task, 3)
    fused = model.fusion(model.label_states(batch))
    assert model.readout is not None
    product = model.readout(fused)
    torch.testing.assert_close(model.logits(batch), product.diagonal(dim1=1, dim2=2))
    tied = build(tie_readout=True).eval()
    fused = tied.fusion(tied.label_states(batch))
    product = fused @ tied.labels.T
    torch.testing.assert_close(tied.logits(batch), product.diagonal(dim1=1, dim2=2))


def test_released_streams_need_the_three_modalities_at_one_length() -> None:
    config = HhmpnConfig(**SMALL, streams="released")  # type: ignore[arg-type]
    assert Hhmpn(config, task_of()).routes == [(1, 0), (0, 2), (2, 1)]
    for task in (task_of((5, 6, 6)), task_of((6, 6), names=("text", "audio"))):
        with pytest.raises(ConfigError, match="streams=straight"):
            Hhmpn(config, task)


def test_adam_has_the_authors_betas() -> None:
    model = build()
    for name, betas in (("adam", (0.9, 0.98)), ("bertadam", (0.9, 0.999))):
        training = TrainingConfig(optimizer=name)  # type: ignore[arg-type]
        groups = model.configure_optimizers(training, 5)[0].param_groups
        assert all(group["betas"] == betas for group in groups)
