"""BiLSTM+TFN and BiLSTM+LMF: the fusions' algebra, missing modalities, options."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from harness.errors import ConfigError
from harness.model import SharedEncodings
from harness.nn.dropout import RandomWords, keep_mask
from harness.nn.dropout import kept as share_kept
from harness.specs import TaskInfo
from harness_baselines.bilstm_lmf import BilstmLmf, BilstmLmfConfig, LowRankFusion
from harness_baselines.bilstm_tfn import BilstmTfn, BilstmTfnConfig
from harness_baselines.fusion_subnets import ReferenceFront, VectorSubnet
from harness_baselines.tensor_fusion import _blocks, fused_linear, tensor_fusion, with_one
from tests.unit.baselines import grids

SMALL: dict[str, Any] = {"d_e": 3, "bilstm_hidden": 3, "fusion_dim": 3}
SEQUENCES = TaskInfo("made", grids.MODALITIES, grids.LABELS)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_tensor_holds_all_products_first_modality_slowest() -> None:
    a, v, t = torch.randn(2, 3), torch.randn(2, 2), torch.randn(2, 4)
    z = tensor_fusion([a, v, t]).view(2, 4, 3, 5)
    torch.testing.assert_close(z[:, 0, 0, 0], torch.ones(2))
    torch.testing.assert_close(z[:, 1:, 0, 0], a)
    torch.testing.assert_close(z[:, 0, 0, 1:], t)
    torch.testing.assert_close(z[1, 2, 1, 3], a[1, 1] * v[1, 0] * t[1, 2])


def test_zeros_leave_the_tensor_of_the_others() -> None:
    a, v = torch.randn(2, 3), torch.randn(2, 2)
    z = tensor_fusion([a, torch.zeros(2, 4), v]).view(2, 4, 5, 3)
    torch.testing.assert_close(z[:, :, 0].flatten(1), tensor_fusion([a, v]))
    assert (z[:, :, 1:] == 0).all()


def _vectors(sizes: tuple[int, ...], batch: int = 64) -> list[torch.Tensor]:
    return [torch.randn(batch, d, dtype=torch.float64, requires_grad=True) for d in sizes]


@pytest.mark.parametrize("sizes", [(5,), (5, 2), (3, 4, 2), (2, 3, 1, 2)])
def test_the_tensor_need_not_be_formed(sizes: tuple[int, ...]) -> None:
    vectors = _vectors(sizes, 4)
    weight, bias = torch.randn(3, math.prod(d + 1 for d in sizes)).double(), torch.randn(3).double()
    for rate, training in ((0.4, False), (0.0, True)):
        found = fused_linear(vectors, weight, bias, rate, training)
        torch.testing.assert_close(found, tensor_fusion(vectors) @ weight.t() + bias)


def test_fused_dropout_is_dropout_of_the_tensor() -> None:
    vectors = _vectors((20, 9, 30))
    weight = torch.randn(3, 21 * 10 * 31, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(3, dtype=torch.float64)
    torch.manual_seed(3)
    found = fused_linear(vectors, weight, bias, 0.4, True)
    torch.manual_seed(3)
    rest, words = tensor_fusion(vectors[1:]), RandomWords()
    parts = list(_blocks(with_one(vectors[0]), rest))
    assert len(parts) > 1
    mask = torch.cat([keep_mask((64, p.stop - p.start, 310), 0.4, words) for p in parts], dim=1)
    assert 0.55 < mask.double().mean() < 0.65
    wanted = (tensor_fusion(vectors) * mask.flatten(1) / share_kept(0.4)) @ weight.t()
    torch.testing.assert_close(found, wanted)
    inputs, upstream = [*vectors, weight], torch.randn_like(wanted)
    pairs = (torch.autograd.grad(x, inputs, upstream) for x in (found, wanted))
    for ours, theirs in zip(*pairs, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_low_rank_fusion_is_a_linear_map_of_the_tensor() -> None:
    fusion = LowRankFusion([3, 2, 4], rank=2, outputs=5)
    torch.nn.init.normal_(fusion.bias)
    vectors = [torch.randn(6, d) for d in (3, 2, 4)]
    first, second, third = fusion.factors
    weight = torch.einsum("r,rio,rjo,rko->oijk", fusion.weights[0], first, second, third)
    wanted = tensor_fusion(vectors) @ weight.flatten(1).t() + fusion.bias
    torch.testing.assert_close(fusion(vectors), wanted)


def test_first_values_of_the_factors_count_the_label_axis() -> None:
    torch.manual_seed(0)
    factor = LowRankFusion([63], rank=8, outputs=50).factors[0]
    wanted = (2.0 / (64 * 50 + 8 * 50)) ** 0.5
    assert factor.std().item() == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize("personality", ["concat", "mode", "off"])
def test_other_persons_do_not_matter(personality: Any) -> None:
    """It reads one person, which sets it apart from AMER."""
    model = BilstmTfn(BilstmTfnConfig(**SMALL, personality=personality), grids.task()).eval()
    dense, valid, shapes, people, target = grids.made_cells()
    scores = model.predict_step(grids.batch_of(grids.sparse(dense, valid, shapes, people, target)))
    own = torch.arange(valid["text"].shape[1]) == target[:, :1]
    shuffled = {m: torch.where(own[..., None, None], x, x + 1.0) for m, x in dense.items()}
    hidden = {m: x & own[..., None] for m, x in valid.items()}
    for kept in (valid, hidden):
        grid = grids.sparse(shuffled, kept, shapes, people, target)
        torch.testing.assert_close(model.predict_step(grids.batch_of(grid)), scores)


def test_a_modality_missing_at_all_of_a_person_s_segments_is_zero() -> None:
    model = BilstmLmf(BilstmLmfConfig(**SMALL), grids.task())
    dense, valid, *rest = grids.made_cells()
    valid["audio"][2:4] = False
    found = model.front(grids.batch_of(grids.sparse(dense, valid, *rest)))
    there = torch.stack([v.any() for v in found[1]])
    assert not there[2:4].any() and there.any()


def test_context_fills_a_gap_at_the_target() -> None:
    model = BilstmLmf(BilstmLmfConfig(d_e=3, fusion_dim=16), grids.task()).eval()
    dense, valid, shapes, people, _ = grids.made_cells()
    valid["text"][5, 0] = torch.tensor([1, 1, 0, 0, 0, 0], dtype=torch.bool)
    target = torch.zeros(len(shapes), 2, dtype=torch.int64)
    target[5, 1] = 3
    vectors = []
    for shift in (0.0, 1.0):
        dense["text"][5, 0, :2] += shift
        batch = grids.batch_of(grids.sparse(dense, valid, shapes, people, target))
        vectors.append(model.front(batch)[2][5])
    assert not torch.allclose(*vectors)


@pytest.mark.parametrize("kind", ["multilabel", "singlelabel"])
def test_encodings_are_shared_where_each_modality_is_encoded_alone(kind: Any) -> None:
    """Everybody's cells, which multi-label grids are read by, are those of any modality."""
    task = grids.task(kind=kind, personality_dim=0)
    model = BilstmTfn(BilstmTfnConfig(d_e=4, bilstm_hidden=3), task).eval()
    batch = grids.made_batch().without_labels()
    shared, kept = SharedEncodings(model, batch), torch.ones_like(batch.present)
    kept[:, 1:] = False
    with torch.no_grad():
        gap = (shared.scores(kept) - model.predict_step(batch.keeping(kept))).abs().max()
    assert model.shares_encodings == (kind == "singlelabel") == (gap < 1e-6)


def test_personality_as_a_factor() -> None:
    model = BilstmTfn(BilstmTfnConfig(**SMALL, personality="mode"), grids.task())
    assert model.front.dims == [3, 3, 3, 8]
    assert model.head.post_fusion_layer_1.in_features == 4**3 * 9


def test_reference_subnets_ignore_padding_and_company_in_evaluation() -> None:
    config = BilstmTfnConfig(**SMALL, subnets="reference", text_hidden=4)
    model, batch = BilstmTfn(config, SEQUENCES), grids.made_sequences()
    model.training_step(batch, None).loss.backward()  # type: ignore[arg-type]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    scores = model.eval().predict_step(batch)
    one = replace(
        batch,
        features={k: torch.nn.functional.pad(x[5:], (0, 0, 0, 3), value=5.0)
                  for k, x in batch.features.items()},
        mask={k: torch.nn.functional.pad(x[5:], (0, 3)) for k, x in batch.mask.items()},
        present=batch.present[5:],
    )  # fmt: skip
    torch.testing.assert_close(model.predict_step(one), scores[5:])


def test_reference_subnets_keep_missing_rows_out_of_the_batch_s_statistics() -> None:
    front = ReferenceFront(SEQUENCES, 4, [3, 3, 3], 0.0, False).train()
    batch = grids.made_sequences()
    vectors = front(batch)
    assert (vectors[0][5] == 0).all()
    kept = replace(
        batch,
        features={k: x[:5] for k, x in batch.features.items()},
        mask={k: x[:5] for k, x in batch.mask.items()},
        present=batch.present[:5],
    )
    torch.testing.assert_close(front(kept)[0], vectors[0][:5])


def test_one_sample_is_normalised_with_running_statistics() -> None:
    subnet = VectorSubnet(3, 2, 0.0).train()
    x = torch.randn(1, 3)
    alone = subnet(x)
    torch.testing.assert_close(subnet.eval()(x), alone)


def test_impossible_options_are_named() -> None:
    with pytest.raises(ConfigError, match="subnets"):
        BilstmTfn(BilstmTfnConfig(**SMALL, subnets="reference"), grids.task())
    with pytest.raises(ConfigError, match="fusion_dim=200"):
        BilstmTfn(BilstmTfnConfig(d_e=3, bilstm_hidden=3, fusion_dim=200), grids.task())
    with pytest.raises(ConfigError, match="'speech'"):
        BilstmLmf(BilstmLmfConfig(**SMALL, sizes={"speech": 3}), grids.task())


def test_size_of_the_published_fusions() -> None:
    task = replace(grids.task(), labels=tuple("abcdefghi"))
    tensor = BilstmTfn(BilstmTfnConfig(), task).head
    low_rank = BilstmLmf(BilstmLmfConfig(), task).head
    assert tensor.post_fusion_layer_1.weight.numel() == 33**3 * 128
    assert sum(p.numel() for p in low_rank.parameters()) == 3_577
