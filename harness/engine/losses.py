"""The losses of an epoch's steps: checked to be finite, and averaged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from harness.errors import RunFailedError
from harness.model import StepOutput

# Steps on a GPU that are read together.
READ_EVERY = 32


class LossNotFiniteError(RunFailedError):
    """A NaN or infinite loss; ``failure`` holds epoch, step, terms and batch ids."""

    def __init__(
        self, epoch: int, step: int, terms: Mapping[str, float], ids: Sequence[str]
    ) -> None:
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        super().__init__(
            f"the loss became {terms['loss']} in epoch {epoch}, step {step} "
            f"(not finite: {', '.join(bad)}; first samples: {', '.join(ids[:3])}). "
            "Try a smaller --set training.lr or --set training.clip_norm=1."
        )
        self.failure: dict[str, Any] = {
            "reason": str(self),
            "epoch": epoch,
            "step": step,
            "terms": dict(terms),
            "ids": list(ids),
        }


class EpochLosses:
    """Sums of the loss and its terms over the steps of an epoch, in float64.

    A CPU's numbers are read at every step. Reading a GPU's waits until all that is queued on it is
    done, so those of several steps are read together: a loss that is not finite then ends the run
    up to `READ_EVERY` steps later, with the same message, and before the epoch is stored.

    Args:
        epoch: the epoch, for messages.
        at_once: read every step at once.
    """

    def __init__(self, epoch: int, *, at_once: bool) -> None:
        self._epoch, self._at_once = epoch, at_once
        self._sums: dict[str, float] = {}
        self._count = 0
        self._waiting: list[tuple[int, Sequence[str], Sequence[str], Tensor]] = []
        self.last = math.nan
        """The latest loss that was read."""

    def add(self, step: int, output: StepOutput, ids: Sequence[str]) -> None:
        """Take a step's output.

        Raises:
            LossNotFiniteError: the loss of a step that was read is NaN or infinite.
        """
        parts = {"loss": output.loss, **output.terms}
        if self._at_once:
            self._take(step, {name: float(value.item()) for name, value in parts.items()}, ids)
            return
        values = [x.detach().reshape(()).to(torch.float64) for x in parts.values()]
        self._waiting.append((step, ids, tuple(parts), torch.stack(values)))
        if len(self._waiting) == READ_EVERY:
            self.read()

    def read(self) -> None:
        """Read what has not been read.

        Raises:
            LossNotFiniteError: the loss of one of these steps is NaN or infinite.
        """
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        values = iter(torch.cat([each[-1] for each in waiting]).tolist())
        for step, ids, names, _ in waiting:
            self._take(step, {name: next(values) for name in names}, ids)

    def means(self) -> dict[str, float]:
        """Return the mean of each over all steps; a step without a term counts as 0.

        Raises:
            LossNotFiniteError: as of `read`.
        """
        self.read()
        return {name: total / self._count for name, total in self._sums.items()}

    def _take(self, step: int, terms: Mapping[str, float], ids: Sequence[str]) -> None:
        self.last = terms["loss"]
        if not math.isfinite(self.last):
            raise LossNotFiniteError(self._epoch, step, terms, ids)
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
