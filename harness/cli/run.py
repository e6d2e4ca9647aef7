"""``harness run``: train models on data sets, score them, show where they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from harness.boards.frame import board_name
from harness.boards.render.console import table as console
from harness.boards.rows import Table, tables
from harness.boards.settings import ablated
from harness.boards.views import dropout as under_dropout
from harness.boards.views.leaderboard import table_grid
from harness.cli.render import (
    FILE,
    emit_json,
    examples,
    json_option,
    plugin_option,
    roots_options,
    split_list,
    split_seeds,
)
from harness.cli.run_many import run_all
from harness.errors import HarnessError, RunFailedError
from harness.records.record import COMPLETE, RunRecord
from harness.records.store import RECORD, RunStore
from harness.registry import Registry, load
from harness.specs import MASK_OPTIONS, DatasetSpec


@click.command(
    epilog=examples(
        "harness run --model ramer --dataset mosei-aligned --seeds 0,1,2",
        "harness run --model ramer,carat,cc --dataset mosi --dropout core@1",
        "harness run --model my_model --plugin my_model.py --dataset mosi --set training.lr=1e-4",
    ),
)
@click.option("--model", required=True, metavar="NAMES", help="A model, a comma list, or 'all'.")
@click.option("--dataset", required=True, metavar="NAMES", help="A data set or a comma list.")
@click.option("--seeds", default="0", show_default=True, help="Training seeds, a comma list.")
@click.option("--protocol", default=None, help="Data set protocol to hold to, as in name@1.")
@click.option("--mask", type=click.Choice(MASK_OPTIONS), help="Which positions a model may attend.")
@click.option(
    "--dropout", multiple=True, metavar="NAMES",
    help=f"Dropout protocols and suites to score under; {COMPLETE} always is.",
)  # fmt: skip
@click.option("--train-dropout", default=None, help="Dropout in training: full@1 or train-mix@1.")
@click.option("--preset", default=None, help="Default: quick on twins, paper on real data.")
@click.option("--config", type=FILE, default=None, help="YAML with model, training, threshold.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Set one config key.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True,
    help="bf16 uses autocast.",
)  # fmt: skip
@click.option("--compile", is_flag=True, help="Compile the model.")
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
    envvar="HARNESS_THREADS", help="CPU threads of a run; more are faster for large models.",
)  # fmt: skip
@click.option("--real", is_flag=True, help="Fail where the real data is missing; use no twin.")
@click.option("--rerun", is_flag=True, help="Repeat runs that are already there.")
@click.option("--compat", is_flag=True, help="Evaluate as the authors did; a board of its own.")
@click.option("--no-reference", is_flag=True, help="Leave out trivial predictors and the ceiling.")
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
    seeds: str,
    protocol: str | None,
    mask: str | None,
    dropout: tuple[str, ...],
    train_dropout: str | None,
    preset: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    device: str,
    precision: str,
    compile: bool,
    threads: int,
    real: bool,
    rerun: bool,
    compat: bool,
    no_reference: bool,
    jobs: int,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train models on data sets, score them, and show the board of this run's protocol.

    A finished run is found again, an interrupted one goes on where it stopped.
    """
    registry = load(plugin)
    wanted = tuple(name for text in dropout for name in split_list(text, "--dropout"))
    if train_dropout is not None:
        overrides = (*overrides, f"training.train_dropout={train_dropout}")
    left_out: list[str] = []
    pairs = [
        (name, spec.name)
        for spec in _datasets(registry, dataset)
        for name in models_asked(registry, model, spec, left_out, compat)
    ]
    said: set[str] = set()

    def tell(message: str) -> None:
        """Say a thing once: a twin in use concerns every model, but is news only once."""
        if message not in said:
            said.add(message)
            click.echo(message, err=as_json)

    asked: dict[str, Any] = {
        "protocol": "+".join(p for p in (protocol, mask) if p) or None,
        "dropout": wanted or (COMPLETE,),
        "preset": preset,
        "config": config,
        "overrides": overrides,
        "device": device,
        "precision": precision,
        "compile": compile,
        "threads": threads,
        "real": real,
        "rerun": rerun,
        "compat": compat,
        "plugins": plugin,
    }
    numbers = split_seeds(seeds, "--seeds")
    records, troubles = run_all(
        registry, pairs, numbers, asked,
        references=not no_reference, jobs=jobs, bar=not as_json, tell=tell,
    )  # fmt: skip
    for line in left_out:
        tell(line)
    store = RunStore()
    if as_json:
        emit_json(
            [
                r.as_dict()
                | {
                    "record": str(store.folder(r.id) / RECORD),
                    "predictions": str(store.predictions(r.id)) if r.status == "ok" else None,
                }
                for r in records
            ]
        )
    else:
        for table in _tables(store, records):
            click.secho(f"\n{table.place.board}", bold=True)
            click.echo(console(table_grid(table)))
        ids = {r.id for r in records}
        for grid in under_dropout.grids(_tables(store, records, whole=False), ids):
            click.echo(f"\n{console(grid)}")
        click.echo("\nRecords:")
        for record in records:
            click.echo(f"  {store.folder(record.id) / RECORD}")
    _raise_failures(records, troubles)


def _raise_failures(records: Sequence[RunRecord], troubles: Mapping[str, HarnessError]) -> None:
    """Raise one error that lists what failed; with the code of its own where nothing could run."""
    lines = [
        f"{r.model['name']} on {r.dataset['name']}, seed {r.seed}: "
        f"{(r.failure or {}).get('reason', 'unknown')}"
        for r in records
        if r.status != "ok"
    ]
    total = len(records) + len(troubles)
    lines += [f"{what}: {error}" for what, error in troubles.items()]
    if not lines:
        return
    failure = RunFailedError("\n  ".join([f"{len(lines)} of {total} runs failed:", *lines]))
    codes = {error.exit_code for error in troubles.values()}
    if not records and len(codes) == 1:
        failure.exit_code = codes.pop()
    raise failure


def _datasets(registry: Registry, text: str) -> list[DatasetSpec]:
    return [registry.dataset(name) for name in split_list(text, "--dataset")]


def models_asked(
    registry: Registry, text: str, spec: DatasetSpec, left_out: list[str], compat: bool
) -> list[str]:
    """Return the models asked for; ``all`` means every model that fits the data set.

    Models made for grids run on sequences, but only where they are named: there they lack what
    they are about, and no published table has such a row.

    Raises:
        UsageError: a model that was named does not fit.
    """
    from harness.engine.plan import check_fit, misfit

    if text.strip() != "all":
        named = [registry.model(name) for name in split_list(text, "--model")]
        for chosen in named:
            check_fit(chosen, spec)
        return [chosen.name for chosen in named]

    fitting = []
    for name, entry in registry.models.items():
        if entry.spec.role != "model":
            continue
        reason = misfit(entry.spec, spec)
        if compat and entry.spec.compat is None:
            reason = "no public evaluation of it is known"
        made_for = entry.spec.layouts[0]
        if not reason and made_for not in spec.layouts:
            reason = f"it is made for {made_for}s; name it to run it here"
        if reason:
            left_out.append(f"{name} is left out on {spec.name}: {reason}.")
        else:
            fitting.append(name)
    return fitting


def _tables(store: RunStore, records: Sequence[RunRecord], whole: bool = True) -> list[Table]:
    """Return the tables these records are in, under complete data or under dropout."""
    about = {
        (board_name(r), r.dataset["content_hash"], r.dataset["mask"],
         r.protocols["train_dropout"])
        for r in records
    }  # fmt: skip
    seen = {r.id for r in records}
    found = []
    # Of ablations only this command's: they stand on no board.
    for table in tables(r for r in store.all() if r.id in seen or not ablated(r)):
        place = table.place
        mine = (place.board, place.content_hash, place.mask, place.train_dropout) in about
        if mine and seen & {r.id for r in table.every} and (place.dropout == COMPLETE) == whole:
            found.append(table)
    return found
