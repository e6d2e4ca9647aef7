"""`harness.tune`: the search of ``harness tune`` from Python."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api.given import Files, registry_of
from harness.paths import using_home

if TYPE_CHECKING:
    from harness.launch.search import Search

_logger = logging.getLogger("harness")


def tune(
    model: str,
    dataset: str | None = None,
    points: int = 8,
    seed: int = 0,
    steps: int | None = None,
    *,
    write: bool = False,
    keep_going: bool = False,
    device: str = "auto",
    jobs: int = 1,
    threads: int = 1,
    sampler: str = "sobol",
    log: str | None = None,
    plugins: Files = (),
    notify: Callable[[str], None] | None = None,
    home: str | Path | None = None,
) -> Search:
    """Search a model's learning rate, dropout and width under the budget that every model has.

    Trials are at the same points for every model, mapped into the bounds of its card. After half
    of the steps the worse half stops. The best on validation is chosen; test is never opened.
    Trials that are there are found again.

    Args:
        model: a model whose card has a ``space``.
        dataset: data to search on; None: the twin of mosei-aligned, for grids of memor-primary.
        points: trials; the first has the values that the card starts from.
        seed: training seed of every trial.
        steps: optimiser steps of a trial; None: those of the preset ``tuned``.
        write: write the result into the model's card.
        keep_going: leave a failed trial out instead of ending the search.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        jobs: trials at a time, each in a process of its own.
        threads: CPU threads of a trial.
        sampler: what chooses the points: ``sobol``, or Optuna's ``random``, ``tpe`` or ``gp``.
        log: trackers that each epoch of a trial is written to: ``csv``, ``tensorboard``, a comma
            list; None: those of ``HARNESS_LOG``.
        plugins: plugin files to load as well.
        notify: called with what a user should know; None: logged as information.
        home: folder of prepared data and runs for this call; None: ``HARNESS_HOME``.

    Returns:
        The search: ``best`` and ``trials`` (with ``values``, ``score`` and ``record``), ``space``.

    Raises:
        UsageError: the model has no space, or cannot take the data.
        RunFailedError: a trial failed and ``keep_going`` is not set, or all of them did.
        HarnessError: wrong input, missing data, or a path that cannot be used.

    Example:
        >>> harness.tune("carat", jobs=2).best.values
    """
    from harness.launch.tune import SearchRequest
    from harness.launch.tune import tune as search

    files = [plugins] if isinstance(plugins, str | Path) else list(plugins)
    registry = registry_of(plugins)
    asked = SearchRequest(
        model, dataset, points, seed, steps, jobs, threads, device, keep_going,
        tuple(map(str, files)), notify or _logger.info, sampler, log=log,
    )  # fmt: skip
    with using_home(home):
        found = search(asked, registry)
    if write:
        found.write()
    return found
