"""``harness ablate``: a model without its parts, one at a time, in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from harness.boards.board import files_of
from harness.boards.entrants import reader
from harness.boards.frame import board_name
from harness.boards.grid import rounded
from harness.boards.render.console import console
from harness.boards.render.data import document
from harness.boards.reported import reported_by_plugins
from harness.boards.settings import ABLATE, ablated
from harness.boards.views.ablation import FULL, ablation_tables, view
from harness.cli.ablate_grid import run_ablations
from harness.cli.render import (
    FILE,
    FOLDER,
    emit_json,
    examples,
    json_option,
    plugin_option,
    roots_options,
    split_list,
    split_seeds,
)
from harness.errors import (
    DataMissingError,
    HarnessError,
    RunFailedError,
    UnknownNameError,
    UsageError,
)
from harness.paths import atomic_write_text
from harness.records.committed import CommittedRecords, open_records
from harness.records.record import RunRecord
from harness.records.store import RunStore
from harness.registry import load
from harness.specs import MASK_OPTIONS, DatasetSpec, ModelSpec


@click.command(
    epilog=examples(
        "harness ablate --model ramer --dataset mosei-aligned --seeds 0,1,2",
        "harness ablate --model ramer --dataset mosi --only w/o-C,w/o-S --jobs 2 --out tables",
        "harness ablate --model ramer --dataset mosei-aligned-twin --records leaderboards/records",
        "harness ablate --model ramer --dataset mosei-aligned-twin --no-run --json",
    ),
)
@click.option("--model", required=True, metavar="NAME", help="A model that declares ablations.")
@click.option("--dataset", required=True, metavar="NAME", help="A data set.")
@click.option(
    "--seeds", default=None, help="Training seeds, a comma list; three or more are tested. "
    "Default: 0; without training all there are.",
)  # fmt: skip
@click.option("--only", default=None, metavar="NAMES", help="These ablations, a comma list.")
@click.option("--no-run", is_flag=True, help="Train nothing; show what was run.")
@click.option(
    "--records", type=FOLDER, default=None,
    help="Folder of runs or exported records to show (default: HOME/runs); trains nothing.",
)  # fmt: skip
@click.option("--out", type=FOLDER, default=None, help="Write md, csv, json and tex here as well.")
@click.option("--preset", default=None, help="Default: quick on twins, paper on real data.")
@click.option("--mask", type=click.Choice(MASK_OPTIONS), help="Which positions a model may attend.")
@click.option("--train-dropout", default=None, help="Dropout in training: full@1 or train-mix@1.")
@click.option("--config", type=FILE, default=None, help="YAML with model, training, threshold.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set one config key.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True,
    help="bf16 uses autocast.",
)  # fmt: skip
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
    envvar="HARNESS_THREADS", help="CPU threads of a run.",
)  # fmt: skip
@click.option("--real", is_flag=True, help="Fail where the real data is missing; use no twin.")
@click.option("--rerun", is_flag=True, help="Repeat runs that are already there.")
@click.option(
    "--jobs", type=click.IntRange(min=0), default=0, metavar="N", envvar="HARNESS_JOBS",
    help="Runs at a time, each in a process of its own; default: one a core on a CPU, else one.",
)  # fmt: skip
@plugin_option
@json_option
@roots_options
def command(
    model: str,
    dataset: str,
    seeds: str | None,
    only: str | None,
    no_run: bool,
    records: Path | None,
    out: Path | None,
    preset: str | None,
    mask: str | None,
    train_dropout: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    device: str,
    precision: str,
    threads: int,
    real: bool,
    rerun: bool,
    jobs: int,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run a model whole and without each of its parts; show the differences and what is printed.

    The whole model is always run. Finished runs are found again.
    """
    registry = load(plugin)
    spec, data = registry.model(model), registry.dataset(dataset)
    names, left_out = _names(spec, data, only, registry.models)
    numbers = [] if seeds is None else split_seeds(seeds, "--seeds")
    said: set[str] = set()

    def tell(message: str) -> None:
        if message not in said:
            said.add(message)
            click.echo(message, err=as_json)

    for line in left_out:
        tell(line)
    ran: list[RunRecord] = []
    failed: dict[str, HarnessError] = {}
    store: RunStore | CommittedRecords = RunStore() if records is None else open_records(records)
    if no_run or records is not None:
        if overrides or config or rerun or train_dropout or mask:
            raise UsageError("--no-run and --records train nothing: give no setting of a run.")
        found = _recorded(store, spec, data, names, numbers, preset)
    else:
        asked: dict[str, Any] = {
            "model": spec.name,
            "dataset": data.name,
            "protocol": mask,
            "preset": preset,
            "config": config,
            "overrides": _settings(overrides, train_dropout),
            "device": device,
            "precision": precision,
            "threads": threads,
            "real": real,
            "rerun": rerun,
            "plugins": plugin,
        }
        ran, failed = run_ablations(data, names, numbers or [0], asked, jobs, not as_json, tell)
        ceilings = [r for r in store.all() if r.role == "ceiling"]
        found = [*ran, *(c for c in ceilings if c.dataset == ran[0].dataset)] if ran else []
    models = {name: entry.spec for name, entry in registry.models.items()}
    tables = ablation_tables(found, models, reported_by_plugins(registry), reader(store))
    views = [view(tables)] if tables else []
    texts = {} if out is None else files_of(views, registry)
    paths = {out / name: text for name, text in texts.items()} if out is not None else {}
    for path, text in paths.items():
        atomic_write_text(path, text)
    written = list(map(str, paths))
    if as_json:
        grids = [grid for one in views for grid in document(one)["grids"]]
        emit_json({"tables": rounded(grids), "written": written})
    else:
        for one in views:
            click.echo(f"\n{console(one)}", nl=False)
        for name in written:
            click.echo(name)
    _raise_failures(ran, failed)


def _names(
    spec: ModelSpec, data: DatasetSpec, only: str | None, models: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Return the ablations to run, and what is said of those that are left out."""
    if not spec.ablations:
        able = sorted(name for name, entry in models.items() if entry.spec.ablations)
        raise UsageError(
            f"{spec.name!r} declares no ablations; models that do: {', '.join(able) or 'none'}."
        )
    from harness.engine.plan import check_fit

    check_fit(spec, data)
    known = {a.name: a for a in spec.ablations}
    wanted = list(known) if only is None else split_list(only, "--only")
    chosen, left_out = [], []
    for name in wanted:
        if name == FULL:  # is always run
            continue
        if name not in known:
            raise UnknownNameError(f"ablation of {spec.name}", name, known)
        reason = known[name].misfit(data)
        if reason and only is not None:
            raise UsageError(f"{name} cannot be run on {data.name!r}: {reason}.")
        if reason:
            left_out.append(f"{name} is left out on {data.name}: {reason}.")
        else:
            chosen.append(name)
    return chosen, left_out


def _settings(overrides: Sequence[str], train_dropout: str | None) -> tuple[str, ...]:
    if any(override.strip().startswith(f"{ABLATE}=") for override in overrides):
        raise UsageError("--set model.ablate: this command sets it; choose rows with --only.")
    added = [] if train_dropout is None else [f"training.train_dropout={train_dropout}"]
    return (*overrides, *added)


def _recorded(
    store: RunStore | CommittedRecords,
    spec: ModelSpec,
    data: DatasetSpec,
    names: Sequence[str],
    seeds: Sequence[int],
    preset: str | None,
) -> list[RunRecord]:
    """Return the runs on record, and the ceiling.

    Raises:
        DataMissingError: there is none with an ablation asked for.
    """
    every = store.all()
    for broken in store.broken:
        click.echo(f"left out: {broken.reason}", err=True)
    own = [r for r in every if r.model["name"] == spec.name and r.role == "model"]
    found = [
        r
        for r in own
        if board_name(r) == data.name
        and (not ablated(r) or (len(ablated(r)) == 1 and ablated(r)[0] in names))
        and (not seeds or r.seed in seeds)
        and preset in (None, r.config["preset"])
    ]
    if not any(ablated(r) for r in found):
        there = sorted({board_name(r) for r in own if ablated(r)})
        raise DataMissingError(
            f"no such ablations of {spec.name} on {data.name} in {store.root}; there are some on: "
            f"{', '.join(there) or 'no data set'}. Leave out --no-run and --records to run them."
        )
    return [*found, *(r for r in every if r.role == "ceiling" and board_name(r) == data.name)]


def _raise_failures(records: Sequence[RunRecord], failed: Mapping[str, HarnessError]) -> None:
    """Raise one error that lists the runs without a result."""
    lines = [
        f"{' + '.join(ablated(r)) or FULL}, seed {r.seed}: "
        f"{(r.failure or {}).get('reason', 'unknown')}"
        for r in records
        if r.status != "ok"
    ]
    lines += [f"{what}: {error}" for what, error in failed.items()]
    if lines:
        raise RunFailedError("\n  ".join([f"{len(lines)} runs failed:", *lines]))
