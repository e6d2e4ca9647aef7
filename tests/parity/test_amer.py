"""AMER equals the authors' code: log-probabilities, loss and gradients, in both precisions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.specs import ModalitySpec, TaskInfo
from harness_baselines.amer import Amer, AmerConfig
from tests.parity.golden import Golden, assert_close, assert_relative
from tests.unit.baselines.grids import sparse

GOLDEN_MODEL = "amer"
KEYS = "vat"
NAMES = ("visual", "audio", "text")
PRECISIONS = [(torch.float64, 1e-9), (torch.float32, 1e-5)]


def section(golden: Golden, prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in golden.tensors.items() if k.startswith(start)}


def our_name(theirs: str) -> str:
    """Return our parameter's name: their encoders count the ReLUs between layers."""
    block, rest = theirs.split(".", 1)
    if not block.startswith("enc_"):
        return theirs
    place, kind = rest.split(".")
    key = block[-1]
    ours = "person" if key == "p" else f"modality_list.{KEYS.index(key)}"
    return f"encoders.{ours}.layers.{int(place) // 2}.{kind}"


def build(golden: Golden, dtype: torch.dtype) -> Amer:
    people = "input.U_p" in golden.tensors
    width = golden["param.enc_v.4.bias"].shape[0] // 2
    task = TaskInfo(
        dataset="golden",
        modalities=tuple(
            ModalitySpec(n, k, golden[f"input.U_{k}"].shape[2], 12)
            for n, k in zip(NAMES, KEYS, strict=True)
        ),
        labels=tuple(f"emotion{i}" for i in range(golden["output.log_prob"].shape[1])),
        label_kind="singlelabel",
        layout="grid",
        personality_dim=golden["input.U_p"].shape[2] if people else 6,
    )
    model = Amer(AmerConfig(d_e=width, personality=people), task)
    model.load_state_dict({our_name(k): v for k, v in section(golden, "param").items()})
    return model.to(dtype)


def cells_of(flat: Tensor, persons: Tensor, segments: Tensor) -> Tensor:
    """Return [B, N, R, ...] of their person-major flat cells [B, S, ...]."""
    n, r = int(persons.max()), int(segments.max())
    place = torch.arange(n)[:, None] * segments[:, None, None] + torch.arange(r)
    real = (torch.arange(n)[:, None] < persons[:, None, None]) & (
        torch.arange(r) < segments[:, None, None]
    )
    found = flat[torch.arange(len(flat))[:, None, None], torch.where(real, place, 0)]
    return torch.where(real.view(*real.shape, *[1] * (flat.ndim - 2)), found, 0)


def batch_of(golden: Golden, dtype: torch.dtype) -> Batch:
    persons, segments = (golden[f"input.{k}"].flatten().long() for k in ("n_c", "seg_len"))
    wanted = golden["input.target_loc"].long()
    # The reference's index -1 where no cell is marked: the last cell of the sample's own grid.
    first = torch.where(wanted.any(1), wanted.argmax(1), persons * segments - 1)
    people = torch.zeros(len(first), int(persons.max()), 0, dtype=dtype)
    if "input.U_p" in golden.tensors:
        people = cells_of(golden["input.U_p"], persons, segments)[:, :, 0].to(dtype)
    dense, valid = {}, {}
    for n, k in zip(NAMES, KEYS, strict=True):
        dense[n] = cells_of(golden[f"input.U_{k}"], persons, segments).to(dtype)
        valid[n] = cells_of(golden[f"input.M_{k}"], persons, segments).bool()
    target = torch.stack([first // segments, first % segments], 1)
    grid = sparse(dense, valid, torch.stack([persons, segments], 1), people, target)
    labels = torch.eye(golden["output.log_prob"].shape[1], dtype=dtype)[golden["input.target"]]
    present = torch.stack([v.flatten(1).any(1) for v in valid.values()], 1)
    return Batch({}, {}, present, present, tuple(map(str, range(len(first)))), labels, grid=grid)


@pytest.mark.parametrize(("dtype", "atol"), PRECISIONS)
def test_scores_loss_and_gradients(golden: Golden, dtype: torch.dtype, atol: float) -> None:
    model, batch = build(golden, dtype), batch_of(golden, dtype)
    logits = model.logits(batch)
    assert_close("log_prob", logits.log_softmax(-1), golden["output.log_prob"], atol=atol)
    with torch.no_grad():
        scores = model.eval().predict_step(batch.without_labels())
    assert_close("scores", scores, golden["output.log_prob"].exp())
    loss = model.train().training_step(batch, None).loss  # type: ignore[arg-type]
    assert_relative("loss", loss, golden["train.loss"].squeeze(), rtol=atol)
    loss.backward()
    wanted, parameters = section(golden, "grad"), dict(model.named_parameters())
    assert len(wanted) >= 4
    for name, value in wanted.items():
        found = parameters[our_name(name)].grad
        assert found is not None, name
        assert_close(name, found, value, atol=atol)
        assert_relative(name, found, value, rtol=max(atol, 1e-8))


def test_steps_of_fused_adam_are_those_of_plain_adam(golden: Golden) -> None:
    from harness.specs import TrainingConfig

    recipe = TrainingConfig(optimizer="adam", lr=5e-3, amsgrad=True)
    ours, plain = build(golden, torch.float64), build(golden, torch.float64)
    (fused,) = ours.configure_optimizers(recipe, 9)
    adam = torch.optim.Adam(plain.parameters(), recipe.lr, amsgrad=True)
    batch = batch_of(golden, torch.float64)
    for model, optimizer in ((ours, fused), (plain, adam)):
        for _ in range(3):
            optimizer.zero_grad()
            model.training_step(batch, None).loss.backward()  # type: ignore[arg-type]
            optimizer.step()
    for name, value in plain.state_dict().items():
        assert_close(name, ours.state_dict()[name], value, atol=1e-10)
