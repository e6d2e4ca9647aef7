"""Seeds, devices, clipping, checkpoints, metrics of parts: the engine's pieces by themselves."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harness.engine import checkpoint, device, seeds
from harness.engine.context import LoopContext
from harness.engine.evaluate import evaluate_parts
from harness.engine.progress import TrainingProgress, duration
from harness.engine.state import Progress, ResumeFolder
from harness.errors import DataFormatError, DataMissingError, PluginError, UsageError
from harness.plugins import load, resolve
from harness.records.predictions import Predictions
from harness.specs import TaskInfo, TrainingConfig

TOY = str(Path(__file__).with_name("toy_plugin.py"))


@pytest.fixture
def toy() -> ModuleType:
    import sys

    factory = load((TOY,)).model("toy").factory
    resolve(factory)
    return sys.modules[factory.partition(":")[0]]


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.text(max_size=8))
def test_seeds_are_valid_and_differ(a: int, b: int, purpose: str) -> None:
    assert 0 <= seeds.derive_seed(a, purpose) < 2**63
    assert (seeds.derive_seed(a, purpose) == seeds.derive_seed(b, purpose)) == (a == b)
    assert seeds.derive_seed(a, purpose) != seeds.derive_seed(a, purpose + "x")


def test_seeds_never_change_between_versions() -> None:
    assert seeds.derive_seed(0, "init") == 6166499457911939696


def test_isolated_rng_leaves_the_caller_alone() -> None:
    random.seed(5), np.random.seed(5), torch.manual_seed(5)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    with pytest.raises(KeyboardInterrupt), seeds.isolated_rng():
        seeds.seed_globals(1, "epoch:0")
        drawn = [random.random(), np.random.random(), float(torch.rand(()))]  # noqa: NPY002
        seeds.seed_globals(1, "epoch:0")
        assert drawn == [random.random(), np.random.random(), float(torch.rand(()))]  # noqa: NPY002
        raise KeyboardInterrupt
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("name", ["gpu", "cpu:1", "cuda:x", ""])
def test_unknown_device(name: str) -> None:
    with pytest.raises(UsageError, match="choose auto, cpu, cuda"):
        device.choose(name)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose("auto").device.type == "cpu"
    with pytest.raises(UsageError, match="no CUDA GPU"):
        device.choose("cuda")
    with pytest.raises(UsageError, match="precision"):
        device.choose("cpu", "fp16")


def test_bf16_autocast_and_determinism_end_with_their_blocks() -> None:
    compute = device.choose("cpu", "bf16")
    before = torch.are_deterministic_algorithms_enabled()
    with compute.deterministic(), compute.autocast():
        assert torch.are_deterministic_algorithms_enabled()
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.bfloat16
    assert torch.are_deterministic_algorithms_enabled() == before
    assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.float32


@pytest.mark.parametrize("has_bf16", [True, False])
def test_an_lstm_in_bf16_where_onednn_has_none(
    has_bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without AVX-512 its primitive for LSTMs cannot be made; torch's own kernel can."""
    supported = device._onednn_has_bf16()
    monkeypatch.setattr(device, "_onednn_has_bf16", lambda: has_bf16 and supported)
    before = torch.backends.mkldnn.enabled
    with device.choose("cpu", "bf16").autocast():
        assert torch.backends.mkldnn.enabled == (before and has_bf16 and supported)
        out, _ = nn.LSTM(3, 2, batch_first=True)(torch.ones(1, 4, 3))
    assert torch.isfinite(out).all() and torch.backends.mkldnn.enabled == before
    out.sum().backward()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (3.0, 4.0)),
        ({"clip_norm": 1.0}, (0.6, 0.8)),
        ({"clip_value": 2.0}, (2.0, 2.0)),
        ({"clip_norm": 2.5, "clip_value": 1.8}, (1.5, 1.8)),
    ],
)
def test_clipping(options: dict[str, float], expected: tuple[float, float]) -> None:
    weight = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    training = TrainingConfig(**options)  # type: ignore[arg-type]
    ctx = LoopContext([weight], [optimizer], training, device.choose("cpu"), torch.Generator(), 10)
    ctx.backward((weight * torch.tensor([3.0, 4.0])).sum())
    assert float(ctx.clip()) == pytest.approx(5.0)
    assert weight.grad is not None
    assert weight.grad.tolist() == pytest.approx(expected, rel=1e-4)
    ctx.step_optimizer()
    assert weight.tolist() == pytest.approx([-e for e in expected], rel=1e-4)
    ctx.zero_grad()
    assert weight.grad is None


def test_step_schedule_is_a_function_of_the_epoch() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    training = TrainingConfig(lr_step_epochs=2, lr_step_gamma=0.1)
    ctx = LoopContext([weight], [optimizer], training, device.choose("cpu"), torch.Generator(), 10)
    rates = []
    for epoch in (0, 1, 2, 4, 0):
        ctx.start_epoch(epoch, torch.Generator())
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1, 1, 0.1, 0.01, 1])


def task(toy: ModuleType) -> TaskInfo:
    return TaskInfo("toy", toy.MODALITIES, ("a", "b", "c", "d"))


def card(config: dict[str, object], info: TaskInfo, name: str) -> checkpoint.CheckpointCard:
    return checkpoint.CheckpointCard(
        name, "1", "toy_plugin", "", "", "0", config, checkpoint.task_as_dict(info), {}
    )


def save(folder: Path, model: Any, stored: checkpoint.CheckpointCard) -> None:
    files = checkpoint.Checkpoint(stored, checkpoint.snapshot(model)).files()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_checkpoint_rebuilds_a_model_without_its_data(toy: ModuleType, tmp_path: Path) -> None:
    model = toy.Toy(toy.ToyConfig(width=5, taps=(3,)), task(toy))
    stored = card({"width": 5, "taps": [3]}, model.task, "toy")
    save(tmp_path, model, stored)
    again = checkpoint.load_checkpoint(tmp_path, load((TOY,)))
    assert type(again) is type(model) and not again.training
    assert again.config == model.config and again.task == model.task
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_buffers_of_fit_once_models_take_the_stored_shape(toy: ModuleType, tmp_path: Path) -> None:
    model = toy.Prior(toy.ToyConfig(), task(toy))
    model.prior, model.seen = torch.rand(4), torch.rand(7)
    stored = card({}, model.task, "toy-prior")
    save(tmp_path, model, stored)
    again = checkpoint.load_checkpoint(tmp_path, load((TOY,)))
    assert torch.equal(again.prior, model.prior) and torch.equal(again.seen, model.seen)


def test_checkpoint_faults(toy: ModuleType, tmp_path: Path) -> None:
    registry = load((TOY,))
    with pytest.raises(DataMissingError, match=r"checkpoint\.json is missing"):
        checkpoint.load_checkpoint(tmp_path, registry)
    model = toy.Toy(toy.ToyConfig(), task(toy))
    save(tmp_path, model, card({"width": 9}, model.task, "toy"))
    with pytest.raises(DataFormatError, match="does not fit Toy"):
        checkpoint.load_checkpoint(tmp_path, registry)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"short")
    with pytest.raises(DataFormatError, match=r"safetensors is damaged .*--rerun"):
        checkpoint.load_checkpoint(tmp_path, registry)
    (tmp_path / "checkpoint.json").write_text('{"format_version": 9}')
    with pytest.raises(DataFormatError, match="format version 9"):
        checkpoint.load_checkpoint(tmp_path, registry)


def test_state_outside_tensors_is_refused(toy: ModuleType) -> None:
    class Odd(toy.Toy):  # type: ignore[misc, name-defined]
        def get_extra_state(self) -> str:
            return "x"

    with pytest.raises(PluginError, match="keep state in buffers"):
        checkpoint.snapshot(Odd(toy.ToyConfig(), task(toy)))


def test_snapshot_is_a_copy_and_ties_survive(toy: ModuleType, tmp_path: Path) -> None:
    model = toy.Toy(toy.ToyConfig(), task(toy))
    model.tied = model.net[0]
    state = checkpoint.snapshot(model)
    checkpoint.save_tensors(tmp_path / "x.safetensors", state)
    before = state["net.0.weight"].clone()
    with torch.no_grad():
        model.net[0].weight.zero_()
    assert torch.equal(state["net.0.weight"], before)
    checkpoint.restore(model, checkpoint.load_tensors(tmp_path / "x.safetensors"))
    assert torch.equal(model.tied.weight, before)


def test_resume_folder_keeps_a_whole_state_and_nothing_stale(tmp_path: Path) -> None:
    folder = ResumeFolder(tmp_path / "run" / "resume")
    assert folder.load() is None
    weight = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.Adam([weight], lr=0.1)
    for done, best in ((1, 0), (2, 1), (3, 1)):
        weight.grad = torch.ones(2)
        optimizer.step()
        progress = Progress(done, tuple({"epoch": e} for e in range(done)), best, 0.5)
        folder.save(progress, {"weight": weight.detach().clone()}, [optimizer])
    names = sorted(p.name for p in folder.folder.iterdir())
    assert names == ["best-1.safetensors", "epoch-3.0.optimizer", "epoch-3.safetensors",
                     "state.json"]  # fmt: skip
    loaded = folder.load()
    assert loaded == progress
    assert torch.equal(folder.model_state(progress)["weight"], weight)
    assert not torch.equal(folder.best_state(progress)["weight"], weight)
    other = torch.optim.Adam([nn.Parameter(torch.zeros(2))], lr=0.1)
    folder.load_optimizers(progress, [other])
    assert other.state_dict()["state"][0]["step"] == 3
    told: list[str] = []
    (folder.folder / "state.json").write_text("{}")
    assert ResumeFolder(folder.folder, told.append).load() is None
    assert not folder.folder.exists() and "starts from epoch 0" in told[0]


def part(
    split: str, scores: list[list[float]], truth: list[list[int]], protocol: str = "full@1"
) -> Predictions:
    ids = tuple(str(i) for i in range(len(scores)))
    return Predictions(
        split, protocol, ids, ids, np.array(scores, np.float32), np.array(truth, np.int8)
    )


def test_threshold_is_tuned_on_validation_only() -> None:
    valid = part("valid", [[0.3, 0.1], [0.1, 0.3]], [[1, 0], [0, 1]])
    test = part("test", [[0.6, 0.3], [0.3, 0.6]], [[1, 0], [0, 1]])
    metrics, thresholds = evaluate_parts([valid, test], ("a", "b"), "multilabel", 0.5)
    assert thresholds.keys() == {"declared", "tuned"} and 0.1 <= thresholds["tuned"] < 0.3
    found = metrics["full@1"]
    assert found["valid"]["declared"]["micro_f1"] == 0
    assert found["valid"]["tuned"]["micro_f1"] == 1
    assert found["test"]["declared"]["micro_f1"] == 1
    assert found["test"]["tuned"]["micro_f1"] == pytest.approx(2 / 3)
    without = evaluate_parts([test], ("a", "b"), "multilabel", 0.5)
    assert without[1]["tuned"] is None and without[0]["full@1"]["test"]["tuned"] is None


def test_a_matched_threshold_is_tuned_under_the_protocol_that_is_scored() -> None:
    truth = [[1, 0], [0, 1]]
    parts = [
        part("valid", [[0.3, 0.1], [0.1, 0.3]], truth),
        part("valid", [[0.8, 0.6], [0.6, 0.8]], truth, "drop-t@1"),
        part("test", [[0.8, 0.6], [0.6, 0.8]], truth, "drop-t@1"),
        part("test", [[0.8, 0.6], [0.6, 0.8]], truth, "drop-v@1"),
    ]
    metrics, thresholds = evaluate_parts(parts, ("a", "b"), "multilabel", 0.5)
    assert thresholds["matched"].keys() == {"drop-t@1"}
    assert 0.6 <= thresholds["matched"]["drop-t@1"] < 0.8
    assert metrics["drop-t@1"]["test"]["matched"]["micro_f1"] == 1
    assert metrics["drop-t@1"]["test"]["tuned"]["micro_f1"] == pytest.approx(2 / 3)
    assert (
        "matched" not in metrics["drop-v@1"]["test"] and "matched" not in metrics["full@1"]["valid"]
    )


def test_single_label_decides_by_arg_max() -> None:
    test = part("test", [[0.4, 0.35], [0.2, 0.3]], [[1, 0], [0, 1]])
    metrics, thresholds = evaluate_parts([test], ("a", "b"), "singlelabel", 0.5)
    assert metrics["full@1"]["test"]["declared"]["accuracy"] == 1 and thresholds["tuned"] is None


def test_estimate_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # A slow first step and one that met a busy machine do not count.
    clock = iter([0.0, 50.0, 60.0, 110.0, 120.0])
    monkeypatch.setattr("harness.engine.progress.time.perf_counter", lambda: next(clock))
    told: list[str] = []
    progress = TrainingProgress("x", "micro_f1", estimate=told.append)
    progress.start(1004, 0)
    for _ in range(7):
        progress.step(0, 1.0)
    assert len(told) == 1 and "2 h 47 min" in told[0] and "1004 steps of 10.0 s" in told[0]


def test_durations() -> None:
    assert [duration(s) for s in (5, 89, 600, 7300)] == ["5 s", "89 s", "10 min", "2 h 2 min"]


def test_contexts_left_open_say_nothing_when_the_interpreter_exits() -> None:
    script = (
        "import sys\nfrom harness.engine.device import choose\n"
        "from harness.engine.seeds import isolated_rng\n"
        "sys.modules['kept'] = kept = [choose('cpu').deterministic(), isolated_rng()]\n"
        "for context in kept:\n    context.__enter__()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
