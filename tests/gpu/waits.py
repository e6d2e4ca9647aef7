"""Which calls of a training step would wait for a GPU, told in the disguise of `cuda_in_disguise`.

A call waits where Python is given a number of the device, where the shape of a result depends on
values there, and where data are copied from or to the CPU without ``non_blocking=True``. So does
`torch.cuda.set_sync_debug_mode` count, which needs a device.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from harness.engine.loop import Trainer
from tests.gpu.disguise import Disguised

ROOT = Path(__file__).parents[2]
# fmt: off
TO_PYTHON = {
    "item", "tolist", "__bool__", "__float__", "__int__", "__index__", "__complex__", "is_nonzero",
    "equal", "allclose", "numpy", "__array__", "cpu",
}
SHAPED_BY_VALUES = {
    "nonzero", "argwhere", "unique", "_unique2", "unique_dim", "unique_consecutive",
    "masked_select", "bincount", "combinations", "multinomial", "histogram", "__contains__",
}
CHECKED_ON_THE_CPU = {
    "inverse", "inv", "linalg_inv", "linalg_cholesky", "cholesky", "linalg_eigh", "linalg_svd",
    "svd", "linalg_solve", "linalg_qr", "qr", "pinverse", "linalg_pinv", "linalg_lstsq",
}
MADE_FROM_PYTHON = {"tensor", "as_tensor", "new_tensor"}
# fmt: on


class Waits(TorchFunctionMode):
    """Notes calls that would wait, as ``name (file:line)``; enter it inside of the disguise."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []
        self.noting = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if self.noting and waits(name, args, kwargs):
            self.noted.append(f"{name} ({_place()})")
        return func(*args, **kwargs)


def note_steps(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Return what notes calls in the engine's training steps, but for the first epoch.

    The first step of a run is checked, and checks wait.
    """
    noted, step = Waits(), Trainer._step

    def watched(self: Trainer, ctx: Any, *rest: Any) -> None:
        noted.noting = ctx.epoch > 0
        try:
            step(self, ctx, *rest)
        finally:
            noted.noting = False

    monkeypatch.setattr(Trainer, "_step", watched)
    return noted


def waits(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Return whether a call of a torch function would wait for the device."""
    given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    ours = [x for x in given if isinstance(x, Disguised)]
    if name in MADE_FROM_PYTHON:
        data = args[1] if name == "new_tensor" else args[0]
        there = (name == "new_tensor" and bool(ours)) or _cuda(args[1:], kwargs)
        return there and not isinstance(data, Disguised)
    if name in ("to", "cuda", "type_as", "copy_"):
        return _copies(name, args, kwargs)
    if not ours:
        return False
    if name in TO_PYTHON | SHAPED_BY_VALUES | CHECKED_ON_THE_CPU:
        return name != "multinomial" or not kwargs.get("replacement", False)
    if name == "one_hot":
        return len(args) < 2 and "num_classes" not in kwargs
    if name == "repeat_interleave":
        counts = kwargs.get("repeats", args[1] if len(args) > 1 else args[0])
        return isinstance(counts, Tensor) and kwargs.get("output_size") is None
    if name == "where":
        return len(args) + len(kwargs) == 1
    if name in ("__getitem__", "__setitem__"):
        return _indexes(name, args)
    return False


def _cuda(args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    named = [*args, kwargs.get("device")]
    return any(str(x).startswith("cuda") for x in named if isinstance(x, str | torch.device))


def _copies(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    here = isinstance(args[0], Disguised)
    others = [x for x in args[1:] if isinstance(x, Tensor)]
    named = [x for x in (*args[1:], kwargs.get("device")) if isinstance(x, str | torch.device)]
    if name == "cuda":
        there = True
    elif others:
        there = isinstance(others[0], Disguised)
    elif named:
        there = str(named[0]).startswith("cuda")
    else:
        return False
    return here != there and args[0].dim() > 0 and not _not_blocking(name, args, kwargs)


def _not_blocking(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    given = [x for x in args[1:] if isinstance(x, bool)]
    return bool(kwargs.get("non_blocking", given[0] if given else False))


def _indexes(name: str, args: Sequence[Any]) -> bool:
    """Return whether an index is a mask, whose number of results is unknown, or comes from here.

    A scalar written through a mask is a ``masked_fill``.
    """
    index = args[1] if isinstance(args[1], tuple) else (args[1],)
    for one in index:
        if isinstance(one, Tensor) and one.dtype in (torch.bool, torch.uint8) and one.dim():
            value = args[2] if name == "__setitem__" else None
            scalar = isinstance(value, bool | int | float) or (
                isinstance(value, Tensor) and value.dim() == 0
            )
            return not (scalar and len(index) == 1)
        if isinstance(one, list | np.ndarray):
            return True
        if isinstance(one, Tensor) and one.dim() and not isinstance(one, Disguised):
            return True
    return False


def _place() -> str:
    """Return the innermost line outside of torch and of the tests' disguise."""
    frame = sys._getframe(2)
    here = str(ROOT)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(here) and "/tests/" not in file.removeprefix(here):
            return f"{file.removeprefix(here + '/')}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "torch"
