"""What every benchmark shares: clocks, the product, peak memory, children, result files.

A time is the CPU seconds of the process on one CPU thread, wall-clock seconds elsewhere (on several
threads, and on CUDA, which is waited for). Times are told in products: multiples of the time of a
`SIDE` x `SIDE` float32 matrix product on the same device, measured in turn with the work, which
tells machines apart from code.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch

SIDE = 1536
PRODUCT = f"{SIDE} x {SIDE} float32 matrix product"
PRODUCT_FLOP = 2 * SIDE**3
# Work is disturbed by other processes whose median takes this many times its best.
DISTURBED = 1.5
RESULTS = Path(__file__).parent / "results"
# What makes the libraries behind torch leave AVX-512 alone; `sse4` lets products run on SSE 4.2 and
# the rest on AVX2: a product then takes about the .2 s of the machine of the authors' figures.
ISA = {
    "default": {},
    "avx2": {
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
    },
    "sse4": {
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
    },
}
GIGA = 1e9


def seconds(work: Callable[[], object], device: torch.device | None = None) -> float:
    """Return the seconds of one call; see the module on which seconds."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        work()
        torch.cuda.synchronize(device)
        return time.perf_counter() - start
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    work()
    return clock() - start


def product(device: torch.device) -> Callable[[], object]:
    """Return the product that times are set in relation to."""
    a = torch.randn(SIDE, SIDE, device=device)
    out = torch.empty_like(a)
    return lambda: torch.mm(a, a, out=out)


def in_turn(
    works: Mapping[str, Callable[[], object]],
    device: torch.device,
    rounds: int,
    limit: float = 60.0,
    warm: int = 1,
) -> dict[str, list[float]]:
    """Return the seconds of every work, round by round, the product's under ``product``.

    Args:
        works: what is measured, by name.
        device: where it runs.
        rounds: rounds that count; fewer, but two, where they take longer than ``limit`` seconds.
        limit: wall-clock seconds.
        warm: rounds before those that count.
    """
    multiply = product(device)
    times: dict[str, list[float]] = {name: [] for name in ("product", *works)}
    began = time.perf_counter()
    for number in range(warm + rounds):
        if number >= warm + min(2, rounds) and time.perf_counter() - began > limit:
            break
        found = {"product": [seconds(multiply, device) for _ in range(3)]}
        for name, work in works.items():
            found[name] = [seconds(work, device)]
        if number >= warm:
            for name, taken in found.items():
                times[name] += taken
    return times


def disturbed(times: Mapping[str, Sequence[float]]) -> bool:
    """Return whether other work on the machine disturbed one of the measured times."""
    return any(median(t) > DISTURBED * min(t) for t in times.values() if t)


def resident(peak: bool = False) -> float | None:
    """Return the resident memory of the process in GB, or its ``peak``; None: unknown here."""
    with suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        key = "VmHWM:" if peak else "VmRSS:"
        (kilobytes,) = (line.split()[1] for line in status if line.startswith(key))
        return int(kilobytes) * 1024 / GIGA
    return None


class Peak:
    """The peak of the resident memory from when this was made on.

    Both figures are in GB, or None where the system does not tell them. A process may give memory
    back between two readings: ``start`` belongs to this counter, and `read` is never below it. A
    reading taken before the counter began cannot be set in relation to it.
    """

    def __init__(self) -> None:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        self.start = resident()

    def read(self) -> float | None:
        """Return the peak so far."""
        found = resident(peak=True)
        return None if found is None or self.start is None else max(self.start, found)

    def above(self) -> float | None:
        """Return how far the peak so far is above the start."""
        found = self.read()
        return None if found is None or self.start is None else found - self.start


def device_name(device: torch.device) -> str:
    """Return the name of the processor or the accelerator."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")]
    return names[0] if names else platform.machine()


def machine(device: torch.device | None = None) -> dict[str, Any]:
    """Return where and with what was measured, for a result file."""
    where = device or torch.device("cpu")
    on_cpu = where.type == "cpu"
    return {
        "processor": device_name(where),
        "threads": torch.get_num_threads() if on_cpu else None,
        "isa": torch.backends.cpu.get_cpu_capability() if on_cpu else None,
        "clock": "process CPU" if on_cpu and torch.get_num_threads() == 1 else "wall",
        "environment": {
            name: os.environ[name]
            for name in (*ISA["avx2"], "THP_MEM_ALLOC_ENABLE", "OMP_NUM_THREADS")
            if name in os.environ
        },
        "torch": torch.__version__,
        "python": platform.python_version(),
        "product": PRODUCT,
    }


def in_child(
    function: str,
    arguments: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    here: bool = False,
) -> Any:
    """Return what a function returns in a process of its own.

    Args:
        function: ``module:name`` of a function of keyword arguments.
        arguments: JSON values.
        environment: variables on top of this process's.
        here: call it in this process instead.

    Raises:
        click.ClickException: the child failed; the end of its error output is the message.
    """
    if here:
        return call(function, arguments)
    command = [sys.executable, "-m", "benchmarks.measuring", function, json.dumps(arguments)]
    done = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = done.stderr.strip().splitlines()[-12:]
        raise click.ClickException(f"{function} ended with {done.returncode}:\n" + "\n".join(tail))
    return json.loads(done.stdout.splitlines()[-1])


# Starts a command and says what it took. A process's peak counts what its parent had when it was
# started, so that the parent must be small.
_LAUNCHER = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, use = os.wait4(process.pid, 0)
found = {"cpu_s": use.ru_utime + use.ru_stime, "wall_s": time.perf_counter() - began}
found |= {"peak_gb": use.ru_maxrss * 1024 / 1e9, "code": os.waitstatus_to_exitcode(status)}
print(json.dumps(found))
"""


def spent(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, float]:
    """Return CPU seconds, wall seconds and peak memory of a Python command and its children.

    Args:
        command: arguments of Python.
        environment: variables on top of this process's.

    Raises:
        click.ClickException: it failed; the message is the end of what it printed.
    """
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _LAUNCHER, sys.executable, *command],
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, float] = json.loads(done.stdout) if done.returncode == 0 else {"code": 1}
    if found.pop("code"):
        raise click.ClickException(f"{' '.join(command)}: {done.stderr.strip()[-1500:]}")
    return found


def call(function: str, arguments: Mapping[str, Any]) -> Any:
    """Return what ``module:name`` returns for these arguments."""
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(**arguments)


def write(name: str, found: Mapping[str, Any]) -> Path:
    """Write a result of this name as JSON, whole or not at all; return its file."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
    return path


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as text in columns, the first to the left, numbers to the right."""
    cells = [[*columns], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = []
    for row in cells:
        first, *rest = (
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *rest]).rstrip())
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


if __name__ == "__main__":
    print(json.dumps(call(sys.argv[1], json.loads(sys.argv[2]))))
