"""``harness compare``: which differences between models are real."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from harness.boards.entrants import entrant, reader
from harness.boards.grid import Column, Grid, GridRow, Statistic, View
from harness.boards.render.console import console
from harness.boards.reported import reported_by_plugins
from harness.boards.selecting import Wanted, board_meant, select
from harness.cli.options import json_option, option, plugin_option, roots_options, wide_option
from harness.cli.render import emit_json, examples, records_of, table_width
from harness.plugins import load
from harness.records.record import COMPLETE
from harness.statistics.compare import Block, Options, compare
from harness.statistics.measured import FEWEST_SEEDS
from harness.statistics.order import FEWEST

TUNED = "tuned_"


@click.command(
    epilog=examples(
        "harness compare ramer carat --dataset mosei-aligned-twin",
        "harness compare ramer carat tailor --dataset mosi --reference carat --metric jaccard",
        "harness compare ramer:paper ramer:quick --dataset mosi --records leaderboards/records",
        "harness compare ramer carat --dataset mosi --dropout random-0.5@1 --json",
        "harness compare ramer:paper ramer:'paper training.lr=1e-4' --dataset mosi --split valid",
    ),
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL MODEL...")
@option("dataset", required=True)
@option("protocol")
@option("dropout", multiple=False, default=COMPLETE, help="Dropout protocol that is scored.")
@option("train_dropout")
@option("mask")
@option("split", help="Split whose scores are compared.")
@option(
    "metric", default=None, show_default=False,
    help="One primary metric (harness list metrics); tuned_NAME: at the tuned threshold. Default: "
    "micro-F1 as boards are ordered by it, tuned where there is validation.",
)  # fmt: skip
@click.option(
    "--reference", default=None, help="What the others are tested against (default: the last)."
)
@option("records")
@click.option(
    "--resamples", type=click.IntRange(min=100), default=2000, show_default=True,
    help="Of the bootstrap that gives the intervals.",
)  # fmt: skip
@click.option(
    "--permutations", type=click.IntRange(min=99), default=10_000, show_default=True,
    help="Of the paired permutation test.",
)  # fmt: skip
@option("seed", help="Of the drawing.")
@plugin_option
@wide_option
@json_option
@roots_options
def command(
    models: tuple[str, ...],
    dataset: str,
    protocol: str | None,
    dropout: str,
    train_dropout: str | None,
    mask: str | None,
    split: str,
    metric: str | None,
    reference: str | None,
    records: Path | None,
    resamples: int,
    permutations: int,
    seed: int,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Test each MODEL against a reference: paired permutation over groups, Holm, intervals.

    A model with several rows on the board is named MODEL:SETTING. Where only the twin of the data
    set has runs, it is compared on the twin, which is said. Choose the reference and the
    metric before looking at the figures.
    """
    registry = load(plugin)
    dataset = registry.dataset_name(dataset, protocol)
    store, found = records_of(records)
    dataset, told = board_meant(found, dataset)
    if told:
        click.echo(told, err=True)
    names = list(dict.fromkeys((*models, *([reference] if reference else []))))
    wanted = Wanted(dataset, dropout, train_dropout, mask, split)
    chosen = select(found, names, wanted, reported_by_plugins(registry))
    read = reader(store)
    metric = metric or min((c.row.key for c in chosen), key=lambda key: key.tuned).name
    tuned = metric.startswith(TUNED)
    entrants = [entrant(c.row, c.key, read, name=c.name, tuned=tuned) for c in chosen]
    blocks = compare(
        entrants,
        reference or names[-1],
        metric.removeprefix(TUNED),
        Options(resamples, permutations, seed),
    )
    if as_json:
        about = {"dataset": dataset, "dropout": dropout, "mask": chosen[0].key.mask,
                 "data": chosen[0].key.content, "mask_digest": chosen[0].key.digest,
                 "threshold": "tuned" if tuned else "declared", "split": split}  # fmt: skip
        emit_json({**about, "models": [b.as_dict() for b in blocks]})
        return
    click.echo(console(_view(blocks, wanted, metric), table_width()), nl=False)


def _view(blocks: Sequence[Block], wanted: Wanted, metric: str) -> View:
    """Return the models with their intervals, and their tests against the reference."""
    first, tested = blocks[0], [b for b in blocks if b.delta is not None]
    models = [Column("model"), Column("n", kind="figure"), Column("mean ± std", kind="figure")]
    models += [Column(name, kind="figure") for name in ("95 % seeds", "95 % samples")]
    rows = [
        GridRow({"model": b.name, "n": b.n_seeds, "mean ± std": Statistic(b.mean, b.std, b.n_seeds),
                 "95 % seeds": b.t_ci, "95 % samples": b.sample_ci})
        for b in blocks
    ]  # fmt: skip
    tests = [Column("model"), Column("difference", kind="signed")]
    tests += [Column("95 % samples", kind="signed"), Column("detectable", kind="figure")]
    tests += [Column(name, kind="figure") for name in ("p perm", "p Holm", "p seeds")]
    shown = ["P(better)", *(["ASO"] if any(b.aso_eps_min is not None for b in tested) else [])]
    tests += [Column(name, kind="figure", digits=2) for name in shown]
    against = [
        GridRow({"model": b.name, "difference": b.delta, "95 % samples": b.delta_ci,
                 "detectable": b.detectable,
                 "p perm": b.p_perm, "p Holm": b.p_holm, "p seeds": b.p_seeds,
                 "P(better)": b.p_improve, "ASO": b.aso_eps_min,
                 "told apart": "yes" if b.told_apart else "no"})
        for b in tested
    ]  # fmt: skip
    other = tested[0]
    note = (
        f"std: ddof 1. Seeds: t-interval. Samples: cluster bootstrap, B = {first.B}, over "
        f"{first.n_clusters} groups ({first.cluster_key}). p perm: paired permutation of groups, "
        f"R = {other.R}, {first.rng}; Holm over {other.holm_m}. p seeds: t-test over seeds. "
        "Told apart: the larger of both p, Holm, below 0.05. Detectable: the smallest difference "
        "that would be told apart with a probability of 80 %. Not told apart does not mean equal: "
        "read the interval."
    )
    if "ASO" in shown:
        note += f" ASO: eps_min, better where below {other.tau}; from {FEWEST} seeds on."
    if any(b.n_seeds < FEWEST_SEEDS for b in blocks):
        note += " A trivial predictor and the ceiling have no seeds: samples alone are uncertain."
    title = (
        f"{metric} on {wanted.dataset}, {wanted.dropout}: {first.n_samples} {wanted.split} samples."
    )
    tests.append(Column("told apart"))
    grids = (
        Grid("", tuple(models), tuple(rows)),
        Grid(f"Against {first.reference}:", tuple(tests), tuple(against), (note,)),
    )
    return View("compare", "compare", title, grids)
