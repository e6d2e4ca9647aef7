"""The hooks a plugin may implement (pluggy project name ``harness``).

A plugin is a module (entry-point group ``harness``, or a file given by ``--plugin``) with
functions marked by `hookimpl`. Hooks return values and never call back, so that every entry can
be attributed to its plugin and one broken plugin harms no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from harness.specs import (
        BoardFormat,
        BoardView,
        DatasetSpec,
        DropoutFamily,
        FigureKind,
        LabelMap,
        LauncherSpec,
        Metric,
        ModelSpec,
        Skill,
        Suite,
    )

PROJECT = "harness"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def harness_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Return the models this plugin offers."""


@hookspec
def harness_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Return the data sets this plugin can read."""


@hookspec
def harness_label_maps() -> Iterable[LabelMap]:  # type: ignore[empty-body]
    """Return which labels of two data sets mean the same, for ``harness run --test-on``."""


@hookspec
def harness_metrics() -> Iterable[Metric]:  # type: ignore[empty-body]
    """Return further metrics; boards show those with columns, records of new runs hold all."""


@hookspec
def harness_dropouts() -> Iterable[DropoutFamily]:  # type: ignore[empty-body]
    """Return further families of dropout protocols, for ``--dropout`` and ``--train-dropout``."""


@hookspec
def harness_suites() -> Iterable[Suite]:  # type: ignore[empty-body]
    """Return further suites of dropout protocols."""


@hookspec
def harness_skills() -> Iterable[Skill]:  # type: ignore[empty-body]
    """Return skills that generated data sets measure; a board of models x skills shows them."""


@hookspec
def harness_board_formats() -> Iterable[BoardFormat]:  # type: ignore[empty-body]
    """Return further formats for leaderboards; each writes every view."""


@hookspec
def harness_board_views() -> Iterable[BoardView]:  # type: ignore[empty-body]
    """Return further views of boards; every format writes them."""


@hookspec
def harness_figures() -> Iterable[FigureKind]:  # type: ignore[empty-body]
    """Return further kinds of ``harness figure``."""


@hookspec
def harness_launchers() -> Iterable[LauncherSpec]:  # type: ignore[empty-body]
    """Return further places where runs happen, for ``harness grid --launcher NAME``."""


@hookspec
def harness_reported() -> Iterable[str]:  # type: ignore[empty-body]
    """Return files of figures printed in papers, each as ``"package:file.yaml"``."""


@hookspec
def harness_provenance() -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Return further JSON facts about the environment for the run record."""


@hookspec
def harness_run_start(run: Mapping[str, Any]) -> None:
    """Called when a run starts; ``run`` is the record's request as JSON."""


@hookspec
def harness_epoch_end(run: Mapping[str, Any], epoch: int, metrics: Mapping[str, float]) -> None:
    """Called at the end of an epoch with its loss terms and validation metrics."""


@hookspec
def harness_run_end(run: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Called when a run has ended, with its finished record as JSON."""
