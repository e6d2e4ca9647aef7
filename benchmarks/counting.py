"""Counting the floating-point operations of matrix products, convolutions and recurrent layers.

Every operation that reaches ATen is seen, forward and backward, those inside of custom autograd
functions and what is computed a second time in a backward pass included; a multiplication and an
addition are two. The formulas are those of `torch.utils.flop_counter`; those it lacks on a CPU are
added here: attention's CPU kernels, oneDNN's LSTM, products with a vector, sums of products in
place. Element-wise work counts nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import (
    flop_registry,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

aten = torch.ops.aten


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query.shape, key.shape, value.shape))  # type: ignore[no-untyped-call]


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    shapes = (grad.shape, query.shape, key.shape, value.shape)
    return int(sdpa_backward_flop_count(*shapes))  # type: ignore[no-untyped-call]


def _lstm(given: Any, weight: Any, recurrent: Any, *_: Any, **__: Any) -> int:
    rows = given.numel() // given.shape[-1]
    return int(2 * rows * (prod(weight.shape) + prod(recurrent.shape)))


def _lstm_backward(*args: Any, **kwargs: Any) -> int:
    # The gradients of the input and of the weights: a product each where forward has one.
    return 2 * _lstm(*args, **kwargs)


def _matrix_vector(matrix: Any, vector: Any, *_: Any, **__: Any) -> int:
    return int(2 * prod(matrix.shape))


def _added_vector(given: Any, matrix: Any, vector: Any, *_: Any, **__: Any) -> int:
    return _matrix_vector(matrix, vector)


def _in_place(packet: Any) -> Callable[..., int]:
    known = flop_registry[packet]
    return lambda *args, **kwargs: int(known(*args, **kwargs, out_val=args[0]))


ADDED: dict[Any, Callable[..., int]] = {
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    aten.mkldnn_rnn_layer: _lstm,
    aten.mkldnn_rnn_layer_backward: _lstm_backward,
    aten.mv: _matrix_vector,
    aten.dot: _matrix_vector,
    aten.addmv: _added_vector,
    aten.addmv_: _added_vector,
    # What is written into its first argument has an operation of its own.
    aten.addmm_: _in_place(aten.addmm),
    aten.baddbmm_: _in_place(aten.baddbmm),
}


class Counted(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts while it is entered: ``by_operation`` holds FLOP by the operation's name."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.by_operation: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Return all FLOP counted."""
        return self.by_operation.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and add what it costs."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        if (added := ADDED.get(packet)) is not None:
            self.by_operation[packet.__name__] += added(*args, **kwargs)
        elif (known := flop_registry.get(packet)) is not None:
            self.by_operation[packet.__name__] += int(known(*args, **kwargs, out_val=out))
        return out


def count(work: Callable[[], object]) -> int:
    """Return the FLOP of one call."""
    with Counted() as counted:
        work()
    total: int = counted.total
    return total
