"""Finds golden files: every ``*.safetensors`` of a model, wherever ``HARNESS_GOLDEN`` points."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

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
