"""Finds golden files: every ``*.safetensors`` of a model, wherever ``HARNESS_GOLDEN`` points."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

DEFAULT = Path(__file__).parent.parent / "golden"


def golden_root() -> Path:
    """Return ``$HARNESS_GOLDEN``, by default ``tests/golden``."""
    return Path(os.environ.get("HARNESS_GOLDEN") or DEFAULT)


def golden_files(model: str, pattern: str = "*.safetensors") -> list[Path]:
    """Return a model's golden files, sorted."""
    return sorted((golden_root() / model).glob(pattern))


@dataclass(frozen=True)
class Golden:
    """A golden file in memory: its tensors and its ``meta`` JSON."""

    path: Path
    tensors: dict[str, Tensor]
    meta: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Golden:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return cls(path, tensors, json.loads(metadata.get("meta", "{}")))

    def __getitem__(self, key: str) -> Tensor:
        return self.tensors[key]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors below ``prefix/``, without it."""
        start = f"{prefix}/"
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}


def assert_close(name: str, got: Tensor, want: Tensor, *, atol: float = 1e-5) -> None:
    """Assert equality to ``atol``, naming the tensor and its largest difference."""
    assert got.shape == want.shape, f"{name}: shape {tuple(got.shape)}, want {tuple(want.shape)}"
    gap = (got.detach().double() - want.double()).abs().max().item() if want.numel() else 0.0
    assert gap <= atol, f"{name}: largest difference {gap:.3g} > {atol:.3g}"


def assert_relative(name: str, got: Tensor, want: Tensor, *, rtol: float = 1e-5) -> None:
    """Assert equality relative to the tensor's largest value (at least 1e-3)."""
    assert_close(name, got, want, atol=rtol * max(want.abs().max().item(), 1e-3))


def frame_mask(golden: Golden, name: str) -> Tensor:
    """Return the mask bool [B, T] of a modality's frames.

    The authors' masks of a modality that is aligned first belong to the aligner's output; before
    it every frame counts.
    """
    mask, frames = golden[f"input/{name}_mask"].bool(), golden[f"input/{name}"]
    return mask if mask.shape[1] == frames.shape[1] else mask.new_ones(frames.shape[:2])


def mask_after_aligners(streams: Iterable[nn.Module], golden: Golden) -> None:
    """Give what aligners return the golden masks; a run attends to all of their positions.

    The masks' tails show that encoder, attention and losses read them. What a run does without
    them is compared on `full_samples`.
    """
    for stream in streams:
        if stream.aligner is not None:
            mask = golden[f"input/{stream.name}_mask"].bool()
            stream.align = _with_mask(stream.align, mask)


def _with_mask(align: Callable[..., tuple[Any, ...]], mask: Tensor) -> Callable[..., Any]:
    def masked(frames: Tensor, frame_mask: Tensor) -> tuple[Any, ...]:
        aligned, _, *rest = align(frames, frame_mask)
        return (aligned, mask, *rest)

    return masked


def full_samples(golden: Golden, names: Iterable[str]) -> Tensor:
    """Return the samples whose golden masks hold no position back, int64 [S], at least one."""
    whole = torch.stack([golden[f"input/{name}_mask"].bool().all(1) for name in names]).all(0)
    assert whole.any()
    return whole.nonzero()[:, 0]
