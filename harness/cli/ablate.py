"""``harness ablate``: a model without its parts, one at a time, in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.boards.board import files_of
from harness.boards.entrants import reader
from harness.boards.frame import board_name, splits_of
from harness.boards.grid import rounded
from harness.boards.render.console import console
from harness.boards.render.data import document
from harness.boards.reported import reported_by_plugins
from harness.boards.settings import ABLATE, ablated
from harness.boards.views.ablation import FULL, ablation_tables, view
from harness.cli.options import (
    json_option,
    option,
    plugin_option,
    roots_options,
    run_options,
    seeds_of,
    wide_option,
    words,
)
from harness.cli.render import emit_json, examples, say_left_out, table_width, teller
from harness.engine.request import RunRequest
from harness.errors import DataMissingError, NoValidationError, UnknownNameError, UsageError
from harness.launch.grid import Results, run_grid
from harness.paths import atomic_write_text
from harness.plugins import Registry, load
from harness.records.committed import CommittedRecords, open_records
from harness.records.record import REFERENCES, RunRecord
from harness.records.store import RunStore
from harness.specs import DatasetSpec, ModelSpec


@click.command(
    epilog=examples(
        "harness ablate --model ramer --dataset mosei-aligned --seeds 0,1,2",
        "harness ablate --model ramer --dataset mosi --only w/o-C,w/o-S --jobs 2 --out tables",
        "harness ablate --model ramer --dataset mosei-aligned-twin --records leaderboards/records",
        "harness ablate --model ramer --dataset mosei-aligned-twin --no-run --json",
    ),
)
@option("model", required=True, help="A model that declares ablations.")
@option("dataset", required=True)
@option(
    "seeds", default=None, help="Training seeds, a comma list; three or more are tested. "
    "Default: 0; without training all there are.",
)  # fmt: skip
@click.option("--only", default=None, metavar="NAMES", help="These ablations, a comma list.")
@click.option("--no-run", is_flag=True, help="Train nothing; show what was run.")
@option(
    "records", help="Folder of runs or exported records to show (default: HOME/runs); trains "
    "nothing.",
)  # fmt: skip
@option("out", help="Write md, csv, json and tex here as well; of validation to OUT/valid.")
@run_options("test_on", "folds", "dropout", "compile", "compat")
@option("jobs")
@plugin_option
@wide_option
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
    asked: dict[str, Any],
    jobs: int,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run a model whole and without each of its parts; show the differences and what is printed.

    The whole model is always run. Finished runs are found again.
    """
    from harness.engine.folds import refuse

    registry = load(plugin)
    spec, data = registry.model(model), registry.dataset(dataset, asked["protocol"])
    refuse(data, "ablate")
    if asked["split"] not in data.splits:
        raise NoValidationError(data.name, f"--split {asked['split']}")
    names, left_out = _names(spec, data, only, registry.models)
    numbers = [] if seeds is None else seeds_of(seeds)
    tell = teller(as_json)
    for line in left_out:
        tell(line)
    done = Results()
    store: RunStore | CommittedRecords = RunStore() if records is None else open_records(records)
    if no_run or records is not None:
        fields = ("overrides", "config", "rerun", "train_dropout", "mask", "protocol")
        if any(asked[field] for field in fields):
            raise UsageError("--no-run and --records train nothing: give no setting of a run.")
        found = _recorded(store, spec, data, names, numbers, asked["preset"], asked["split"])
    else:
        request = RunRequest(spec.name, data.name, **asked, bar=not as_json, notify=tell)
        done = _run(request, registry, names, numbers or [0], jobs)
        references = [r for r in store.all() if r.role in REFERENCES]
        here = {r.dataset["content_hash"] for r in done.records}
        found = [*done.records, *(r for r in references if r.dataset["content_hash"] in here)]
    models = {name: entry.spec for name, entry in registry.models.items()}
    split, printed = asked["split"], reported_by_plugins(registry)
    tables = ablation_tables(found, models, printed, reader(store), split=split)
    views = [view(tables)] if tables else []
    texts = {} if out is None else files_of(views, registry)
    out = out if out is None or split == "test" else out / split
    paths = {out / name: text for name, text in texts.items()} if out is not None else {}
    for path, text in paths.items():
        atomic_write_text(path, text)
    written = list(map(str, paths))
    if as_json:
        grids = [grid for one in views for grid in document(one)["grids"]]
        emit_json({"tables": rounded(grids), "written": written})
    else:
        for one in views:
            click.echo(f"\n{console(one, table_width())}", nl=False)
        for name in written:
            click.echo(name)
    done.check()


def _names(
    spec: ModelSpec, data: DatasetSpec, only: str | None, models: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Return the ablations to run, and a line about each that is left out."""
    if not spec.ablations:
        able = sorted(name for name, entry in models.items() if entry.spec.ablations)
        raise UsageError(
            f"{spec.name!r} declares no ablations; models that do: {', '.join(able) or 'none'}."
        )
    from harness.engine.plan import check_fit

    check_fit(spec, data)
    known = {a.name: a for a in spec.ablations}
    wanted = list(known) if only is None else words(only, "--only")
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


def _run(
    request: RunRequest, registry: Registry, names: Sequence[str], seeds: Sequence[int], jobs: int
) -> Results:
    """Run the full model and every ablation with every seed, as one grid."""
    if any(text.strip().startswith(f"{ABLATE}=") for text in request.overrides):
        raise UsageError("--set model.ablate: this command sets it; choose rows with --only.")
    switches = {(*request.overrides, f"{ABLATE}=[{name}]"): name for name in names}
    requests = [
        replace(request, overrides=overrides, seed=seed)
        for overrides in (request.overrides, *switches)
        for seed in seeds
    ]
    return run_grid(requests, registry, jobs=jobs, label=lambda r: switches.get(r.overrides, FULL))


def _recorded(
    store: RunStore | CommittedRecords,
    spec: ModelSpec,
    data: DatasetSpec,
    names: Sequence[str],
    seeds: Sequence[int],
    preset: str | None,
    split: str,
) -> list[RunRecord]:
    """Return the runs on record, and the reference rows of their data.

    Raises:
        DataMissingError: there is none with an ablation asked for.
    """
    every = store.whole(store.all())
    say_left_out(store)
    own = [r for r in every if r.model["name"] == spec.name and r.role == "model"]
    found = [
        r
        for r in own
        if board_name(r) == data.name
        and (not ablated(r) or (len(ablated(r)) == 1 and ablated(r)[0] in names))
        and (not seeds or r.seed in seeds)
        and preset in (None, r.config["preset"])
        and split in splits_of(r)
    ]
    if not any(ablated(r) for r in found):
        there = sorted({board_name(r) for r in own if ablated(r)})
        raise DataMissingError(
            f"no such ablations of {spec.name} on {data.name} in {store.root}; there are some on: "
            f"{', '.join(there) or 'no data set'}. Leave out --no-run and --records to run them."
        )
    return [*found, *(r for r in every if r.role in REFERENCES and board_name(r) == data.name)]
