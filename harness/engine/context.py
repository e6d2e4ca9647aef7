"""What a training step may use of the loop: the implementation of `harness.model.StepContext`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.engine.device import Compute
from harness.specs import TrainingConfig


class LoopContext:
    """The step context of one run; the loop moves ``epoch``, ``step`` and ``generator`` on."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        optimizers: Sequence[torch.optim.Optimizer],
        training: TrainingConfig,
        compute: Compute,
        generator: torch.Generator,
        total_steps: int,
    ) -> None:
        self.optimizers = optimizers
        self.generator = generator
        self.epoch = 0
        self.step = 0
        self.total_steps = total_steps
        self.complete: Batch | None = None
        self._parameters = list(parameters)
        self._training = training
        self._compute = compute
        self._rates = [[g["lr"] for g in o.param_groups] for o in optimizers]

    @property
    def progress(self) -> float:
        """Return the share of all steps done, in [0, 1]."""
        return self.step / self.total_steps if self.total_steps else 0.0

    @property
    def clips(self) -> bool:
        """Return whether the recipe clips gradients at all."""
        return self._training.clip_norm > 0 or self._training.clip_value > 0

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the autocast context of the run's precision."""
        return self._compute.autocast()

    def zero_grad(self) -> None:
        """Clear the gradients of all optimisers."""
        for optimizer in self.optimizers:
            if type(optimizer).zero_grad is not torch.optim.Optimizer.zero_grad:
                optimizer.zero_grad(set_to_none=True)
                continue
            # What torch's does, without its record for profilers, which costs small models more.
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None

    def backward(self, loss: Tensor, *, retain_graph: bool = False) -> None:
        """Accumulate gradients of ``loss``."""
        torch.autograd.backward(loss, retain_graph=retain_graph)

    def clip(self) -> Tensor:
        """Clip the gradients by norm, then by value, as the recipe says.

        Returns:
            The norm of all gradients before clipping, a scalar.
        """
        held = [p for p in self._parameters if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(held, self._training.clip_norm or float("inf"))
        if self._training.clip_value > 0:
            nn.utils.clip_grad_value_(held, self._training.clip_value)
        return norm

    def step_optimizer(self, index: int = 0) -> None:
        """Apply one optimiser's update."""
        self.optimizers[index].step()

    def stay_eager(self) -> None:
        """Have a compiled training step leave optimisers and gradients to the calls below it.

        Traced into a model that steps by itself, torch's optimisers become others: they want their
        counters on the parameters' device, and refuse a run that goes on from a stored state.
        """
        for name in ("zero_grad", "backward", "clip", "step_optimizer"):
            setattr(self, name, torch.compiler.disable(getattr(self, name)))  # type: ignore[no-untyped-call]

    def start_epoch(self, epoch: int, generator: torch.Generator) -> None:
        """Move to an epoch: its random stream, and its rate under a step schedule."""
        self.epoch, self.generator = epoch, generator
        every = self._training.lr_step_epochs
        if every <= 0:
            return
        factor = self._training.lr_step_gamma ** (epoch // every)
        for optimizer, rates in zip(self.optimizers, self._rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
