"""The optimisers a recipe can name, and BertAdam, which the emotion models were published with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.nn.encoder import InputNorm
from harness.specs import TrainingConfig
from harness.specs.kinds import Schedule

# Values updated at a time: nine passes over them, their gradients and both means stay in a cache.
CACHED_VALUES = 1 << 16


def decays(name: str, module: nn.Module) -> bool:
    """Say whether BertAdam decays a parameter, given its own name and the module that holds it.

    The authors exclude names that contain ``bias`` or ``LayerNorm.weight``. Their encoders' norms
    are called LayerNorm, their input norms are not: so every bias (an LSTM's too) and every
    LayerNorm's gain is left alone, except the gain of an `InputNorm`.
    """
    if "bias" in name:
        return False
    return not isinstance(module, nn.LayerNorm) or isinstance(module, InputNorm)


def _bert_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    seen: set[int] = set()
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                (decayed if decays(name, part) else plain).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _portions(parameters: list[Tensor]) -> Iterator[list[Tensor]]:
    """Yield the parameters in lists of about `CACHED_VALUES`; on an accelerator in one."""
    part: list[Tensor] = []
    size = 0
    for parameter in parameters:
        if part and parameter.device.type == "cpu" and size + parameter.numel() > CACHED_VALUES:
            yield part
            part, size = [], 0
        part.append(parameter)
        size += parameter.numel()
    if part:
        yield part


class BertAdam(Optimizer):
    """Adam without bias correction, decoupled decay, linear warm-up and descent to 0.

    m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  p <- p - lr f(t/T) (m/(sqrt v + eps) + wd p)
    with t counted for each parameter from 0, so that the very first update has rate 0, and
    f(x) = x/w for x < w, else max((x - 1)/(w - 1), 0) or (1 + cos pi x)/2, which is not shifted: it
    starts below 1. A parameter without gradient is skipped,
    decay included. The published code also clips each parameter's gradient to norm 1, which never
    acts after the global clip to 1 and is left out.

    Args:
        params: parameters or groups of them.
        lr: rate at the end of the warm-up.
        total_steps: T.
        warmup: share of the steps, w.
        schedule: descent after the warm-up, ``linear`` or ``cosine``.
        betas: b1 and b2.
        eps: added to the root of v.
        weight_decay: wd.

    Raises:
        ValueError: total_steps is not positive, or warmup is not in [0, 1).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        total_steps: int,
        warmup: float = 0.1,
        schedule: Schedule = "linear",
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
    ) -> None:
        if total_steps <= 0:
            raise ValueError(f"BertAdam needs total_steps > 0, got {total_steps}")
        if not 0.0 <= warmup < 1.0:
            raise ValueError(f"BertAdam needs warmup in [0, 1), got {warmup}")
        defaults = {
            "lr": lr,
            "total_steps": total_steps,
            "warmup": warmup,
            "schedule": schedule,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

    @staticmethod
    def factor(progress: float, warmup: float, schedule: Schedule = "linear") -> float:
        """Return f(progress), the share of the peak learning rate.

        Args:
            progress: t/T.
            warmup: w.
            schedule: of the descent.
        """
        if progress < warmup:
            return progress / warmup
        if schedule == "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * progress))
        return max((progress - 1.0) / (warmup - 1.0), 0.0)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            # Parameters may differ in their counts: one that had no gradient lags behind.
            by_count: dict[int, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros(())
                    state["exp_avg"] = torch.zeros_like(parameter)
                    state["exp_avg_sq"] = torch.zeros_like(parameter)
                by_count.setdefault(int(state["step"]), []).append(parameter)
                state["step"] += 1
            for count, parameters in by_count.items():
                for part in _portions(parameters):
                    self._update(group, count, part)
        return loss

    def _update(self, group: dict[str, Any], count: int, parameters: list[Tensor]) -> None:
        first, second = group["betas"]
        grads = [p.grad for p in parameters if p.grad is not None]
        means = [self.state[p]["exp_avg"] for p in parameters]
        squares = [self.state[p]["exp_avg_sq"] for p in parameters]
        torch._foreach_mul_(means, first)
        torch._foreach_add_(means, grads, alpha=1.0 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, grads, grads, 1.0 - second)
        scale = torch._foreach_sqrt(squares)
        torch._foreach_add_(scale, group["eps"])
        updates = torch._foreach_div(means, scale)
        if group["weight_decay"]:
            torch._foreach_add_(updates, parameters, alpha=group["weight_decay"])
        rate = group["lr"] * self.factor(
            count / group["total_steps"], group["warmup"], group["schedule"]
        )
        torch._foreach_add_(parameters, updates, alpha=-rate)


def build_optimizer(
    module: nn.Module, training: TrainingConfig, total_steps: int, *, fused: bool = False
) -> Optimizer:
    """Return the optimiser a recipe names, over all trainable parameters of ``module``.

    ``adamw`` and ``bertadam`` decay decoupled from the gradient (``adamw`` all parameters,
    ``bertadam`` those of `decays`), ``adam`` and ``sgd`` through it. All parameters are updated by
    one list operation at a time, to the same bits as one by one. ``fused`` runs torch's AdamW or
    Adam as one pass over the memory: the same rule, several times as fast with millions of
    parameters, equal to rounding; the others know no such form.

    Args:
        module: its trainable parameters are optimised.
        training: the recipe.
        total_steps: steps of the whole run, for schedules by step.
        fused: see above.

    Raises:
        ValueError: the recipe names an unknown optimiser.
    """
    lr, decay = training.lr, training.weight_decay
    if training.optimizer == "bertadam":
        groups = _bert_groups(module, decay)
        return BertAdam(
            groups,
            lr,
            total_steps=total_steps,
            warmup=training.warmup,
            schedule=training.schedule,
        )
    parameters = [p for p in module.parameters() if p.requires_grad]
    one_pass, lists = (True, None) if fused else (None, True)
    if training.optimizer == "adamw":
        return torch.optim.AdamW(
            parameters,
            lr,
            weight_decay=decay,
            amsgrad=training.amsgrad,
            fused=one_pass,
            foreach=lists,
        )
    if training.optimizer == "adam":
        return torch.optim.Adam(
            parameters,
            lr,
            weight_decay=decay,
            amsgrad=training.amsgrad,
            fused=one_pass,
            foreach=lists,
        )
    if training.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr, momentum=training.momentum, weight_decay=decay, foreach=True
        )
    raise ValueError(f"unknown optimizer {training.optimizer!r}")
