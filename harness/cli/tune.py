"""``harness tune``: one search for every model, under an equal budget, chosen on validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from harness import paths
from harness.cli.options import (
    json_option,
    launcher_options,
    option,
    plugin_option,
    roots_options,
    wide_option,
)
from harness.cli.render import emit_json, emit_table, examples, logging_teller
from harness.errors import HarnessError, RunFailedError, UsageError
from harness.launch.points import SAMPLERS, SOBOL
from harness.plugins import Registry, load

if TYPE_CHECKING:
    from harness.launch.search import Search


@click.command(
    epilog=examples(
        "harness tune carat tailor --jobs 2",
        "harness tune all --write --keep-going",
        "harness tune carat --sampler tpe --points 24",
        "harness tune amer --dataset memor-primary-twin --points 4 --steps 200",
    ),
)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@option("dataset", help="Default: the twin of mosei-aligned; for grids of memor-primary.")
@click.option(
    "--points", type=click.IntRange(min=1), default=8, show_default=True, metavar="N",
    help="Trials; the first has the values that the card starts from.",
)  # fmt: skip
@click.option(
    "--sampler", type=click.Choice([*SAMPLERS]), default=SOBOL, show_default=True,
    help="What chooses the points; those but sobol are Optuna's.",
)  # fmt: skip
@option("seed", help="Training seed of every trial.")
@click.option(
    "--steps", type=click.IntRange(min=2), default=None, metavar="N",
    help="Optimiser steps of a trial (default: those of the preset tuned).",
)  # fmt: skip
@click.option("--write", is_flag=True, help="Write the result into the model's card.")
@click.option("--keep-going", is_flag=True, help="Go on after a trial that failed.")
@option("device")
@option("threads")
@option("jobs", default=1, help="Trials at a time, each in a process of its own.")
@option("log")
@launcher_options
@plugin_option
@wide_option
@json_option
@roots_options
def command(
    models: tuple[str, ...],
    write: bool,
    launcher: str,
    settings: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Search learning rate, dropout and width of MODEL..., names or 'all'.

    Every model has the same points of one sequence, in the bounds of its card, and equally many
    optimiser steps. After half of them the worse half of the trials stops. What is best on
    validation is chosen; test is never opened. Trials that are there are found again. Another
    --sampler than sobol chooses points by the scores of earlier ones at the half of their steps.
    """
    from harness.launch.launching import launcher_of
    from harness.launch.tune import SearchRequest, tune

    plugins = given.pop("plugin")
    registry = load(plugins)
    where = None
    if launcher != "local" or settings:
        where = launcher_of(launcher, settings, registry, given["jobs"])
    log = paths.home() / "searches" / "tune.log"
    tell = logging_teller(log, as_json)
    found: list[Search] = []
    failed: list[str] = []
    for name in _names(registry, models, given["dataset"]):
        asked = SearchRequest(name, **given, plugins=plugins, notify=tell, launcher=where)
        try:
            search = tune(asked, registry)
        except HarnessError as error:
            if not given["keep_going"] or (len(models) == 1 and models != ("all",)):
                raise
            failed.append(f"{name}: {error}")
            tell(failed[-1])
            continue
        found.append(search)
        failed += search.failures
        if write:
            tell(f"{name}: written into {search.write()}.")
        if not as_json:
            _show(search)
    if as_json:
        emit_json([{"model": s.model.name, **s.as_dict()} for s in found])
    if failed:
        raise RunFailedError("\n  ".join([f"{len(failed)} trials or searches failed:", *failed]))


def _names(registry: Registry, models: tuple[str, ...], dataset: str | None) -> list[str]:
    """Return the models asked for; ``all``: those with a space that fit the data."""
    from harness.config import plugin_defaults
    from harness.config.search import SPACE
    from harness.engine.plan import misfit

    if models != ("all",):
        return [registry.model(name).name for name in dict.fromkeys(models)]
    spec = None if dataset is None else registry.dataset(dataset)
    fitting = [
        name
        for name, entry in registry.models.items()
        if entry.spec.role == "model"
        and SPACE in plugin_defaults(entry.spec)
        and (spec is None or not misfit(entry.spec, spec))
    ]
    if not fitting:
        raise UsageError("no model has a search space here.")
    return fitting


def _show(search: Search) -> None:
    best = search.best
    emit_table(
        ["trial", *search.space.keys, "steps", "at half", "validation", ""],
        [
            [
                str(t.point), *(str(t.values[key]) for key in search.space.keys),
                str(t.record.budget["steps"] or "–"), _figure(t.half), _figure(t.score),
                "best" if t is best else "stopped" if t.stopped else "",
            ]
            for t in search.trials
        ],
    )  # fmt: skip


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
