"""``harness figure case``: one sample and every model's verdict on it, as a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.boards.aggregate import aggregate
from harness.boards.collect import ablated, collect, on_board
from harness.boards.entrants import entrant, reader
from harness.boards.selecting import Chosen, Wanted
from harness.cli.figures.common import (
    chosen_rows,
    emit_written,
    read_records,
    with_ceiling,
)
from harness.cli.render import FOLDER, examples, json_option, plugin_option, roots_options
from harness.errors import UsageError
from harness.figures.case import (
    Case,
    Grid,
    Stream,
    Verdict,
    facts_of,
    grid_of,
    most_disputed,
    page,
    place_of,
    streams_of,
    verdict,
)
from harness.paths import atomic_write_text
from harness.records.record import COMPLETE, RunRecord
from harness.statistics.entrants import Entrant

if TYPE_CHECKING:
    from harness.data.store import Store


@click.command(
    epilog=examples(
        "harness figure case --dataset memor-primary-twin",
        "harness figure case --dataset memor-primary --id 'clip_12#345' ramer tailor carat",
        "harness figure case --dataset mosi ramer carat --records leaderboards/records",
    ),
)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--dataset", required=True, help="Data set (or twin) of the runs.")
@click.option(
    "--id", "sample", default=None, metavar="ID",
    help="A test sample (default: the one on which the models disagree most).",
)  # fmt: skip
@click.option("--protocol", default=COMPLETE, show_default=True, help="Dropout protocol scored.")
@click.option("--train-dropout", default=None, help="Protocol trained under (default: full@1).")
@click.option("--mask", default=None, help="Mask option of the runs, where there are several.")
@click.option("--seed", type=int, default=None, help="Whose scores are shown (default: the first).")
@click.option(
    "--out", type=FOLDER, default=Path("figures"), show_default=True, help="Where the file goes."
)
@click.option(
    "--records", type=FOLDER, default=None,
    help="Folder of runs or of exported records (default: HOME/runs).",
)  # fmt: skip
@plugin_option
@json_option
@roots_options
def command(
    models: tuple[str, ...],
    dataset: str,
    sample: str | None,
    protocol: str,
    train_dropout: str | None,
    mask: str | None,
    seed: int | None,
    out: Path,
    records: Path | None,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write a page about one test sample: what was there, the truth, every MODEL's prediction.

    Without a MODEL all that have runs on the data set are shown. Predictions are the stored ones.
    On a grid the page shows persons by segments and which modality was there; on twins also what
    the best possible predictor says.
    """
    store, found = read_records(records)
    wanted = Wanted(dataset, protocol, train_dropout, mask)
    chosen = with_ceiling(
        chosen_rows(found, models or _all_models(found, wanted), wanted, plugin),
        found, wanted, plugin,
    )  # fmt: skip
    by_id = {r.id: r for r in found}
    read = reader(store)
    entrants = [entrant(c.row, c.key, by_id, read, name=c.name) for c in chosen]
    place, reason = _place(sample, chosen, entrants)
    name = entrants[0].ids[place]
    verdicts = []
    for one, mine in zip(chosen, entrants, strict=True):
        own = _seed(one, seed)
        run = one.row.runs[one.row.seeds.index(own)]
        part = read(by_id[run], protocol, one.key.split)
        about = {"setting": one.row.setting, "role": one.row.role, "run": run}
        verdicts.append(verdict(mine, place, own, part.scores[part.ids.index(name)], about))
    record = by_id[chosen[0].row.runs[0]]
    case = _case(record, entrants[0], place, verdicts)
    case = replace(case, split=chosen[0].key.split, protocol=protocol, reason=reason)
    safe = re.sub(r"[^\w.-]+", "-", name).strip("-")
    path = out / f"{dataset}-case-{safe}.html"
    atomic_write_text(path, page(case))
    emit_written([path], as_json, id=name)


def _all_models(found: Sequence[RunRecord], wanted: Wanted) -> list[str]:
    """Return every whole model of the data set; those with several settings once for each."""
    own = on_board(found, wanted.dataset)
    mine = [r for r in own if r.role == "model" and not ablated(r)]
    settings: dict[str, set[str]] = {}
    for group in collect(mine):
        key = group.key
        asked = (wanted.protocol, wanted.train_dropout or COMPLETE, wanted.mask or key.mask)
        if (key.dropout, key.train_dropout, key.mask) == asked:
            for row in aggregate(group).rows:
                settings.setdefault(row.model, set()).add(row.setting)
    return [
        model if len(own) == 1 else f"{model}:{setting}"
        for model, own in sorted(settings.items())
        for setting in sorted(own)
    ]


def _place(
    sample: str | None, chosen: Sequence[Chosen], entrants: Sequence[Entrant]
) -> tuple[int, str]:
    """Return which sample is shown, and why."""
    if any(e.ids != entrants[0].ids for e in entrants):
        raise UsageError("these runs were scored on different samples; train them again.")
    if sample is not None:
        return place_of(entrants[0], sample), ""
    models = [e for c, e in zip(chosen, entrants, strict=True) if c.row.role == "model"]
    place, _ = most_disputed(models)
    return place, f"Chosen because the {len(models)} models disagree most about it."


def _seed(one: Chosen, seed: int | None) -> int:
    seeds = one.row.seeds
    # Ceilings and trivial rows have one seed, whatever the models' seeds are.
    if seed is None or one.row.role != "model":
        return seeds[0]
    if seed not in seeds:
        raise UsageError(
            f"{one.name} has no run with seed {seed}; it has {', '.join(map(str, seeds))}."
        )
    return seed


def _case(
    record: RunRecord,
    first: Entrant,
    place: int,
    verdicts: Sequence[Verdict],
) -> Case:
    """Return the case; without the sample's own data where that is not prepared here."""
    about: dict[str, Any] = record.dataset
    data = _stored(record)
    split = None if data is None else data.split("test")
    unit = "" if data is None else data.spec.position_unit
    grid: Grid | None = None
    streams: tuple[Stream, ...] = ()
    facts: dict[str, str] = {}
    if split is not None:
        from harness.data.grid_store import StoredGridSplit

        at = split.ids.index(first.ids[place])
        facts = facts_of(split, at)
        if isinstance(split, StoredGridSplit):
            grid = grid_of(split, at)
        else:
            streams = streams_of(split, at)
    return Case(
        dataset=str(about["name"]),
        source=str(about["source"]),
        split="",
        protocol="",
        id=first.ids[place],
        group=first.groups[place],
        group_key=str(about["group_key"]),
        reason="",
        unit=unit,
        label_kind=str(about["label_kind"]),
        labels=tuple(about["labels"]),
        truth=tuple(bool(t) for t in first.truth[place]),
        modalities=tuple(m.name for m in split.modalities) if split is not None else (),
        verdicts=tuple(verdicts),
        grid=grid,
        streams=streams,
        has_personality=bool(grid and split is not None and split.personality is not None),
        facts=facts,
    )


def _stored(record: RunRecord) -> Store | None:
    """Return the data that was predicted; None where other data, or none, is prepared."""
    from harness.data.store import open_store

    name = str(record.dataset["name"])
    data = open_store(name)
    if data is not None and data.content_hash == record.dataset["content_hash"]:
        return data
    why = "is not prepared" if data is None else "is prepared with other content than was scored"
    click.echo(f"shown without the sample's own data: {name} {why} here.", err=True)
    return None
