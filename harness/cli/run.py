"""``harness run``: train models on data sets, score them, show where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from harness.boards.frame import board_name, content_of, twin_of
from harness.boards.render.console import table as console
from harness.boards.rows import Table, tables
from harness.boards.settings import ablated
from harness.boards.views import dropout as under_dropout
from harness.boards.views.table import beside_validation, table_grid
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
from harness.cli.render import emit_json, examples, table_width, teller
from harness.engine.request import RunRequest
from harness.errors import UsageError
from harness.launch.grid import run_grid
from harness.plugins import Registry, load
from harness.records.record import COMPLETE, RunRecord
from harness.records.store import RECORD, RunStore
from harness.specs import DatasetSpec


@click.command(
    epilog=examples(
        "harness run --model ramer --dataset mosei-aligned --seeds 0,1,2",
        "harness run --model ramer --dataset mosi --split valid --set training.lr=1e-4",
        "harness run --model ramer,carat,cc --dataset mosi --dropout core@1",
        "harness run --model my-model --plugin my-model --dataset mosi --set training.lr=1e-4",
    ),
)
@option("model", required=True, metavar="NAMES", help="A model, a comma list, or 'all'.")
@option("dataset", required=True, metavar="NAMES", help="A data set or a comma list.")
@option("seeds")
@run_options()
@click.option("--no-reference", is_flag=True, help="Leave out trivial predictors and the ceiling.")
@option("jobs")
@plugin_option
@wide_option
@json_option
@roots_options
def command(
    model: str,
    dataset: str,
    seeds: str,
    asked: dict[str, Any],
    no_reference: bool,
    jobs: int,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train models on data sets, score them, and show the board of this run's protocol.

    A finished run is found again, an interrupted one goes on where it stopped.
    """
    registry = load(plugin)
    left_out: list[str] = []
    tell = teller(as_json)
    requests = [
        RunRequest(name, spec.name, seed, **asked, bar=not as_json, notify=tell)
        for spec in (
            registry.dataset(name, asked["protocol"]) for name in words(dataset, "--dataset")
        )
        for name in models_asked(registry, model, spec, left_out, asked["compat"])
        for seed in seeds_of(seeds)
    ]
    from harness.engine.plan import check_split

    for request in requests:
        check_split(request, registry.dataset(request.dataset))
    if not requests:
        raise UsageError("\n  ".join([f"no model fits {dataset}:", *left_out]))
    done = run_grid(requests, registry, jobs=jobs, references=not no_reference)
    from harness.engine.folds import gathered

    records = gathered(done.records, RunStore())
    for line in left_out:
        tell(line)
    store, split = RunStore(), asked["split"]
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
        made = _tables(store, records, split)
        for table in (t for t in made if t.place.dropout == COMPLETE):
            click.secho(f"\n{table.place.board}", bold=True)
            click.echo(console(beside_validation(table_grid(table), table), table_width()))
        ids = {r.id for r in records}
        for grid in under_dropout.grids(made, ids):
            click.echo(f"\n{console(grid, table_width())}")
        click.echo("\nRecords:")
        for record in records:
            click.echo(f"  {store.folder(record.id) / RECORD}")
        if split == "valid" and any(r.status == "ok" for r in records):
            click.echo(
                "Test is not scored. Once a setting is chosen, run it without --split valid: its "
                "checkpoint is scored, nothing is trained again."
            )
    done.check()


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
        named = [registry.model(name) for name in words(text, "--model")]
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


def _tables(store: RunStore, records: Sequence[RunRecord], split: str) -> list[Table]:
    """Return the tables these records are in, under complete data and under dropout."""
    about = {
        (board_name(r), content_of(r), r.dataset["mask"], r.protocols["train_dropout"])
        for r in records
    }
    seen = {r.id for r in records}
    found = []
    # Of ablations only this command's: they stand on no board.
    shown = (r for r in store.all() if r.id in seen or not ablated(r))
    for table in tables(shown, split=split, twins={twin_of(r) for r in records}):
        place = table.place
        mine = any(
            (place.board, place.mask, place.train_dropout) == (board, mask, training)
            and place.content.startswith(content)
            for board, content, mask, training in about
        )
        if mine and table.rows and seen & {r.id for r in table.every}:
            # The command's closing error lists its failures; others are the board's business.
            found.append(replace(table, failed=()))
    return found
