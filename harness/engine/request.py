"""`RunRequest`: what a user asks of a run, by the command line, from Python, or as a grid's line.

The one declaration of a run's options: `harness.cli.options` makes the flags of its fields,
`harness.run` takes them as arguments. This module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.specs import MASK_OPTIONS
from harness.specs.derived import ON, folded_name

SPLITS = ("test", "valid")
"""What a run is scored on: validation alone, or test with validation beside it."""


def silent(message: str) -> None:
    """Drop a message."""


def _asked(default: Any, help: str, **facts: Any) -> Any:
    """Return a field that users set; ``facts`` say how a command line spells it."""
    return field(default=default, metadata={"help": help, **facts})


@dataclass(frozen=True)
class RunRequest:
    """One model on one data set with one seed.

    Fields with ``help`` in their metadata are options: ``flag`` is the option's name where it is
    not the field's, ``multiple`` one that may be repeated, ``least`` the smallest whole number,
    ``choices``, ``metavar`` and ``env`` are as in click. ``isolated``: the run has a process of
    its own; ``lines``: each epoch is told in a line; ``trial``: the run is this point of a search;
    ``until``: it pauses at the end of the epoch that reaches so many optimiser steps.
    """

    model: str
    dataset: str
    seed: int = 0
    test_on: str | None = _asked(
        None, "Score on the test split of another data set; validation stays that of --dataset.",
        metavar="NAME",
    )  # fmt: skip
    folds: str | None = _asked(
        None, "Test every sample once: a number of folds of whole groups, or what a group is "
        "(speaker) for a fold a group.", metavar="N|GROUP",
    )  # fmt: skip
    protocol: str | None = _asked(None, "Data set protocol to hold to, as in mosi@1.")
    mask: str | None = _asked(None, "Which positions a model may attend.", choices=MASK_OPTIONS)
    dropout: tuple[str, ...] = _asked(
        (), "Dropout protocols and suites to score under; full@1 always is.",
        multiple=True, metavar="NAMES",
    )  # fmt: skip
    split: str = _asked(
        "test", "Split to score; valid leaves the test split unopened.", choices=SPLITS
    )
    train_dropout: str | None = _asked(
        None, "Dropout in training: full@1, train-mix@1 or another train-* protocol."
    )
    preset: str | None = _asked(
        None, "Default: tuned on twins and small data sets, paper on the others."
    )
    config: Path | Mapping[str, Any] | None = field(
        default=None,
        metadata={"help": "YAML with model, training, threshold.", "metavar": "FILE"},
    )
    overrides: tuple[str, ...] = _asked(
        (), "Set one config key.", flag="set", multiple=True, metavar="KEY=VALUE"
    )
    device: str = _asked("auto", "auto, cpu or cuda.")
    precision: str = _asked("fp32", "bf16 uses autocast.", choices=("fp32", "bf16"))
    compile: bool = _asked(False, "Compile the model.")
    threads: int = _asked(
        1, "CPU threads of a run; more are faster for large models.",
        least=1, metavar="N", env="HARNESS_THREADS",
    )  # fmt: skip
    twin_seed: int | None = _asked(
        None, "Twin to take where data is generated; default: 1 + the training seed, 1 without "
        "training.", least=0, metavar="K",
    )  # fmt: skip
    real: bool = _asked(False, "Fail where the real data is missing; use no twin.")
    rerun: bool = _asked(False, "Repeat runs that are already there.")
    diagnose: bool = _asked(
        False, "Also measure on validation what the model's mechanisms do (figure mechanisms)."
    )
    compat: bool = _asked(False, "Evaluate as the authors did; a board of its own.")
    log: str | None = _asked(
        None, "Trackers to write each epoch to, under HOME/logs: csv, tensorboard.",
        metavar="NAMES", env="HARNESS_LOG",
    )  # fmt: skip
    trial: int | None = None
    until: int | None = None
    plugins: tuple[str, ...] = ()
    bar: bool = True
    lines: bool = False
    isolated: bool = False
    notify: Callable[[str], None] = field(default=silent, compare=False)

    def __post_init__(self) -> None:
        """Let the data set be the one that is made as ``test_on`` or ``folds`` say."""
        if self.folds is not None and self.test_on is not None:
            raise UsageError("--folds tests on the data set itself: leave --test-on out.")
        if self.folds is not None:
            object.__setattr__(self, "dataset", folded_name(self.dataset, self.folds))
            object.__setattr__(self, "folds", None)
        if self.test_on is not None:
            object.__setattr__(self, "dataset", f"{self.dataset}{ON}{self.test_on}")
            object.__setattr__(self, "test_on", None)


OPTIONS = {f.name: f for f in fields(RunRequest) if "help" in f.metadata}
"""The fields that users set, by name."""
