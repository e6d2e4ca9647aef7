from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from harness.nn.cell_attention import between_persons, masked_weights, over_segments
from harness.nn.cell_encoder import CellEncoders, hidden_multiples
from harness.nn.standardize import GridStandardizer
from harness.nn.target_cell import target_cells
from harness.specs import ModalitySpec
from tests.unit.baselines.grids import (
    MODALITIES,
    PERSONALITY_DIM,
    made_batch,
    made_cells,
    made_sequences,
    sparse,
)

NAMES = tuple(m.name for m in MODALITIES)


def encoders(width: int = 4) -> CellEncoders:
    torch.manual_seed(0)
    return CellEncoders(MODALITIES, PERSONALITY_DIM, width)


def test_cells_are_the_dense_encoding() -> None:
    block, (dense, valid, *rest) = encoders(), made_cells()
    grid = sparse(dense, valid, *rest)
    encoded, zero = block.cells(grid), block.cells(grid, missing="zero")
    for m in NAMES:
        whole = block.encoders[m](dense[m])
        torch.testing.assert_close(encoded[m], whole)
        assert torch.equal(zero[m] != 0, (valid[m][..., None] & (zero[m] != 0)))
        torch.testing.assert_close(zero[m][valid[m]], whole[valid[m]])
    torch.testing.assert_close(block.personality(grid), block.person(grid.personality))  # type: ignore[misc]


def test_a_modality_without_rows_has_gradients_of_zero() -> None:
    block, (dense, valid, *rest) = encoders(), made_cells()
    valid["audio"] = torch.zeros_like(valid["audio"])
    cells = block.cells(sparse(dense, valid, *rest), missing="zero")
    sum(x.square().sum() for x in cells.values()).backward()  # type: ignore[union-attr]
    assert all((p.grad == 0).all() for p in block.encoders["audio"].parameters())
    assert all(p.grad.any() for p in block.encoders["text"].parameters())  # type: ignore[union-attr]


def test_published_tables_at_true_size() -> None:
    modalities = [
        ModalitySpec(n, n[0], d, 12) for n, d in zip("vat", (4302, 6373, 1024), strict=True)
    ]
    sizes = CellEncoders(modalities, 118, 2)
    found = [[tuple(x.weight.shape) for x in e.layers] for e in sizes.encoders.values()]
    assert found == [
        [(8, 4302), (6, 8), (4, 6)],
        [(16, 6373), (8, 16), (4, 8)],
        [(8, 1024), (4, 8)],
    ]
    assert hidden_multiples(ModalitySpec("gaze", "g", 40, 12)) == (4,)
    own = CellEncoders(modalities, 0, 2, hidden={"a": (5,)})
    assert [x.out_features for x in own.encoders["a"].layers] == [10, 4]
    with pytest.raises(ValueError, match="without personality"):
        own.personality(made_batch().as_grid())


def literal_attention(x: Tensor, valid: Tensor, persons: int, segments: int, target: int) -> Tensor:
    """Steps 2 and 3 for one sample and modality by loops; x [N, R, E], valid [N, R] -> [N, E]."""
    scale = 0.5
    y = torch.zeros_like(x)
    for s in range(segments):
        for i in range(persons):
            scores = [
                (x[i, s] @ x[j, s]) * scale if valid[j, s] else torch.tensor(-1e9)
                for j in range(persons)
            ]
            weights = torch.stack(scores).softmax(0)
            y[i, s] = x[i, s] + sum(w * x[j, s] for j, w in enumerate(weights))
    z = torch.zeros_like(x[:, 0])
    for n in range(persons):
        scores = [
            (y[n, target] @ y[n, s]) * scale if valid[n, s] else torch.tensor(-1e9)
            for s in range(segments)
        ]
        weights = torch.stack(scores).softmax(0)
        z[n] = y[n, target] + sum(w * y[n, s] for s, w in enumerate(weights))
    return z


def test_attention_is_the_literal_one() -> None:
    dense, valid, shapes, people, target = made_cells()
    grid = sparse(dense, valid, shapes, people, target)
    for m in NAMES:
        x, there = dense[m].transpose(1, 2)[None], valid[m].transpose(1, 2)[None]
        y = between_persons(x, there, grid.persons, 0.5)
        z = over_segments(y, there, grid.segments, grid.target_segment, 0.5)[0]
        assert z.isfinite().all()
        for b, (n, r) in enumerate(shapes.tolist()):
            wanted = literal_attention(dense[m][b], valid[m][b], n, r, int(target[b, 1]))
            torch.testing.assert_close(z[b, :n], wanted[:n])


@given(st.lists(st.sampled_from(["valid", "missing", "padding"]), min_size=1, max_size=6))
def test_weights_never_go_to_padding_and_to_missing_only_if_all_are(kinds: list[str]) -> None:
    kinds = ["missing", *kinds]
    valid = torch.tensor([k == "valid" for k in kinds])
    real = torch.tensor([k != "padding" for k in kinds])
    weights = masked_weights(torch.linspace(-3, 3, len(kinds)), valid, real)
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0))
    assert (weights[~real] == 0).all()
    if valid.any():
        assert (weights[~valid] == 0).all()
    else:
        torch.testing.assert_close(
            weights[real], torch.full((int(real.sum()),), 1 / int(real.sum()))
        )


def test_statistics_are_those_of_all_valid_cells() -> None:
    batches = [made_batch(seed=0), made_batch(seed=1)]
    block = GridStandardizer(MODALITIES, PERSONALITY_DIM)
    block.fit(batches)
    grids = [b.as_grid() for b in batches]
    for m in NAMES:
        rows = torch.cat([g.dense(m)[g.valid(m)] for g in grids])
        scaled = torch.cat([(s := block(g)).dense(m)[s.valid(m)] for g in grids])
        deviation, mean = torch.std_mean(rows, 0, correction=0)
        torch.testing.assert_close(scaled, (rows - mean) / deviation)
    people = torch.cat([block(g).personality[g.persons] for g in grids])
    torch.testing.assert_close(people.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    assert all((block(g).personality[~g.persons] == 0).all() for g in grids)


def test_a_row_shared_by_cells_counts_for_each_and_a_constant_feature_is_only_centred() -> None:
    dense, valid, *rest = made_cells()
    grid = sparse(dense, valid, *rest)
    grid.rows["text"][:, 0] = 5.0
    first = grid.index["text"] == 0
    grid.index["text"][grid.exists & ~grid.valid("text")] = 0
    block = GridStandardizer(MODALITIES, 0)
    batch = made_batch()
    block.fit([type(batch)({}, {}, batch.present, batch.natural, batch.ids, grid=grid)])
    wanted = grid.dense("text")[grid.valid("text")].mean(0)
    torch.testing.assert_close(block.get_buffer("mean2"), wanted)
    assert first.sum() == 1 and (block(grid).rows["text"][:, 0] == 0).all()


def test_target_cells_and_their_places() -> None:
    dense, valid, shapes, people, target = made_cells()
    cells = target_cells(sparse(dense, valid, shapes, people, target), NAMES, mean=False)
    samples = torch.arange(len(shapes))
    for k, m in enumerate(NAMES):
        there = valid[m][samples, target[:, 0], target[:, 1]]
        assert torch.equal(cells.valid[:, k], there)
        wanted = dense[m][samples, target[:, 0], target[:, 1]]
        assert torch.equal(cells.place(k, cells.rows[m]), wanted)
    assert torch.equal(cells.personality, people[samples, target[:, 0]])


@pytest.mark.parametrize("aligned", [True, False])
def test_means_of_sequences(aligned: bool) -> None:
    batch = made_sequences(aligned=aligned)
    cells = target_cells(batch.as_grid(), NAMES, mean=True)
    assert torch.equal(cells.valid, batch.present)
    for k, m in enumerate(NAMES):
        counts = batch.mask[m].sum(1, keepdim=True).clamp(min=1)
        torch.testing.assert_close(cells.place(k, cells.rows[m]), batch.features[m].sum(1) / counts)
