"""``run --compile``: steps compiled by torch, with the numbers of the steps themselves.

A process that is killed while it compiles leaves half a library in its cache, which every later one
would load. So a run compiles in a folder of its own, under ``HARNESS_HOME/compiled``, that gets its
name when the run has ended well; the next run that compiles the same starts from a copy of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from harness import paths
from harness.children import alive
from harness.conformance import set_deterministic
from harness.errors import UsageError
from harness.specs import ModelSpec

CACHE = "TORCHINDUCTOR_CACHE_DIR"
# The compiler sets it beside its own, for kernels of a GPU.
_OF_KERNELS = "TRITON_CACHE_DIR"

Step = TypeVar("Step", bound=Callable[..., Any])


def check_compilable(model: ModelSpec, device: str) -> None:
    """Refuse a model on a CPU where its card says why it is not compiled there.

    Args:
        model: the model.
        device: type of the device, ``cpu`` or ``cuda``.

    Raises:
        UsageError: says why.
    """
    if model.not_compiled and device == "cpu":
        raise UsageError(
            f"model {model.name!r} is not compiled on a CPU: {model.not_compiled}. Run it without "
            "--compile."
        )


def compiled(step: Step) -> Step:
    """Return a step compiled by torch.

    Random numbers are drawn as the step itself draws them, not by the compiler's own streams.
    """
    import torch._inductor.config as compiler

    compiler.fallback_random = True
    set_deterministic(
        torch.are_deterministic_algorithms_enabled(),
        warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    return torch.compile(step)  # type: ignore[return-value]


@contextmanager
def compile_cache(name: str) -> Iterator[None]:
    """Compile within a folder that counts once it is whole.

    Args:
        name: names what is compiled; runs that compile the same share it.
    """
    root = paths.home() / "compiled"
    whole, mine = root / name, root / f".{name}.{os.getpid()}"
    before = {key: os.environ.get(key) for key in (CACHE, _OF_KERNELS)}
    with paths.storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        _clear(root)
        if whole.is_dir():
            shutil.copytree(whole, mine)
        else:
            mine.mkdir()
    os.environ |= {CACHE: str(mine), _OF_KERNELS: str(mine / "triton")}
    try:
        yield
        with paths.storage_errors(root):
            _put(mine, whole)
    finally:
        for key, value in before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value
        shutil.rmtree(mine, ignore_errors=True)


def _put(mine: Path, whole: Path) -> None:
    """Give a folder its name, unless another run was faster."""
    try:
        mine.rename(whole)
    except OSError:
        if not whole.is_dir():
            raise


def _clear(root: Path) -> None:
    """Remove what processes that are gone left behind."""
    for folder in root.glob(".*"):
        number = folder.suffix.removeprefix(".")
        if number.isdigit() and (int(number) == os.getpid() or not alive(int(number))):
            shutil.rmtree(folder, ignore_errors=True)
