"""Benchmark harness for multimodal multi-label emotion recognition. Public names load lazily."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import run as run
    from harness.hookspecs import hookimpl as hookimpl
    from harness.model import ModelPlugin as ModelPlugin
    from harness.model import StepOutput as StepOutput
    from harness.specs import DatasetSpec as DatasetSpec
    from harness.specs import ModelSpec as ModelSpec

__version__ = "0.1.0"

_LAZY = {
    "run": "harness.api",
    "hookimpl": "harness.hookspecs",
    "ModelPlugin": "harness.model",
    "StepOutput": "harness.model",
    "ModelSpec": "harness.specs",
    "DatasetSpec": "harness.specs",
}

__all__ = [*_LAZY, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
