"""The checks of one run, and what they warn of (`harness.conformance` says what they demand)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.conformance import (
    BatchWatch,
    ParameterWatch,
    Surroundings,
    check_complete,
    check_encodings,
    check_facts,
    check_prediction,
    check_step_output,
    padding_gap,
)
from harness.conformance.prediction import BF16_TOLERANCE, LOOSE_TOLERANCE, TOLERANCE
from harness.data.batch import Batch
from harness.engine.device import Compute
from harness.engine.predict import predict
from harness.engine.seeds import isolated_rng
from harness.model import ModelPlugin, StepOutput


class RunChecks:
    """Makes the checks of a run; those that fail raise `CheckFailedError`.

    ``warnings`` are sentences, each once, for the run's record.

    Args:
        model: the model that is trained.
        compute: what the run computes on.
    """

    def __init__(self, model: ModelPlugin, compute: Compute) -> None:
        self._model, self._compute = model, compute
        self._kind = type(model).__name__
        self._parameters: ParameterWatch | None = None
        self._first_step: list[BatchWatch] = []
        self._whole_epochs = 0
        self._steps = 0
        self._seed = 0
        self.warnings: list[str] = []

    def warn(self, sentences: Iterable[str]) -> None:
        """Keep sentences that are not there yet."""
        self.warnings += [s for s in dict.fromkeys(sentences) if s not in self.warnings]

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """Put back what the model's code changes of the process."""
        before = Surroundings()
        try:
            yield
        finally:
            self.warn(before.restore(self._kind))

    def prediction(self, model: ModelPlugin, batches: Iterable[Batch]) -> None:
        """Check on the first batch that a prediction is a function of its sample."""
        first = next(iter(batches), None)
        if first is None:
            return
        if self._compute.precision == "bf16":
            tolerance = BF16_TOLERANCE
        else:
            tolerance = TOLERANCE if self._compute.device.type == "cpu" else LOOSE_TOLERANCE
        moved = first.without_labels().to(self._compute.device)

        def alone(batch: Batch) -> NDArray[np.float32]:
            return predict(model, [batch], self._compute)

        with isolated_rng():
            before = torch.get_rng_state()
            check_prediction(model, moved, alone, tolerance)
            if not model.reads_padding and (gap := padding_gap(moved, alone)) > tolerance:
                self.warn(
                    [
                        f"{self._kind}.predict_step gives other scores where masked positions at "
                        f"the end are left out (they differ by {gap:.2g}): read the mask, or set "
                        "reads_padding."
                    ]
                )
            if model.shares_encodings:
                check_encodings(
                    model,
                    moved,
                    lambda batch, step: predict(model, [batch], self._compute, step),
                    tolerance,
                )
            if not torch.equal(torch.get_rng_state(), before):
                self.warn([f"{self._kind}.predict_step draws random numbers; it must not."])

    def labels(self, labels: Tensor) -> None:
        """Warn where there is nothing to learn."""
        if labels.numel() and not bool(labels.any()):
            self.warn(["no training sample has a label: there is nothing to learn."])

    def start(self, optimizers: list[torch.optim.Optimizer] | None) -> None:
        """Watch the model's parameters from here on; None: the loop does not train them."""
        self._parameters = ParameterWatch(self._model, optimizers)

    def start_epoch(self) -> None:
        """Called when an epoch's random numbers have been seeded."""
        self._seed = torch.initial_seed()

    def before_step(self, batch: Batch, complete: Batch | None = None) -> None:
        """Called with the batch of the first step, and the complete one where there is one."""
        self._first_step = [BatchWatch(batch)]
        if complete is not None:
            check_complete(batch, complete)
            self._first_step.append(BatchWatch(complete))

    def after_step(self, output: Any) -> StepOutput:
        """Return what ``training_step`` gave, checked."""
        checked = check_step_output(self._model, output)
        self._steps += 1
        for watch in self._first_step:
            watch.check(f"{self._kind}.training_step")
        self._first_step = []
        return checked

    def end_epoch(self, means: Mapping[str, float], selectable: bool) -> None:
        """Check what an epoch shows.

        Args:
            means: loss terms by name.
            selectable: whether all parts of the model are trained by now
                (`harness.model.ModelPlugin.selects_from`).
        """
        self.warn(
            f"{self._kind}.training_step: the term {name!r} was {value}; it is logged as null."
            for name, value in means.items()
            if not math.isfinite(value)
        )
        if torch.initial_seed() != self._seed:
            self.warn([f"{self._kind} seeded torch's random numbers anew in training."])
        if selectable and not self._whole_epochs and self._parameters is not None:
            self.warn(self._parameters.warnings())
            check_facts(self._model, self._model.describe())
        self._whole_epochs += selectable

    def end(self, trained: bool) -> None:
        """Check the model when training has ended; ``trained``: by this process."""
        if self._parameters is not None:
            self._parameters.close()
            # A schedule that warms up may begin with a step of length 0.
            if trained and (self._steps > 1 or not self._model.iterative):
                self._parameters.check_changed()
        if not self._model.iterative:
            return  # it may keep NaN on purpose, for what was not fitted
        self.warn(
            f"{self._kind}: {name!r} holds NaN after training."
            for name, value in self._model.state_dict().items()
            if isinstance(value, Tensor)
            and value.is_floating_point()
            and not value.is_meta
            and bool(value.isnan().any())
        )
