"""A CUDA device in disguise: tensors of the CPU that are refused wherever CUDA would refuse them.

Machines without a GPU can so find tensors made on the wrong device, CPU generators for draws on
CUDA, `.numpy()` of a CUDA tensor, and the types that CUDA's autocast mixes, which are not those of
the CPU's. What a kernel computes is not the subject.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda", 0)
# The lists of torch's documentation ("CUDA Ops that can autocast"), as far as models call them.
# fmt: off
TO_BF16 = {
    "addbmm", "addmm", "addmv", "baddbmm", "bmm", "conv1d", "conv2d", "einsum", "gru", "gru_cell",
    "linear", "lstm", "lstm_cell", "matmul", "mm", "mv", "prelu", "scaled_dot_product_attention",
    "__matmul__", "__rmatmul__",
}
TO_FP32 = {
    "acos", "asin", "binary_cross_entropy_with_logits", "cdist", "cosine_embedding_loss",
    "cosine_similarity", "cross_entropy_loss", "cumprod", "cumsum", "dist", "exp", "expm1", "gelu",
    "group_norm", "hinge_embedding_loss", "kl_div", "l1_loss", "layer_norm", "log", "log10",
    "log1p", "log2", "log_softmax", "logsumexp", "mse_loss", "nll_loss", "nll_loss_nd", "norm",
    "normalize", "pow", "__pow__", "prod", "reciprocal", "rsqrt", "sinh", "smooth_l1_loss",
    "soft_margin_loss", "softmax", "softplus", "sum", "tan", "vector_norm", "linalg_vector_norm",
}
WIDEST = {
    "addcdiv", "addcmul", "atan2", "bilinear", "dot", "index_put", "scatter_add", "tensordot",
}
# Calls that may be given tensors of the CPU as well.
ON_CPU = {
    "_pack_padded_sequence", "_pad_packed_sequence", "lstm", "gru", "to", "cpu", "copy_", "type_as",
    "__getitem__", "__setitem__", "__set__",
}
UNSEEN = {"as_subclass", "_parse_to", "_has_compatible_shallow_copy_type"}
# fmt: on
REDUCED = (torch.bfloat16, torch.float16)


class Disguised(Tensor):
    """A tensor that says it is on CUDA."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.as_subclass(Tensor).__reduce_ex__(protocol)


def disguised(x: Tensor) -> Tensor:
    return x if isinstance(x, Disguised) else x.as_subclass(Disguised)


class WrongDeviceError(AssertionError):
    """What CUDA would refuse."""


class Disguise(TorchFunctionMode):
    """Answers every call of a torch function as a CUDA device would, on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.autocasting = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        name, kwargs = getattr(func, "__name__", ""), dict(kwargs or {})
        owner = getattr(func, "__self__", None)
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        ours = [x for x in given if isinstance(x, Disguised)]
        if func is torch.device or name in UNSEEN:
            return func(*args, **kwargs)
        if owner is Tensor.device and ours:
            return CUDA
        if owner is Tensor.is_cuda:
            return bool(ours)
        if name in ("numpy", "__array__") and ours:
            raise WrongDeviceError(f"{name} of a CUDA tensor")
        there = bool(ours)
        args, kwargs, asked = _without_device(args, kwargs)
        if asked is not None:
            there = asked.type == "cuda"
        elif name == "cpu":
            there = False
        elif name in ("to", "type_as", "copy_"):
            like = [x for x in args[:2] if isinstance(x, Tensor)][0 if name == "copy_" else -1]
            there = isinstance(like, Disguised)
        self._check(name, args, kwargs, given, ours, there)
        if self.autocasting and ours:
            args, kwargs = _autocast(name, args, kwargs, given)
        out = func(*args, **kwargs)
        if not isinstance(out, Tensor | list | tuple):
            return out
        wear = disguised if there else _plain
        if name in ("_pack_padded_sequence", "_pad_packed_sequence"):
            return wear(out[0]), *out[1:]
        return tree_map(lambda x: wear(x) if isinstance(x, Tensor) else x, out)

    def _check(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        given: list[Tensor],
        ours: list[Tensor],
        there: bool,
    ) -> None:
        drawn = kwargs.get("generator")
        if there and drawn is not None and drawn.device.type == "cpu":
            raise WrongDeviceError(f"{name} draws on CUDA from a CPU generator")
        stray = [x for x in given if not isinstance(x, Disguised) and x.dim() > 0]
        if ours and stray and name not in ON_CPU:
            raise WrongDeviceError(f"{name} mixes CUDA with a CPU tensor {list(stray[0].shape)}")
        if name == "_pack_padded_sequence" and isinstance(args[1], Disguised):
            raise WrongDeviceError("lengths of packed sequences have to be on the CPU")
        if name in ("__getitem__", "__setitem__") and ours:
            if not isinstance(args[0], Disguised):
                raise WrongDeviceError("a CPU tensor is indexed by a CUDA tensor")
            value = args[2] if name == "__setitem__" else None
            if isinstance(value, Tensor) and value.dim() and not isinstance(value, Disguised):
                raise WrongDeviceError("a CPU tensor is written into a CUDA tensor")


def _plain(x: Tensor) -> Tensor:
    return x.as_subclass(Tensor) if type(x) is Disguised else x


def _without_device(
    args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[Sequence[Any], dict[str, Any], torch.device | None]:
    """Return the arguments with CUDA replaced by the CPU, and the device they name."""
    asked: torch.device | None = None

    def swap(x: Any) -> Any:
        nonlocal asked
        named = isinstance(x, str) and x.partition(":")[0] in ("cuda", "cpu")
        if named or isinstance(x, torch.device):
            asked = torch.device(x)
            return torch.device("cpu")
        return x

    return tuple(map(swap, args)), {k: swap(v) for k, v in kwargs.items()}, asked


def _autocast(
    name: str, args: Sequence[Any], kwargs: dict[str, Any], given: list[Tensor]
) -> tuple[Sequence[Any], dict[str, Any]]:
    name = name.strip("_") if name.strip("_") in TO_BF16 | TO_FP32 else name
    widest = torch.float32 if any(x.dtype == torch.float32 for x in given) else torch.bfloat16
    aim, eligible = None, (*REDUCED, torch.float32)
    if name in TO_BF16:
        aim = torch.bfloat16
    elif name in TO_FP32 and kwargs.get("dtype") is None:
        aim = torch.float32
    elif name in WIDEST:
        aim = widest
    if aim is None:
        return args, kwargs

    def cast(x: Any) -> Any:
        if isinstance(x, Disguised) and x.dtype in eligible:
            return disguised(x.to(aim))
        return x

    return tree_map(cast, tuple(args)), tree_map(cast, kwargs)


class _Autocast:
    """`torch.autocast` for the disguise: which device it names does not matter."""

    def __init__(self, mode: Disguise) -> None:
        self._mode = mode

    @contextmanager
    def __call__(
        self, device_type: str, *args: Any, enabled: bool = True, **kw: Any
    ) -> Iterator[None]:
        before, self._mode.autocasting = self._mode.autocasting, enabled
        try:
            yield
        finally:
            self._mode.autocasting = before


@contextmanager
def cuda_in_disguise() -> Iterator[None]:
    """Let ``cuda`` be a device: models are put on it by `put`, batches by ``batch.to("cuda")``."""
    mode = Disguise()
    with ExitStack() as stack:
        # Functions written in Python then run as they are, and every call they make is seen.
        for name in (
            "has_torch_function",
            "has_torch_function_unary",
            "has_torch_function_variadic",
        ):
            for module in (torch.nn.functional, torch.functional):
                if isinstance(getattr(module, name, None), types.BuiltinFunctionType):
                    stack.enter_context(patch.object(module, name, lambda *_: False))
        stack.enter_context(patch.object(torch, "autocast", _Autocast(mode)))
        stack.enter_context(patch.object(nn.RNNBase, "flatten_parameters", lambda self: None))
        stack.enter_context(mode)
        yield


def put(module: nn.Module) -> nn.Module:
    """Put a module's parameters and buffers on the disguised device (inside of it), in place."""
    for part in module.modules():
        for name, p in part._parameters.items():
            if p is not None:
                moved = disguised(p.detach())
                part._parameters[name] = nn.Parameter(moved, requires_grad=p.requires_grad)
        for name, b in part._buffers.items():
            if b is not None:
                part._buffers[name] = disguised(b)
        if isinstance(part, nn.RNNBase):
            part._flat_weights = [getattr(part, n) for n in part._flat_weights_names]
    return module
