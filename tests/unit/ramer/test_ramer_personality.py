"""Personality and the attentions between persons and over segments, against literal loops."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.data.grid import Grid
from harness.specs import TaskInfo, TrainingConfig
from harness_ramer.grid import PersonEmbedding, PersonMixing, attended, distances, encoded_cells
from harness_ramer.public import RamerPublic
from harness_ramer.ramer import Ramer
from tests.unit.ramer.made import VAT, Context, batch_of, paper_config, public_config, task_of
from tests.unit.ramer.made_grid import grid_batch, grid_task, permuted, with_grid

SIZES = ((3, 4), (1, 1), (2, 5), (5, 2), (4, 3))
TRAINING = TrainingConfig(optimizer="bertadam", lr=3e-3)


def ramer(*ablate: str, seed: int = 0) -> Ramer:
    torch.manual_seed(seed)
    return Ramer(paper_config(ablate=ablate), grid_task()).eval()


def scores(model: Ramer | RamerPublic, batch: Batch) -> Tensor:
    with torch.no_grad():
        return model.predict_step(batch.without_labels())


def grid_of(batch: Batch) -> Grid:
    assert batch.grid is not None
    return batch.grid


def attend(query: Tensor, keys: list[Tensor], there: list[bool], scale: float) -> Tensor:
    """Return query + sum of softmax-weighted keys; missing keys score -1e9 (amer.md, step 2)."""
    raw = [float(query @ k) * scale if t else -1e9 for k, t in zip(keys, there, strict=True)]
    top = max(raw)
    weights = [math.exp(v - top) for v in raw]
    return query + sum(w / sum(weights) * k for w, k in zip(weights, keys, strict=True))


@pytest.mark.parametrize("personality", [True, False])
def test_mixing_equals_loops_over_persons_and_segments(personality: bool) -> None:
    torch.manual_seed(0)
    grid = grid_of(grid_batch(grid_task(), SIZES, share=0.4))
    mixing = PersonMixing(8, personality=personality).double()
    cells = torch.randn(*grid.exists.shape, 8, dtype=torch.float64)
    person = torch.randn(*grid.persons.shape, 8, dtype=torch.float64)
    valid = grid.valid("text")
    out = mixing(cells, person if personality else None, valid, grid.persons, grid.segments)
    for b, (n, r) in enumerate(SIZES):
        x = [
            [torch.cat([cells[b, i, s], person[b, i]]) if personality else cells[b, i, s]]
            for i in range(n)
            for s in range(r)
        ]
        at = {(i, s): x[i * r + s][0] for i in range(n) for s in range(r)}
        there = {(i, s): bool(valid[b, i, s]) for i in range(n) for s in range(r)}
        y = {
            (i, s): attend(
                at[i, s], [at[j, s] for j in range(n)], [there[j, s] for j in range(n)], 0.25
            )
            for i, s in at
        }
        for i, s in at:
            keys, seen = [y[i, u] for u in range(r)], [there[i, u] for u in range(r)]
            z = attend(y[i, s], keys, seen, 0.25)
            torch.testing.assert_close(out[b, i, s], mixing.project(z))


def test_alone_in_one_segment_the_cell_is_doubled_twice() -> None:
    mixing = PersonMixing(8, personality=False)
    cell, one = torch.randn(1, 1, 1, 8), torch.ones(1, 1, dtype=torch.bool)
    for there in (True, False):
        valid = torch.full((1, 1, 1), there)
        mixed = mixing(cell, None, valid, one, one)
        torch.testing.assert_close(mixed, mixing.project(4.0 * cell))


def test_encoding_of_distinct_rows_equals_the_encoder_over_each_person() -> None:
    model, batch = ramer(), grid_batch(grid_task(), SIZES)
    grid, embedding = grid_of(batch), model.embedding
    assert isinstance(embedding, PersonEmbedding)
    for m, encoder in zip(VAT, embedding.encoders, strict=True):
        with torch.no_grad():
            encoder.norm.bias.normal_()
            cells = encoded_cells(encoder, grid, m.name)
        dense, bert = grid.dense(m.name), encoder.encoder
        for b, (n, r) in enumerate(SIZES):
            place = distances(grid)[b, :r]
            order = place.argsort()
            for i in range(n):
                seen = grid.valid(m.name)[b, i, :r]
                seen = seen if seen.any() else torch.ones_like(seen)
                # Positions by distance from the target: holes are positions nobody is at.
                wide = torch.zeros(1, int(place.max()) + 1, m.dim)
                mask = torch.zeros(1, wide.shape[1], dtype=torch.bool)
                wide[0, place], mask[0, place] = dense[b, i, :r], seen
                alone = bert(encoder.norm(wide), mask)[0, place]
                torch.testing.assert_close(cells[b, i, :r], alone)
                assert place[order[0]] == 0
        assert not cells[~grid.persons].any()


def test_positions_count_from_the_target_segment() -> None:
    grid = replace(
        grid_of(grid_batch(grid_task(), ((1, 5), (1, 5)))), target_segment=torch.tensor([2, 4])
    )
    assert distances(grid).tolist() == [[3, 1, 0, 2, 4], [7, 5, 3, 1, 0]]


def test_scores_do_not_depend_on_the_rest_of_the_batch() -> None:
    model = ramer()
    whole = scores(model, grid_batch(grid_task(), SIZES))
    assert whole.isfinite().all() and torch.allclose(whole.sum(1), torch.ones(len(SIZES)))
    batch = grid_batch(grid_task(), SIZES)
    grid = grid_of(batch)
    for b, (n, r) in enumerate(SIZES):
        own = replace(
            grid,
            index={m: x[b : b + 1, :n, :r] for m, x in grid.index.items()},
            exists=grid.exists[b : b + 1, :n, :r],
            characters=grid.characters[b : b + 1, :n],
            personality=grid.personality[b : b + 1, :n],
            **{
                f: getattr(grid, f)[b : b + 1]
                for f in (
                    *("target_person", "target_segment", "num_persons", "num_segments"),
                    "has_target",
                )
            },
        )
        torch.testing.assert_close(scores(model, replace(batch, grid=own))[0], whole[b])


def test_the_order_of_persons_changes_nothing() -> None:
    model, batch = ramer(), grid_batch(grid_task(), SIZES)
    n = max(n for n, _ in SIZES)
    order = torch.arange(n).expand(len(SIZES), n).clone()
    for b, (own, _) in enumerate(SIZES):
        order[b, :own] = torch.arange(own).flip(0)
    moved = replace(batch, grid=permuted(grid_of(batch), order))
    torch.testing.assert_close(scores(model, moved), scores(model, batch))


def test_who_and_when_is_asked_about_matters() -> None:
    model, batch = ramer(), grid_batch(grid_task(), ((3, 4), (3, 4)))
    here = with_grid(batch, target_person=torch.zeros(2, dtype=torch.long))
    there = with_grid(batch, target_person=torch.ones(2, dtype=torch.long))
    assert not torch.allclose(scores(model, here), scores(model, there), atol=1e-4)
    first = with_grid(batch, target_segment=torch.zeros(2, dtype=torch.long))
    last = with_grid(batch, target_segment=torch.full((2,), 3))
    assert not torch.allclose(scores(model, first), scores(model, last), atol=1e-4)


def test_without_a_target_everybody_is_asked() -> None:
    model, batch = ramer(), grid_batch(grid_task(), SIZES)
    nobody = with_grid(batch, has_target=torch.zeros(len(SIZES), dtype=torch.bool))
    other = with_grid(nobody, target_person=torch.zeros(len(SIZES), dtype=torch.long))
    assert torch.equal(attended(grid_of(nobody)), grid_of(nobody).exists)
    torch.testing.assert_close(scores(model, nobody), scores(model, other))
    cells = attended(grid_of(batch))
    assert cells.sum((1, 2)).tolist() == [segments for _, segments in SIZES]
    assert grid_of(batch).target(cells[..., None].float()).all()


def alphas(model: Ramer, batch: Batch) -> Tensor:
    with torch.no_grad():
        return model.features(batch).rec.levels["alpha"]


def test_x_alpha_differs_between_labels_and_is_mostly_the_target_cell() -> None:
    sizes = ((3, 4), (2, 5), (4, 3))
    model, batch = ramer(), grid_batch(grid_task(), sizes, share=1.0)
    alpha = alphas(model, batch)
    spread = alpha.std(dim=2)
    assert (spread.amax(dim=-1) > 1e-4).all()
    embedding, grid = model.embedding, grid_of(batch)
    assert isinstance(embedding, PersonEmbedding)
    with torch.no_grad():
        for queries in embedding.attention:
            queries.queries.weight.zero_()  # type: ignore[union-attr]
        mostly = alphas(model, batch)
        torch.testing.assert_close(mostly, mostly[:, :, :1].expand_as(mostly))
        for table in embedding.nearness:
            table.weight[1:] = -1e4  # type: ignore[index]
        alone = alphas(model, batch)
        assert torch.allclose(mostly, alone, atol=0.2 * float(alone.abs().max()))
        person = embedding.persons(grid)
        for k, m in enumerate(VAT):
            x = encoded_cells(embedding.encoders[k], grid, m.name)  # type: ignore[arg-type]
            x = embedding.mixing[k](x, person, grid.valid(m.name), grid.persons, grid.segments)
            torch.testing.assert_close(alone[:, k, 0], grid.target(x))


def test_personality_of_target_and_others_changes_scores_unless_it_is_off() -> None:
    batch = grid_batch(grid_task(), ((3, 4), (3, 4)), share=0.9)
    grid = grid_of(batch)
    own = torch.nn.functional.one_hot(grid.target_person, 3).bool()[..., None]
    changed = {
        "target": torch.where(own, grid.personality.flip(-1), grid.personality),
        "others": torch.where(own, grid.personality, grid.personality.flip(-1)),
        "dropped": torch.zeros_like(grid.personality),
    }
    on, off = ramer(), ramer("w/o-personality")
    for name, traits in changed.items():
        other = with_grid(batch, personality=traits)
        assert not torch.allclose(scores(on, other), scores(on, batch), atol=1e-5), name
        assert torch.equal(scores(off, other), scores(off, batch)), name
    assert not any("personality" in name for name, _ in off.named_parameters())


def test_others_reach_the_target_also_without_personality() -> None:
    batch = grid_batch(grid_task(), ((3, 4), (3, 4)), share=1.0)
    louder = with_grid(batch, rows={m: 2.0 * x for m, x in grid_of(batch).rows.items()})
    model = ramer("w/o-personality")
    only_target = grid_of(batch)
    hidden = only_target.exists & attended(only_target)
    muted = with_grid(
        batch, index={m: torch.where(hidden, x, -1) for m, x in only_target.index.items()}
    )
    assert not torch.allclose(scores(model, muted), scores(model, batch), atol=1e-5)
    assert scores(model, louder).isfinite().all()


def test_a_modality_nobody_has_is_reconstructed_and_one_the_target_lacks_is_not() -> None:
    model, batch = ramer(), grid_batch(grid_task(), SIZES, share=1.0)
    grid = grid_of(batch)
    gone = torch.full_like(grid.index["audio"], -1)
    silent = with_grid(
        batch,
        index=grid.index | {"audio": gone},
        rows=grid.rows | {"audio": grid.rows["audio"][:0]},
    )
    f = model.features(silent)
    assert f.usable["alpha"].tolist() == [[True, True, False]] * len(SIZES)
    assert not f.rec.levels["alpha"][:, 2].any()
    assert scores(model, silent).isfinite().all()
    step = model.train().training_step(silent, Context(model, TRAINING))
    step.loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    spoken = torch.where(attended(grid), -1, grid.index["audio"])
    lacking = model.eval().features(with_grid(batch, index=grid.index | {"audio": spoken}))
    assert lacking.usable["alpha"][:, 2].tolist() == [n > 1 for n, _ in SIZES]


def by_trait(task: TaskInfo, size: int, seed: int) -> Batch:
    """Return grids whose label is the sign of a contrast of the target's traits."""
    batch = grid_batch(task, ((2, 3),) * size, seed=seed)
    grid = grid_of(batch)
    own = grid.target_row(grid.personality)
    first = own[:, 0] > own[:, 1]
    return replace(batch, labels=torch.stack([first, ~first], dim=1).float())


def test_learns_what_only_the_targets_personality_tells() -> None:
    task = grid_task(labels=2)
    torch.manual_seed(0)
    model = Ramer(paper_config(hidden_size=16), task).train()
    context = Context(model, TrainingConfig(optimizer="bertadam", lr=3e-3), total_steps=100)
    for seed in range(100):
        context.zero_grad()
        model.training_step(by_trait(task, 32, seed), context).loss.backward()
        context.step_optimizer()
    test = by_trait(task, 200, 1000)
    hit = scores(model.eval(), test).argmax(1) == test.targets.argmax(1)
    assert hit.float().mean() > 0.85


def test_every_part_of_the_path_is_trained() -> None:
    model = ramer().train()
    step = model.training_step(grid_batch(grid_task(), SIZES), Context(model, TRAINING))
    step.loss.backward()
    for name, parameter in model.embedding.named_parameters():
        if "aligner" not in name:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    assert model.embedding.personality is not None
    assert model.embedding.personality.encoder.embed.weight.grad is not None


def sequence_with(personality: Tensor | None, known: bool = True) -> Batch:
    batch = batch_of(task_of(personality=4))
    assert batch.personality is not None and batch.personality_mask is not None
    mask = torch.full_like(batch.personality_mask, known)
    if personality is not None:
        mask = mask[:, : personality.shape[1]]
    return replace(batch, personality_mask=mask, personality=personality)


def test_a_sequence_with_personality_is_a_person_alone() -> None:
    torch.manual_seed(0)
    model = Ramer(paper_config(), task_of(personality=4)).eval()
    batch = sequence_with(torch.randn(6, 1, 4))
    grid = batch.as_grid()
    assert grid.persons.shape == (6, 1)
    torch.testing.assert_close(scores(model, replace(batch, grid=grid)), scores(model, batch))


def test_unknown_personality_of_a_sequence_is_ignored() -> None:
    torch.manual_seed(0)
    model = Ramer(paper_config(), task_of(personality=4)).eval()
    some, other = torch.randn(6, 3, 4), torch.randn(6, 3, 4)
    assert not torch.allclose(
        scores(model, sequence_with(some)), scores(model, sequence_with(other)), atol=1e-5
    )
    hidden = scores(model, sequence_with(some, known=False))
    assert torch.equal(hidden, scores(model, sequence_with(other, known=False)))
    assert torch.equal(hidden, scores(model, sequence_with(torch.zeros_like(some))))
    with pytest.raises(ValueError, match="without it"):
        scores(model, sequence_with(None))


def test_public_on_the_sequence_view_uses_the_targets_token() -> None:
    """The view of a grid: the target's row, its segment first, one personality token."""
    task = task_of(labels=9, kind="singlelabel", personality=4)
    torch.manual_seed(0)
    on = RamerPublic(public_config(), task).eval()
    off = RamerPublic(public_config(ablate=("w/o-personality",)), task).eval()
    present = torch.ones(6, 3, dtype=torch.bool)
    present[:3, 1:] = False
    batch = batch_of(task, present=present)
    one = torch.ones(6, 1, dtype=torch.bool)
    focus = torch.zeros(6, dtype=torch.long)
    view = replace(batch, personality=torch.randn(6, 1, 4), personality_mask=one, focus=focus)
    other = replace(view, personality=torch.randn(6, 1, 4))
    found = scores(on, view)
    assert torch.allclose(found.sum(1), torch.ones(6))
    assert not torch.allclose(found, scores(on, other), atol=1e-5)
    assert torch.equal(scores(off, view), scores(off, other))
    unknown = replace(view, personality_mask=~one)
    assert torch.equal(scores(on, unknown), scores(on, replace(other, personality_mask=~one)))
    loss = on.train().training_step(view, Context(on, TRAINING)).loss
    loss.backward()
    assert loss.isfinite()


def test_where_label_attention_has_no_choice_alpha_takes_no_part_in_the_contrast() -> None:
    """There X_alpha is the same vector for every label, or nearly, and eq. 11 asks them apart."""
    model, batch = ramer(), grid_batch(grid_task(), ((3, 1), (2, 4)), share=1.0)
    f = model.features(batch)
    alpha = f.rec.levels["alpha"]
    torch.testing.assert_close(alpha[0], alpha[0, :, :1].expand_as(alpha[0]))
    assert f.usable["alpha"].all() and not f.contrasted["alpha"].any()
    assert f.contrasted["beta"].all() and f.contrasted["gamma"].all()
    nobody = with_grid(batch, has_target=torch.zeros(2, dtype=torch.bool))
    assert model.features(nobody).contrasted["alpha"].all()
    whole = batch_of(task_of())
    short = replace(
        whole,
        features={m: x[:, :1] for m, x in whole.features.items()},
        mask={m: x[:, :1] for m, x in whole.mask.items()},
    )
    torch.manual_seed(0)
    sequences = Ramer(paper_config(), task_of())
    one = sequences.features(short)
    assert one.usable["alpha"].all() and not one.contrasted["alpha"].any()
    assert sequences.features(whole).contrasted["alpha"].any()
