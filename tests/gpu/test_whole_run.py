"""A whole run through the Python interface on real data, stopped and gone on with, per device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import harness
from harness.data.locate import find_store
from harness.engine.checkpoint import load_checkpoint
from harness.engine.device import Compute, choose
from harness.engine.evaluate import TEST
from harness.engine.predict import predict
from harness.engine.progress import TrainingProgress
from harness.engine.request import RunRequest
from harness.engine.splits import views_of
from harness.launch.grid import run_grid
from harness.plugins import load
from harness.records.predictions import read_predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore
from tests.gpu.made import CPU

CUDA = pytest.param("cuda", marks=pytest.mark.gpu)
PATTERN = "only-t@1"


@pytest.fixture(autouse=True)
def only_where_there_is_one(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")


def one(device: str, **options: Any) -> RunRecord:
    sets = ("training.epochs=2", "training.patience=0")
    (record,) = harness.run(
        "ml-gcn", "mosi", preset="quick", overrides=sets, dropout=(PATTERN,), device=device,
        references=False, **options,
    )  # fmt: skip
    assert record.status == "ok", record.failure
    return record


def scores_of(record: RunRecord, protocol: str) -> np.ndarray[Any, Any]:
    _, (part,) = read_predictions(RunStore().predictions(record.id), (TEST, protocol))
    return part.scores


def stop(self: TrainingProgress, entry: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TrainingProgress, "epoch", stop)
        one(device)
    told: list[str] = []
    resumed = one(device, notify=told.append)
    assert any("going on after epoch 1" in line for line in told)
    first = {p: scores_of(resumed, p) for p in ("full@1", PATTERN)}
    whole = one(device, rerun=True)
    assert (whole.device, whole.provenance["hardware"]) == (device, choose(device).name)
    assert len(whole.epochs) == len(resumed.epochs) == 2
    # Sums by atomic additions have no fixed order on a GPU.
    near = 0.0 if device == "cpu" else 1e-3
    for protocol, found in first.items():
        np.testing.assert_allclose(scores_of(whole, protocol), found, atol=near)

    # What was written down can be read, and gives the same, where there is no GPU.
    model = load_checkpoint(RunStore().folder(whole.id))
    view = views_of(find_store(load().dataset("mosi")), "ones", model)[TEST]
    again = predict(model, view.batches(64), CPU)
    np.testing.assert_allclose(again, scores_of(whole, "full@1"), atol=max(near, 1e-6))


@pytest.mark.gpu
@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"compile": True}], ids=str)
def test_a_run_in_bf16_and_a_compiled_one(options: dict[str, Any]) -> None:
    plain = one("cuda")
    other = one("cuda", rerun=True, **options)
    np.testing.assert_allclose(
        [e["loss"] for e in other.epochs], [e["loss"] for e in plain.epochs], rtol=0.2
    )


def test_fp32_on_cuda_is_fp32() -> None:
    before = torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = True
        with choose("cpu").deterministic():
            assert torch.backends.cudnn.allow_tf32
        with Compute(torch.device("cuda")).deterministic():
            assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before


@pytest.mark.gpu
def test_runs_that_share_a_gpu_keep_to_their_shares() -> None:
    told: list[str] = []
    sets = ("training.epochs=2", "training.patience=0")
    requests = [
        RunRequest(
            "ml-gcn", "mosi", seed, preset="quick", overrides=sets, device="cuda",
            notify=told.append,
        )
        for seed in range(4)
    ]  # fmt: skip
    done = run_grid(requests, load(), jobs=3, references=False)
    done.check()
    assert "4 runs, 3 at a time." in told
    assert all(record.budget["peak_memory"] > 0 for record in done.records)
