"""Parameters: each in one optimiser, each with a gradient, and changed when training ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from harness.conformance.errors import CheckFailedError
from harness.model import ModelPlugin

MOST_NAMES = 5


class ParameterWatch:
    """Watches the trainable parameters of a model while it is trained.

    A hook on each parameter notes its first gradient and removes itself, so that later steps cost
    nothing.

    Args:
        model: the model, before its first step.
        optimizers: its optimisers; None: it trains itself, in ``fit``.
    """

    def __init__(
        self, model: ModelPlugin, optimizers: Sequence[torch.optim.Optimizer] | None
    ) -> None:
        self._model = model
        self._trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        # On the CPU: the memory of a GPU is measured.
        self._before = {n: p.detach().to("cpu", copy=True) for n, p in self._trained.items()}
        self._waiting = set(self._trained)
        self._hooks: dict[str, RemovableHandle] = {}
        self._without: list[str] = []
        self._twice: list[str] = []
        if optimizers is None:
            return
        counts = Counter(
            id(p) for o in optimizers for group in o.param_groups for p in group["params"]
        )
        self._without = [n for n, p in self._trained.items() if not counts[id(p)]]
        self._twice = [n for n, p in self._trained.items() if counts[id(p)] > 1]
        for name, parameter in self._trained.items():
            register: Any = parameter.register_post_accumulate_grad_hook
            self._hooks[name] = register(self._seen(name))

    def warnings(self) -> list[str]:
        """Return what is odd, a sentence a kind; call it when the first epoch has ended."""
        kind = type(self._model).__name__
        found = []
        if self._without:
            found.append(f"{kind}: in no optimiser, hence never trained: {_names(self._without)}.")
        if self._twice:
            found.append(f"{kind}: in more than one optimiser: {_names(self._twice)}.")
        # Gradients may also be written without a backward pass (`torch.autograd.grad`).
        dead = [
            n
            for n in self._trained
            if n in self._waiting and n not in self._without and self._unchanged(n)
        ]
        if dead:
            found.append(f"{kind}: no gradient in the first epoch: {_names(dead)}.")
        return found

    def check_changed(self) -> None:
        """Check that training changed a parameter; call it when training has ended.

        Raises:
            CheckFailedError: parameters are trainable and none of them changed.
        """
        self.close()
        if self._trained and all(map(self._unchanged, self._trained)):
            raise CheckFailedError(
                "parameters-change",
                f"training changed no parameter of {type(self._model).__name__}. Does "
                "configure_optimizers give an optimiser over its parameters, with a learning rate "
                "above 0?",
            )

    def _unchanged(self, name: str) -> bool:
        # By name: a model may put another parameter in the place of one.
        parameter = dict(self._model.named_parameters()).get(name)
        before = self._before[name]
        return parameter is not None and (
            parameter.shape == before.shape
            and bool(torch.equal(parameter.detach().to("cpu"), before))
        )

    def close(self) -> None:
        """Remove the hooks that are left."""
        for hook in self._hooks.values():
            hook.remove()
        self._hooks.clear()

    def _seen(self, name: str) -> Callable[[Tensor], None]:
        def note(parameter: Tensor) -> None:
            self._waiting.discard(name)
            hook = self._hooks.pop(name, None)
            if hook is not None:
                hook.remove()

        return note


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
