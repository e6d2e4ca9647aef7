"""No model mixes devices, and no model mixes types under CUDA's autocast, as far as a CPU tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data.batch import Batch
from harness.engine.device import Compute
from harness.engine.losses import LossNotFiniteError
from harness.model import StepContext, StepOutput
from tests.gpu.disguise import CUDA, WrongDeviceError, cuda_in_disguise, put
from tests.gpu.made import made_batch, pairs, scores, trained
from tests.gpu.waits import Waits, note_steps

PAIRS = pairs() + pairs("trivial")

GRID_OF_SEQUENCE = "the rows of a sequence that are there become those of a grid"
STAGES = "the stage of training is kept in a buffer"
PACKED = "packed sequences take their lengths on the CPU"
CELLS = "the target cells that are there are encoded, and no others"
PERSONS = "the persons that are there are encoded, and no others"
WAITS = {
    ("amer", "sequence"): GRID_OF_SEQUENCE,
    ("amer-no-personality", "sequence"): GRID_OF_SEQUENCE,
    ("bilstm-lmf", "grid"): PACKED,
    ("bilstm-lmf", "sequence"): PACKED,
    ("bilstm-tfn", "grid"): PACKED,
    ("bilstm-tfn", "sequence"): PACKED,
    ("dialoguecrn", "grid"): PACKED,
    ("dialoguecrn", "sequence"): PACKED,
    ("dialoguegcn", "grid"): PACKED,
    ("dialoguegcn", "sequence"): PACKED,
    ("gcnet", "grid"): PACKED,
    ("gcnet", "sequence"): PACKED,
    ("imder", "sequence"): "rows that lack a modality are found, and they alone are generated",
    ("mdae", "grid"): CELLS,
    ("mdae", "sequence"): CELLS,
    ("mdl", "grid"): CELLS,
    ("mdl", "sequence"): CELLS,
    ("misa", "sequence"): PACKED,
    ("mmin", "sequence"): STAGES,
    ("mms2s", "sequence"): "its decoder is unrolled over the labels that samples have",
    ("momke", "sequence"): STAGES,
    ("ramer", "grid"): PERSONS,
}
"""Models whose steps wait for a GPU, and why."""


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.full)])
@pytest.mark.parametrize(("name", "layout"), PAIRS)
def test_one_device(
    name: str, layout: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model is on one device; but for those in `WAITS` its steps do not wait for it."""
    compute = Compute(torch.device("cuda"), precision)
    noted = note_steps(monkeypatch)
    with cuda_in_disguise(), noted:
        model, result = trained(name, layout, compute, tmp_path, prepare=put)
        assert bool(noted.noted) == ((name, layout) in WAITS), noted.noted
        assert {v.device for v in model.state_dict().values()} <= {CUDA}
        assert {v.device.type for v in result.state.values()} <= {"cpu"}
        if model.iterative:  # goes on from what it wrote
            _, result = trained(name, layout, compute, tmp_path, epochs=3, prepare=put)
            assert len(result.log) == 3
        found = scores(put(model), layout, compute)
    assert np.isfinite(found).all()


REFUSED: dict[str, Callable[[torch.Tensor, torch.Tensor], object]] = {
    "mixed sum": lambda here, there: here + there,
    "mixed concatenation": lambda here, there: torch.cat([there, here]),
    "numpy": lambda here, there: there.numpy(),
    "an index on CUDA into a CPU tensor": lambda here, there: here[there.long()],
    "a CPU generator": lambda here, there: torch.rand(
        3, generator=torch.Generator(), device="cuda"
    ),
    "a mask on the CPU": lambda here, there: torch.where(here > 0, there, 0.0),
    "a layer left behind": lambda here, there: torch.nn.Linear(3, 3)(there),
    "new_zeros of a CPU tensor": lambda here, there: there * here.new_ones(3),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_disguise_refuses(name: str) -> None:
    with cuda_in_disguise():
        here, there = torch.ones(3), torch.ones(3).to("cuda")
        with pytest.raises(WrongDeviceError):
            REFUSED[name](here, there)


WAITING: dict[str, Callable[[torch.Tensor], object]] = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "bool": lambda x: bool(x.any()),
    "tolist": lambda x: x.tolist(),
    "to the CPU": lambda x: x.cpu(),
    "nonzero": lambda x: x.nonzero(),
    "a mask as an index": lambda x: x[x > 0],
    "a list as an index": lambda x: x[[0, 2]],
    "unique": lambda x: torch.unique(x),
    "masked_select": lambda x: torch.masked_select(x, x > 0),
    "one argument of where": lambda x: torch.where(x > 0),
    "repeats of a tensor": lambda x: torch.repeat_interleave(x, x.long()),
    "a tensor made of numbers": lambda x: torch.tensor([1.0], device="cuda"),
    "a copy to CUDA": lambda x: torch.ones(3).to("cuda"),
    "equal": lambda x: torch.equal(x, x),
}


@pytest.mark.parametrize("name", WAITING)
def test_what_waits_for_the_device(name: str) -> None:
    with cuda_in_disguise(), Waits() as noted:
        x = torch.arange(3, device="cuda") * 1.0
        noted.noting = True
        WAITING[name](x)
        assert noted.noted, name


def test_what_does_not_wait() -> None:
    with cuda_in_disguise(), Waits() as noted:
        noted.noting = True
        x = torch.arange(3, device="cuda") * 1.0
        x[x > 1] = 0.0
        torch.where(x > 0, x, 0.0)[1:][..., None].sum()
        x[torch.zeros(2, dtype=torch.int64, device="cuda")]
        torch.ones(3).to("cuda", non_blocking=True)
        torch.repeat_interleave(x, 2)
        float(torch.ones(()))
        assert noted.noted == []


def test_losses_of_a_gpu_are_read_together(tmp_path: Path) -> None:
    def blow_up(model: torch.nn.Module) -> None:
        put(model)
        step, calls = model.training_step, iter(range(9))

        def blown(batch: Batch, ctx: StepContext) -> StepOutput:
            output = step(batch, ctx)
            return StepOutput(output.loss * (float("nan") if next(calls) == 1 else 1.0))

        model.training_step = blown

    with cuda_in_disguise(), pytest.raises(LossNotFiniteError, match="epoch 1, step 1 ") as told:
        trained("ml-gcn", "sequence", Compute(torch.device("cuda")), tmp_path, prepare=blow_up)
    assert told.value.failure["ids"] == list(made_batch("sequence").ids)


def test_the_disguise_allows_what_cuda_allows() -> None:
    with cuda_in_disguise():
        there = put(torch.nn.Linear(3, 3))(torch.ones(3, device=torch.device("cuda")))
        assert there.device == CUDA and there.new_zeros(2).device == CUDA
        assert (there + torch.tensor(1.0)).device == CUDA
        assert there[torch.tensor([0, 2])].device == CUDA
        assert there.detach().cpu().numpy().shape == (3,) and there.cpu().device.type == "cpu"
        there.sum().backward()


def test_the_disguise_casts_as_cuda_does() -> None:
    with cuda_in_disguise(), Compute(torch.device("cuda"), "bf16").autocast():
        x = put(torch.nn.Linear(3, 3))(torch.ones(2, 3, device="cuda"))
        assert x.dtype == torch.bfloat16 and x.softmax(-1).dtype == torch.float32
        with torch.autocast("cuda", enabled=False):
            assert x.softmax(-1).dtype == torch.bfloat16
        with pytest.raises(RuntimeError, match="type"):
            x.new_zeros(2, 3).index_copy(0, torch.tensor([0], device="cuda"), x.exp()[:1])
