"""Every registered model trains, predicts, resumes and compiles: in bf16 on the CPU, and on CUDA.

The same bodies run on both. What a machine without a GPU can show is shown by the unmarked tests:
autocast to bf16 on the CPU refuses the same mixtures of types, and `test_one_device.py` finds
tensors of two devices.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.engine.context import LoopContext
from harness.engine.device import Compute, choose
from harness.specs import TrainingConfig
from tests.gpu.made import CPU, cases, pairs, scores, trained, with_precision

CUDA = pytest.param("cuda", marks=pytest.mark.gpu)
PAIRS = cases()
# The tracer's own warnings, which are no errors.
TRACER = pytest.mark.filterwarnings("ignore::UserWarning")
# On the CPU these take a second; what they show is the same for every model.
CHEAP = [("ml-gcn", "sequence"), ("amer", "grid")]


@pytest.fixture(autouse=True)
def only_where_there_is_one(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")


def on(device: str) -> Compute:
    return choose(device)


def changed(model: torch.nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(v.cpu(), before[k]) for k, v in model.state_dict().items())


def check_trains(name: str, layout: str, compute: Compute, folder: Path, tolerance: float) -> None:
    """Train two steps; the scores of that state are finite and those of the CPU in fp32."""
    model, result = trained(name, layout, compute, folder)
    if model.iterative:
        learned = [v for v in result.state.values() if v.is_floating_point()]
        assert all(bool(torch.isfinite(v).all()) for v in learned)
        assert [np.isfinite(e["loss"]) for e in result.log] == [True, True]
        start, _ = trained(name, layout, CPU, folder / "start", epochs=0)
        assert changed(model, start.state_dict())
        homes = {p.device.type for p in model.parameters()}
        assert homes == {compute.device.type}
    found = scores(model, layout, compute)
    exact = scores(model, layout, CPU)
    assert found.dtype == np.float32 and np.isfinite(found).all()
    np.testing.assert_allclose(found, exact, atol=tolerance)


@pytest.mark.parametrize(("name", "layout"), pairs())
def test_bf16_on_the_cpu(name: str, layout: str, tmp_path: Path) -> None:
    check_trains(name, layout, with_precision(CPU, "bf16"), tmp_path, 0.1)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("name", "layout"), PAIRS)
def test_cuda(name: str, layout: str, precision: str, tmp_path: Path) -> None:
    compute = with_precision(on("cuda"), precision)
    with compute.deterministic():
        check_trains(name, layout, compute, tmp_path, 1e-3 if precision == "fp32" else 0.1)


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "layout"), cases("trivial"))
def test_trivial_predictors_on_cuda(name: str, layout: str, tmp_path: Path) -> None:
    model, _ = trained(name, layout, on("cuda"), tmp_path)
    np.testing.assert_array_equal(scores(model, layout, on("cuda")), scores(model, layout, CPU))


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize(("name", "layout"), CHEAP)
def test_a_resumed_run_goes_on_as_if_never_stopped(
    name: str, layout: str, device: str, tmp_path: Path
) -> None:
    compute = on(device)
    with compute.deterministic():
        _, whole = trained(name, layout, compute, tmp_path / "whole", epochs=3)
        trained(name, layout, compute, tmp_path / "parts", epochs=1)
        model, rest = trained(name, layout, compute, tmp_path / "parts", epochs=3)
    assert [e["epoch"] for e in rest.log] == [0, 1, 2]
    assert {p.device.type for p in model.parameters()} == {device}
    losses = [[e["loss"] for e in t.log] for t in (whole, rest)]
    # Sums by atomic additions have no fixed order on a GPU.
    np.testing.assert_allclose(losses[1], losses[0], rtol=0 if device == "cpu" else 1e-4)


@TRACER
@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("amer", "grid"),
        pytest.param("ml-gcn", "sequence", marks=pytest.mark.full),
        pytest.param("mms2s", "sequence", marks=pytest.mark.full),
    ],
)
def test_a_traced_step_is_the_same_step(
    name: str, layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plain = trained(name, layout, CPU, tmp_path / "plain")
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    _, traced = trained(name, layout, CPU, tmp_path / "traced", compiled=True)
    assert [e["loss"] for e in traced.log] == [e["loss"] for e in plain.log]


@TRACER
def test_a_model_that_steps_by_itself_is_compiled_around_its_optimiser() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight], lr=0.5)
    ctx = LoopContext([weight], [optimizer], TrainingConfig(), CPU, torch.Generator(), 10)
    ctx.stay_eager()

    def step(x: torch.Tensor) -> torch.Tensor:
        loss = (weight * x).sum()
        ctx.zero_grad()
        ctx.backward(loss)
        ctx.step_optimizer()
        return loss.detach()

    traced = torch.compile(step, backend="eager")
    assert [float(traced(torch.ones(2))) for _ in range(2)] == pytest.approx([2.0, 1.0])
    assert not optimizer.param_groups[0]["capturable"]


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "layout"), CHEAP)
def test_a_compiled_step_is_the_same_step(name: str, layout: str, tmp_path: Path) -> None:
    _, plain = trained(name, layout, on("cuda"), tmp_path / "plain")
    _, compiled = trained(name, layout, on("cuda"), tmp_path / "compiled", compiled=True)
    losses = [[e["loss"] for e in t.log] for t in (plain, compiled)]
    assert np.isfinite(losses).all()
    assert losses[1][0] == pytest.approx(losses[0][0], rel=0.5)  # dropout draws otherwise
