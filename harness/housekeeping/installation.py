"""Whether Python, its packages and the devices are what a run needs; every fault with its fix.

Nothing that is heavy is imported: what is installed is read from metadata, and the GPU is asked
for by its driver.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import runpy
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import __version__
from harness.plugins import FIRST_PARTY

if TYPE_CHECKING:
    from packaging.requirements import Requirement

State = Literal["ok", "note", "FAIL"]
EXTRAS = {
    "cc": "model cc on support vector machines, figure embeddings, runs diagnose",
    "plots": "harness figure",
    "tune": "harness tune --sampler tpe",
    "tensorboard": "--log tensorboard",
    "slurm": "--launcher slurm",
    "ray": "--launcher ray",
}
"""Extras of the distribution by what they are for; without one only that is missing."""
LEAST = (3, 11)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        state: ``ok``; ``note``: something is missing that not every run needs; ``FAIL``.
        what: its name.
        found: what is there.
        fix: how to mend it; empty: nothing is to be mended.
    """

    state: State
    what: str
    found: str
    fix: str = ""


def installation() -> list[Check]:
    """Return the checks of Python, the harness itself, its packages and devices."""
    return [_python(), _own(), _command(), *_packages(), _device()]


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.platform()}"
    if sys.version_info >= LEAST:
        return Check("ok", "python", found)
    least = ".".join(map(str, LEAST))
    return Check("FAIL", "python", found, f"Install Python {least} or a later one.")


def _own() -> Check:
    place = Path(__file__).parents[1]
    try:
        installed = version(FIRST_PARTY)
    except PackageNotFoundError:
        return Check(
            "FAIL", FIRST_PARTY, f"{__version__} in {place}, but not installed: no plugin is found",
            f"pip install -e {place.parent}",
        )  # fmt: skip
    if installed != __version__:
        return Check(
            "FAIL", FIRST_PARTY, f"{__version__} in {place}, but {installed} is installed",
            f"Take {place.parent} out of PYTHONPATH, or pip install -e {place.parent}",
        )  # fmt: skip
    return Check("ok", FIRST_PARTY, f"{__version__} in {place}")


def _command() -> Check:
    found = shutil.which("harness")
    if found is None:
        return Check(
            "note", "command", "no `harness` on PATH",
            f"Activate the environment, or call it as {sys.executable} -m harness.",
        )  # fmt: skip
    if Path(found).parent.resolve() != Path(sys.executable).parent.resolve():
        return Check(
            "note", "command", f"{found}, of another environment than {sys.executable}",
            "Activate this environment, so that its `harness` comes first on PATH.",
        )  # fmt: skip
    return Check("ok", "command", found)


def _packages() -> Iterator[Check]:
    """Check what is always needed, then what an extra brings."""
    from packaging.requirements import Requirement

    try:
        needs = [Requirement(text) for text in requires(FIRST_PARTY) or ()]
    except PackageNotFoundError:
        return  # said by `_own`
    for need in needs:
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            yield _package(need, "FAIL", f"pip install '{need.name}{need.specifier}'")
    for extra, purpose in EXTRAS.items():
        about = f" (for {purpose}: extra {extra!r})"
        for need in needs:
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                continue
            if need.marker.evaluate({"extra": extra}):
                yield _package(need, "note", f"pip install '{FIRST_PARTY}[{extra}]'", about)


def _package(need: Requirement, otherwise: State, fix: str, about: str = "") -> Check:
    wanted = f"needs {need.name}{need.specifier}{about}"
    try:
        found = version(need.name)
    except PackageNotFoundError:
        return Check(otherwise, need.name, f"missing; {wanted}", fix)
    if need.specifier.contains(found, prereleases=True):
        return Check("ok", need.name, found)
    return Check(otherwise, need.name, f"{found}; {wanted}", fix)


def _device() -> Check:
    gpu, supported = _driver()
    toolkit = _cuda_of_torch()
    cores = f"CPU only, {os.cpu_count()} cores"
    if gpu and not toolkit:
        return Check(
            "note", "device", f"{cores}; {gpu} is there, but this torch was built without CUDA",
            "Install a torch that was built for CUDA (https://pytorch.org/get-started).",
        )  # fmt: skip
    if gpu and supported < _release(toolkit):
        return Check(
            "note", "device", f"{gpu}; torch was built for CUDA {toolkit}, its driver supports up "
            f"to {supported[0]}.{supported[1]}",
            f"Update the driver, or install a torch for CUDA {supported[0]}.{supported[1]}.",
        )  # fmt: skip
    if gpu:
        return Check("ok", "device", f"{gpu}, CUDA {toolkit}")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if any(Path("/dev").glob("nvidia[0-9]*")):
        fix = "Install NVIDIA's driver library (libcuda), or start the container with its GPUs."
        if hidden is not None:
            fix = f"Unset CUDA_VISIBLE_DEVICES, which is {hidden!r} and hides it."
        return Check("note", "device", f"{cores}; a GPU is there that cannot be used", fix)
    return Check("ok", "device", cores)


def _driver() -> tuple[str, tuple[int, int]]:
    """Return the first GPU that NVIDIA's driver sees (empty: none) and the CUDA it supports.

    Importing torch to ask would take seconds.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return "", (0, 0)
    device, name, known = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.c_int()
    # Each returns 0 where it succeeded; the first that did not ends them.
    failed = (
        driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceGetName(name, len(name), device)
        or driver.cuDriverGetVersion(ctypes.byref(known))
    )
    release = (known.value // 1000, known.value % 1000 // 10)
    return ("", (0, 0)) if failed else (name.value.decode(errors="replace"), release)


def _cuda_of_torch() -> str:
    """Return the version of CUDA that torch was built for; empty: none, or torch is not there."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return ""
    return runpy.run_path(str(Path(spec.origin).with_name("version.py")))["cuda"] or ""


def _release(toolkit: str) -> tuple[int, int]:
    """Return the driver's release that CUDA of this version needs: one of its major version."""
    return (int(toolkit.partition(".")[0]), 0)
