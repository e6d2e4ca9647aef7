"""Where and how precisely a run computes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

import torch

from harness.conformance import set_deterministic
from harness.engine.seeds import Restored
from harness.errors import UsageError

Precision = Literal["fp32", "bf16"]

# torch asks for huge pages where this is set before its first allocation: fresh tensors of more
# than 2 MB then cost a small part of the page faults, which are half of an element-wise operation.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


@dataclass(frozen=True)
class Compute:
    """A device, a precision (``fp32``, or ``bf16`` autocast) and the threads of a CPU.

    Sums over threads depend on how many there are, so their number is part of what a run is: one,
    unless a user asks for more, however many runs share the machine.
    """

    device: torch.device
    precision: Precision = "fp32"
    threads: int = 1

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the autocast context of the precision."""
        if self.precision == "fp32":
            return nullcontext()
        if self.device.type == "cpu" and not _onednn_has_bf16():
            return Restored(_autocast_without_onednn)
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    @property
    def name(self) -> str:
        """Return the hardware's name for the record."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return self.device.type

    def reset_peak_memory(self) -> None:
        """Start counting peak memory anew, where the device can."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_memory(self) -> int | None:
        """Return the peak memory in bytes: allocated on the GPU, else resident of the process.

        None where the system does not tell. On a CPU it is the peak since the process started.
        """
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        try:
            import resource
        except ImportError:  # Windows
            return None
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def deterministic(self) -> Restored:
        """Return the context in which what results depend on is fixed.

        On a CPU the threads, and deterministic algorithms; on CUDA that fp32 is fp32, for cuDNN
        would round to TF32 by default. Sums by atomic additions keep no order there.
        """
        return Restored(_without_tf32 if self.device.type == "cuda" else self._fix_cpu)

    def _fix_cpu(self) -> Callable[[], None]:
        before = torch.are_deterministic_algorithms_enabled()
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        threads = torch.get_num_threads()
        fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
        torch.set_num_threads(self.threads)
        set_deterministic(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

        def undo() -> None:
            torch.set_num_threads(threads)
            set_deterministic(before, warn_only=warn_only)
            torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]

        return undo


@cache
def _onednn_has_bf16() -> bool:
    """Return whether oneDNN, where torch has it, computes in bf16 on this CPU (AVX-512)."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return True
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _autocast_without_onednn() -> Callable[[], None]:
    """Enter autocast with torch's own kernels: oneDNN's LSTM fails where it has no bf16."""
    enabled = torch.backends.mkldnn.enabled
    context = torch.autocast("cpu", dtype=torch.bfloat16)
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    context.__enter__()  # type: ignore[no-untyped-call]

    def undo() -> None:
        context.__exit__(None, None, None)
        torch.backends.mkldnn.enabled = enabled

    return undo


def _without_tf32() -> Callable[[], None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False

    def undo() -> None:
        torch.backends.cudnn.allow_tf32 = before

    return undo


def choose(device: str = "auto", precision: str = "fp32", threads: int = 1) -> Compute:
    """Return the compute of ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` at a precision.

    Raises:
        UsageError: unknown, or no such CUDA device here.
    """
    if precision not in get_args(Precision):
        raise UsageError(f"unknown precision {precision!r}; choose fp32 or bf16.")
    if threads < 1:
        raise UsageError(f"a run needs at least one thread, not {threads}.")
    # Asking starts CUDA, after which no process can be forked that uses it.
    available = device != "cpu" and torch.cuda.is_available()
    if device == "auto":
        device = "cuda" if available else "cpu"
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()) or (kind == "cpu" and index):
        raise UsageError(f"unknown device {device!r}; choose auto, cpu, cuda or cuda:0.")
    if kind == "cuda" and not available:
        raise UsageError("device 'cuda' asked for, but torch sees no CUDA GPU; use --device cpu.")
    if index and int(index) >= torch.cuda.device_count():
        raise UsageError(
            f"device {device!r} asked for, but there are {torch.cuda.device_count()} GPUs."
        )
    precise: Precision = "bf16" if precision == "bf16" else "fp32"
    return Compute(torch.device(device), precise, threads)


def instruction_set() -> str:
    """Return the vector instructions that torch computes with on this CPU, as ``AVX2``.

    Sums in other registers have other last bits: part of why a training is not bit-equal between
    machines.
    """
    return str(torch.backends.cpu.get_cpu_capability())


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended, in seconds.

    Children are known on systems that count them (not on Windows).
    """
    times = os.times()
    return time.process_time() + times.children_user + times.children_system
