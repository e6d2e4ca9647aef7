"""Golden numbers: what every registered model computes on a fixed batch, before any adaptive step.

Per model and layout ``tests/golden/numbers/<model>.json`` holds the scores before training, the
losses of the first two steps (plain gradient descent in between), the norm of each parameter's
first gradient and the spread of its initial values. ``tests/unit/test_golden_numbers.py`` compares
them to 1e-4: code that moves them makes stored results stale, which only a higher `RESULT_VERSION`
(or, for the model's own files, its code digest) tells.

Batches and drawn parameters come from integer arithmetic (`values`), not from a library's random
numbers, and dropout is off, so that the numbers hold for every torch version, number of threads and
BLAS kernel.

Write them again: ``python -m tests.golden_numbers [MODEL ...]``. Numbers that moved are written
only if `RESULT_VERSION` is higher than the one they were stored with, or with ``--own-code``: the
change is in the model's own files. ``--check`` compares and writes nothing.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from harness.config import resolve_config
from harness.data.batch import Batch
from harness.engine.checks import RunChecks
from harness.engine.loop import BatchSource, Trainer, fit_once
from harness.engine.predict import predict
from harness.engine.seeds import isolated_rng, seed_globals
from harness.engine.state import ResumeFolder
from harness.model import ModelPlugin
from harness.plugins import load, resolve
from harness.records.fingerprint import RESULT_VERSION
from harness.specs import ModalitySpec, TaskInfo, TrainingConfig
from tests.gpu.made import CPU, OneBatch, cases
from tests.unit.baselines import grids

FOLDER = Path(__file__).parent / "golden/numbers"
LABELS = ("joy", "anger", "fear", "calm")
MODALITIES = (
    ModalitySpec("text", "t", 5, 8),
    ModalitySpec("visual", "v", 6, 8),
    ModalitySpec("audio", "a", 7, 8),
)
LENGTHS = ((8, 8, 8), (3, 3, 3), (5, 5, 0), (1, 1, 1), (6, 6, 6), (7, 7, 7))
GRID_LABELS = (0, 1, 2, 0, 1, 2)
TARGETS = ((1, 2), (0, 0), (2, 0), (0, 0), (3, 1), (0, 5))
TOLERANCE = 1e-4
REMEDY = (
    "Is this change of results meant? If so, raise RESULT_VERSION (engine, nn, protocols, data) or "
    "know that only the model's own files changed, whose digest marks older runs; then write the "
    "numbers with `python -m tests.golden_numbers MODEL` (`--own-code` in the second case). "
    "If not, mend the code."
)
SHOWN = 8


def values(name: str, *shape: int) -> Tensor:
    """Return float32 values in [-1, 1) that look random: SplitMix64 of the name and the index."""
    size = math.prod(shape)
    with np.errstate(over="ignore"):
        z = np.arange(size, dtype=np.uint64) + np.uint64(zlib.crc32(name.encode()) << 24)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    exact = (z >> np.uint64(41)).astype(np.float64) / 2**22 - 1
    return torch.from_numpy(exact.astype(np.float32)).reshape(shape)


def task_of(layout: str) -> TaskInfo:
    """Return the task: multi-label sequences, or single-label grids with personality."""
    if layout == "grid":
        return grids.task(MODALITIES)
    return TaskInfo("golden", MODALITIES, LABELS)


def batch_of(layout: str) -> Batch:
    """Return six labelled samples of different lengths, one with a missing modality."""
    return _grid_batch() if layout == "grid" else _sequence_batch()


def _sequence_batch() -> Batch:
    features, mask = {}, {}
    lengths = torch.tensor(LENGTHS)
    for i, m in enumerate(MODALITIES):
        valid = torch.arange(m.max_length) < lengths[:, i : i + 1]
        x = values(m.name, len(lengths), m.max_length, m.dim)
        features[m.name], mask[m.name] = torch.where(valid[..., None], x, 0.0), valid
    present = lengths > 0
    labels = (values("labels", len(lengths), len(LABELS)) > 0).float()
    ids = tuple(map(str, range(len(lengths))))
    return Batch(features, mask, present, present.clone(), ids, labels).with_null_positions()


def _grid_batch() -> Batch:
    shapes = torch.tensor(grids.SHAPES)
    size, (persons, segments) = len(shapes), shapes.amax(0).tolist()
    exists = (torch.arange(persons) < shapes[:, :1])[:, :, None] & (
        torch.arange(segments) < shapes[:, 1:]
    )[:, None]
    dense, valid = {}, {}
    for m in MODALITIES:
        valid[m.name] = exists & (values(f"valid {m.name}", size, persons, segments) < 0.4)
        x = values(m.name, size, persons, segments, m.dim)
        dense[m.name] = torch.where(valid[m.name][..., None], x, 0.0)
    people = (values("personality", size, persons, grids.PERSONALITY_DIM) + 1) / 2
    people = torch.where(exists.any(2)[..., None], people, 0.0)
    grid = grids.sparse(dense, valid, shapes, people, torch.tensor(TARGETS))
    return grids.batch_of(grid)


def chosen_config(name: str, layout: str) -> dict[str, Any]:
    """Return a model's configuration at the sizes of its quick preset, without dropout."""
    registry = load()
    spec = registry.model(name)
    dataset = registry.dataset("memor-primary" if layout == "grid" else "mosei-aligned")
    config = resolve_config(spec, dataset, "quick", None, [])
    off = [
        f"model.{f.name}=0.0"
        for f in fields(config.model)
        if "dropout" in f.name and isinstance(getattr(config.model, f.name), float)
    ]
    chosen: dict[str, Any] = resolve_config(spec, dataset, "quick", None, off).as_dict()["model"]
    return chosen


def places(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, str]:
    """Return a key for each name: shape and count among equal shapes, ``64x32#0``.

    Unlike names, these outlive a renaming, which moves no result.
    """
    seen: Counter[str] = Counter()
    keys = {}
    for name, tensor in tensors:
        shape = "x".join(map(str, tensor.shape))
        keys[name] = f"{shape}#{seen[shape]}"
        seen[shape] += 1
    return keys


def built(name: str, layout: str, config: Mapping[str, Any]) -> tuple[ModelPlugin, dict[str, Any]]:
    """Return a model whose drawn values are replaced by `values`, and the spread of the drawn ones.

    What is drawn is found by building the model from two seeds; constant initial values and
    tables (positions, ones, zeros) stay as the model sets them. Options that the model no longer
    has are left out of a stored configuration.
    """
    factory = resolve(load().model(name).factory)
    known = {f.name for f in fields(factory.Config)}
    kept = {key: value for key, value in config.items() if key in known}
    merged = OmegaConf.merge(OmegaConf.structured(factory.Config), kept)

    def build(seed: int) -> ModelPlugin:
        seed_globals(seed, "build")
        model: ModelPlugin = factory(OmegaConf.to_object(merged), task_of(layout))
        return model

    with isolated_rng():
        model, other = build(0), build(1).state_dict()
    spread = {k: _number(p.detach().square().mean().sqrt()) for k, p in model.named_parameters()}
    for held in (dict(model.named_parameters()), dict(model.named_buffers())):
        for at, place in places(held.items()).items():
            x = held[at].detach()
            if at in other and x.is_floating_point() and not torch.equal(x, other[at]):
                fan = math.prod(x.shape[1:]) if x.ndim > 1 else 100
                x.copy_(values(place, *x.shape) * math.sqrt(3 / fan))
    return model, spread


class PlainDescent(torch.optim.SGD):
    """Descent of length 0.01 at most; keeps the norm of every parameter's first gradient."""

    def __init__(self, groups: list[dict[str, Any]], first: dict[int, float | None]) -> None:
        rate = {"lr": 1e-2, "initial_lr": 1e-2}
        super().__init__([{"params": g["params"], **rate} for g in groups])
        self.first = first

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Record first gradients, then descend."""
        held = [p for group in self.param_groups for p in group["params"]]
        for p in held:
            self.first.setdefault(id(p), None if p.grad is None else _number(p.grad.norm()))
        torch.nn.utils.clip_grad_norm_(held, 1.0)
        super().step(closure)


@dataclass
class Losses:
    """An observer that keeps the loss of every step."""

    values: list[float] = field(default_factory=list)

    def start(self, total_steps: int, done_steps: int) -> None:
        """Nothing to keep."""

    def step(self, epoch: int, loss: float) -> None:
        """Keep a step's loss."""
        self.values.append(_number(loss))

    def epoch(self, entry: Mapping[str, Any]) -> None:
        """Nothing to keep."""

    def stop(self) -> None:
        """Nothing to keep."""


class TwoSteps(OneBatch):
    """An epoch of two steps over the one batch, without validation."""

    def epoch(self, epoch: int) -> BatchSource:
        return [self.batch, self.batch]

    def validate(self, score: Callable[[BatchSource], Any]) -> None:  # type: ignore[override]
        return None


def measured(name: str, layout: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of one model on one layout."""
    model, spread = built(name, layout, config)
    data, observer = TwoSteps(batch_of(layout), task_of(layout)), Losses()
    with isolated_rng():
        if not model.iterative:
            fit_once(model, TrainingConfig(), 0, CPU, data, observer, RunChecks(model, CPU))
            return {"scores": _scores(model, data)}
        seed_globals(0, "setup")
        model.setup_fit(data)
        scores = _scores(model, data)
        first: dict[int, float | None] = {}
        theirs = model.configure_optimizers

        def plain(training: TrainingConfig, total_steps: int) -> list[torch.optim.Optimizer]:
            return [PlainDescent(o.param_groups, first) for o in theirs(training, total_steps)]

        with (
            mock.patch.object(model, "configure_optimizers", plain),
            mock.patch.object(torch.nn.functional, "dropout", lambda x, *args, **options: x),
            tempfile.TemporaryDirectory() as folder,
        ):
            Trainer(
                model, TrainingConfig(epochs=1, clip_norm=0.0), 0, CPU, data,
                ResumeFolder(Path(folder)), observer, "micro_f1", lambda batches: None,
                RunChecks(model, CPU),
            ).run()  # fmt: skip
    keys = places(model.named_parameters())
    norms = {keys[k]: [spread[k], first.get(id(p))] for k, p in model.named_parameters()}
    return {"scores": scores, "losses": observer.values, "parameters": norms}


def _scores(model: ModelPlugin, data: OneBatch) -> list[list[float]]:
    found = predict(model, [data.batch.without_labels()], CPU)
    return [[_number(x) for x in row] for row in found]


def _number(value: Any) -> float:
    return float(f"{float(value):.7g}")


def differences(found: Mapping[str, Any], stored: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for every number that is not the stored one.

    Args:
        found: the result of `measured`.
        stored: an earlier one.
    """
    if found.keys() != stored.keys():
        yield f"kinds of numbers: {sorted(found)}, stored {sorted(stored)}"
        return
    # A model that is fitted at once shows what a solver converged to.
    close = TOLERANCE if "losses" in stored else 10 * TOLERANCE
    gap = np.abs(np.subtract(found["scores"], stored["scores"])).max()
    if not gap <= close:
        yield f"scores before training: largest difference {gap:.3g}"
    for k, (a, b) in enumerate(
        zip(found.get("losses", ()), stored.get("losses", ()), strict=True), start=1
    ):
        if not abs(a - b) <= TOLERANCE * max(1.0, abs(b)):
            yield f"loss of step {k}: {a}, stored {b}"
    ours, theirs = found.get("parameters", {}), stored.get("parameters", {})
    for place in sorted(ours.keys() ^ theirs.keys()):
        yield f"parameter {place}: only {'found' if place in ours else 'stored'}"
    # Gradients that cancel (a key's bias under softmax) are rounding errors of the larger ones.
    noise = 0.1 * TOLERANCE * max((n for _, n in theirs.values() if n is not None), default=0.0)
    for place in sorted(ours.keys() & theirs.keys()):
        (spread, norm), (old_spread, old_norm) = ours[place], theirs[place]
        count = math.prod(map(int, filter(None, place.partition("#")[0].split("x"))))
        # Drawn values: their sampling error.
        if not abs(spread - old_spread) <= (TOLERANCE + 4 / math.sqrt(count)) * old_spread:
            yield f"parameter {place}: initial spread {spread}, stored {old_spread}"
        if (norm is None) != (old_norm is None):
            yield f"parameter {place}: first gradient {norm}, stored {old_norm}"
        elif norm is not None and not abs(norm - old_norm) <= TOLERANCE * old_norm + noise:
            yield f"parameter {place}: norm of the first gradient {norm}, stored {old_norm}"


@cache
def all_cases() -> tuple[tuple[str, str], ...]:
    """Return every registered model and trivial predictor with every layout it takes."""
    return (*cases(), *cases("trivial"))


def stored(name: str) -> dict[str, Any]:
    """Return a model's stored numbers per layout; empty without a file."""
    path = FOLDER / f"{name}.json"
    content: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return content


def kept_case(name: str, layout: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a model's stored configuration and numbers on a layout."""
    numbers = dict(stored(name)[layout])
    return numbers.pop("config"), numbers


def moved(name: str, layout: str) -> list[str]:
    """Return what a model computes otherwise than stored, a line each, the first few."""
    config, numbers = kept_case(name, layout)
    found = measured(name, layout, config)
    lines = [f"{name} on {layout}: {line}" for line in differences(found, numbers)]
    more = [f"{name} on {layout}: {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return lines[:SHOWN] + more


def write(name: str, *, own_code: bool = False) -> list[str]:
    """Measure a model, store its numbers and return what moved.

    Raises:
        SystemExit: numbers moved though `RESULT_VERSION` did not; nothing is written.
    """
    old = stored(name)
    layouts = [layout for model, layout in all_cases() if model == name]
    lines = [line for layout in layouts if layout in old for line in moved(name, layout)]
    if lines and not own_code and old["result_version"] >= RESULT_VERSION:
        raise SystemExit("\n".join([*lines, REMEDY]))
    new: dict[str, Any] = {"result_version": RESULT_VERSION}
    for layout in layouts:
        config = chosen_config(name, layout)
        new[layout] = {"config": config, **measured(name, layout, config)}
    # A line a parameter: a diff then names what moved.
    text = json.dumps(new, sort_keys=True, separators=(",", ":")).replace('],"', '],\n"')
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(text + "\n", "utf-8")
    return lines


def main(arguments: list[str]) -> None:
    """Compare or write the numbers of some models, by default of all; say what moved."""
    names = [a for a in arguments if a not in {"--own-code", "--check"}]
    known = {name for name, _ in all_cases()}
    if unknown := set(names) - known:
        raise SystemExit(
            f"unknown: {', '.join(sorted(unknown))}. Known: {', '.join(sorted(known))}."
        )
    chosen = names or sorted(known)
    if "--check" in arguments:
        lines = [line for at in all_cases() if at[0] in chosen for line in moved(*at)]
        raise SystemExit("\n".join([*lines, REMEDY]) if lines else 0)
    for name in chosen:
        for line in write(name, own_code="--own-code" in arguments):
            print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
