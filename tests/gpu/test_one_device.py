"""No model mixes devices, and no model mixes types under CUDA's autocast, as far as a CPU tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.engine.device import Compute
from tests.gpu.disguise import CUDA, WrongDeviceError, cuda_in_disguise, put
from tests.gpu.made import cases, scores, trained

PAIRS = cases() + cases("trivial")


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.full)])
@pytest.mark.parametrize(("name", "layout"), PAIRS)
def test_one_device(name: str, layout: str, precision: str, tmp_path: Path) -> None:
    compute = Compute(torch.device("cuda"), precision)
    with cuda_in_disguise():
        model, result = trained(name, layout, compute, tmp_path, prepare=put)
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
