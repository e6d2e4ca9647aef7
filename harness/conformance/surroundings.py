"""Process-wide state that a plugin's code may have changed, restored and reported."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch


def _deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def set_deterministic(enabled: bool, warn_only: bool) -> None:
    """Do what `torch.use_deterministic_algorithms` does, without importing torch's compiler.

    The compiler is told where it is loaded; what loads it later calls this again.
    """
    torch._C._set_deterministic_algorithms(enabled, warn_only=warn_only)
    compiler = sys.modules.get("torch._inductor.config")
    if compiler is not None:
        compiler.deterministic = enabled  # type: ignore[attr-defined]


def _set_deterministic(state: tuple[bool, bool]) -> None:
    set_deterministic(state[0], warn_only=state[1])


def _set_grad(enabled: bool) -> None:
    torch.set_grad_enabled(enabled)


def _set_anomaly(enabled: bool) -> None:
    torch.autograd.set_detect_anomaly(enabled)


def _set_numpy_errors(state: Any) -> None:
    np.seterr(**state)


def _directory() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was deleted
        return ""


def _set_directory(path: str) -> None:
    if path:
        os.chdir(path)


_STATES: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "whether gradients are recorded": (torch.is_grad_enabled, _set_grad),
    "the default device": (torch.get_default_device, torch.set_default_device),
    "the precision of float32 products": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "detection of anomalies": (torch.is_anomaly_enabled, _set_anomaly),
    "numpy's handling of floating-point errors": (np.geterr, _set_numpy_errors),
    "deterministic algorithms": (_deterministic, _set_deterministic),
    "the working directory": (_directory, _set_directory),
}


class Surroundings:
    """The state at the time it is made; `restore` brings it back."""

    def __init__(self) -> None:
        self._before = {name: read() for name, (read, _) in _STATES.items()}

    def restore(self, code: str) -> list[str]:
        """Put changed state back.

        Args:
            code: whose code ran since, as the sentence names it.

        Returns:
            A sentence for each state that had been changed.
        """
        found = []
        for name, (read, write) in _STATES.items():
            if read() != self._before[name]:
                write(self._before[name])
                found.append(f"{code} changed {name}; it was restored.")
        return found
