"""`Grid`: rows spread to cells, target parts, devices, and sequences seen as grids."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.data.batch import Batch
from harness.data.grid import Grid


def sequences(seed: int, size: int = 3, lengths: tuple[int, int] = (4, 4)) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    features, mask = {}, {}
    for name, width, dim in (("text", lengths[0], 3), ("audio", lengths[1], 2)):
        valid = torch.rand(size, width, generator=generator) < 0.6
        features[name] = torch.randn(size, width, dim, generator=generator) * valid[..., None]
        mask[name] = valid
    present = torch.stack([m.any(1) for m in mask.values()], dim=1)
    return Batch(features, mask, present, present, tuple("abc"[:size]))


@given(st.integers(0, 10_000))
def test_a_sequence_is_a_grid_of_one_person(seed: int) -> None:
    batch = sequences(seed)
    grid = batch.as_grid()
    assert len(grid) == 3 and grid.exists.shape == (3, 1, 4)
    for name, values in batch.features.items():
        assert torch.equal(grid.dense(name)[:, 0], values)
        assert torch.equal(grid.valid(name)[:, 0], batch.mask[name])
        assert len(grid.rows[name]) == int(batch.mask[name].sum())
    anything = batch.mask["text"] | batch.mask["audio"]
    for i in range(3):
        where = anything[i].nonzero().flatten().tolist()
        assert int(grid.target_segment[i]) == (where[-1] if where else 0)
    assert torch.equal(grid.exists[:, 0], grid.segments)
    assert grid.persons.all() and grid.has_target.all() and grid.personality.shape == (3, 1, 0)


def test_unaligned_sequences_lie_side_by_side() -> None:
    batch = sequences(1, lengths=(2, 5))
    grid = batch.as_grid()
    assert grid.exists.shape == (3, 1, 5)
    assert torch.equal(grid.dense("text")[:, 0, :2], batch.features["text"])
    assert not grid.valid("text")[:, :, 2:].any()


def made() -> Grid:
    """Return two grids of 2 x 2 and 1 x 3, padded to 2 x 3; the second person speaks first."""
    index = torch.tensor([[[-1, 1, -1], [0, -1, -1]], [[-1, -1, 1], [-1, -1, -1]]])
    counts = torch.tensor([2, 1]), torch.tensor([2, 3])
    return Grid(
        rows={"text": torch.tensor([[1.0, 2.0], [3.0, 4.0]])},
        index={"text": index},
        exists=(torch.arange(2)[:, None] < counts[0][:, None, None])
        & (torch.arange(3) < counts[1][:, None, None]),
        characters=torch.tensor([[0, 4], [7, -1]]),
        personality=torch.zeros(2, 2, 1),
        target_person=torch.tensor([1, 0]),
        target_segment=torch.tensor([0, 2]),
        num_persons=counts[0],
        num_segments=counts[1],
        has_target=torch.tensor([True, False]),
    )


def test_cells_get_their_row_or_the_missing_vector() -> None:
    grid = made()
    missing = torch.tensor([9.0, -9.0, 0.5])
    weight = torch.randn(2, 3)
    cells = grid.cells("text", grid.rows["text"] @ weight, missing)
    for b in range(2):
        for n in range(2):
            for r in range(3):
                row = int(grid.index["text"][b, n, r])
                wanted = missing if row < 0 else grid.rows["text"][row] @ weight
                assert torch.allclose(cells[b, n, r], wanted)
    assert (grid.cells("text", torch.ones(2, 4))[~grid.valid("text")] == 0).all()


def test_gradients_reach_rows_and_the_missing_vector_once_per_cell() -> None:
    grid = made()
    rows = torch.ones(2, 1, requires_grad=True)
    missing = torch.zeros(1, requires_grad=True)
    grid.cells("text", rows, missing).sum().backward()
    assert rows.grad is not None and rows.grad.flatten().tolist() == [1.0, 2.0]
    assert missing.grad is not None and float(missing.grad) == 9.0


def test_a_modality_nobody_has() -> None:
    grid = made()
    empty = Grid(
        **{
            **vars(grid),
            "rows": {"text": torch.zeros(0, 2)},
            "index": {"text": torch.full((2, 2, 3), -1)},
        }
    )
    assert empty.dense("text").shape == (2, 2, 3, 2) and not empty.dense("text").any()


def test_target_parts() -> None:
    grid = made()
    dense = grid.dense("text")
    assert grid.target(dense).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert torch.equal(grid.target_row(dense)[0], dense[0, 1])
    assert grid.target_row(grid.characters).tolist() == [4, 7]
    assert grid.persons.tolist() == [[True, True], [True, False]]
    assert grid.segments.tolist() == [[True, True, False], [True, True, True]]


def test_to_moves_everything() -> None:
    grid = made()
    present = torch.ones(2, 1, dtype=torch.bool)
    batch = Batch({}, {}, present, present, ("a", "b"), grid=grid, focus=torch.zeros(2))
    moved = batch.to("meta")
    assert moved.grid is not None and moved.focus is not None and moved.focus.is_meta
    for value in vars(moved.grid).values():
        tensors = value.values() if isinstance(value, dict) else [value]
        assert all(t.is_meta for t in tensors)
