"""The command: one sub-command a subject; without one, the table of all of them at small sizes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from benchmarks.measuring import ISA, in_child, write

Command = TypeVar("Command", bound=Callable[..., Any])
DISTURBED_EXIT = 2


class Measured(click.Command):
    """A sub-command that can also be run on two checkouts in turn (``--compare``)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words for the comparison."""
        ctx.meta["words"] = [*args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the sub-command, or the comparison where one is asked for."""
        base, as_json = ctx.params.pop("compare"), ctx.params["as_json"]
        if base is None:
            return super().invoke(ctx)
        words, rest = list[str](), iter(ctx.meta["words"])
        for word in rest:
            if word == "--compare":
                next(rest)
            elif word not in ("--json", "--write") and not word.startswith("--compare="):
                words.append(word)
        return compared(base, [str(ctx.command.name), *words], as_json)


def compared(base: str, words: list[str], as_json: bool) -> None:
    """Run a sub-command on two checkouts in turn and print both."""
    from benchmarks.comparing import compare, show

    found = compare(base, words)
    click.echo(json.dumps(found, indent=1) if as_json else show(found))


def common(command: Command) -> Command:
    """Add the options that every benchmark has."""
    for option in (
        click.option(
            "--compare", metavar="BASE", default=None,
            help="Run on BASE, a folder or revision, and on this checkout in turn.",
        ),
        click.option("--here", is_flag=True, help="Measure in this process, not in children."),
        click.option("--write", "writes", is_flag=True, help="Write benchmarks/results/."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ):  # fmt: skip
        command = option(command)
    return command


def finish(
    name: str,
    found: Mapping[str, Any],
    text: str,
    as_json: bool,
    writes: bool,
    disturbed: bool = False,
) -> None:
    """Print a result and write it where that is asked for; exit with 2 if it was disturbed."""
    click.echo(json.dumps(found, indent=1) if as_json else text)
    if disturbed:
        click.echo("disturbed by other work on this machine; run it again", err=True)
        raise SystemExit(DISTURBED_EXIT)
    if writes:
        click.echo(f"written: {write(name, found)}", err=True)


def chosen(asked: tuple[str, ...], known: Mapping[str, Any], what: str) -> list[str]:
    """Return the names asked for, all where none is; refuse others."""
    for name in asked:
        if name not in known:
            raise click.UsageError(f"no {what} {name!r}; choose from {'; '.join(known)}.")
    return [*(asked or known)]


@click.group(invoke_without_command=True, context_settings={"max_content_width": 100})
@click.option("--box", default=600.0, show_default=True, help="Seconds for the whole table.")
@click.option(
    "--isa",
    type=click.Choice(list(ISA)),
    default="default",
    help="avx2: no AVX-512; sse4: products as slow as the authors'.",
)
@click.option("--part", "parts", multiple=True, help="Only this part of the table.")
@common
@click.pass_context
def main(
    ctx: click.Context,
    box: float,
    isa: str,
    parts: tuple[str, ...],
    compare: str | None,
    as_json: bool,
    writes: bool,
    here: bool,
) -> None:
    """Measure speed and memory; times are multiples of a matrix product of the same run.

    Without a sub-command: the table of what has a reference or a target, ours beside it.
    """
    if ctx.invoked_subcommand is not None:
        return
    if compare is not None:
        from benchmarks.settings import settings

        named = [name for name, s in settings().items() if s.reference is not None]
        words = ["steps", "--isa", isa, *(w for name in named for w in ("--model", name))]
        return compared(compare, words, as_json)
    from benchmarks.overview import measure, show

    found = measure(box, isa, here, lambda name: click.echo(name, err=True), names=parts)
    avx2 = "" if isa == "default" else f"-{isa}"
    finish(f"overview{avx2}", found, show(found), as_json, writes)


@main.command(cls=Measured)
@click.option("--model", "names", multiple=True, help="A setting's name; default: all.")
@click.option("--list", "listed", is_flag=True, help="List the settings.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--limit", default=60.0, show_default=True, help="Seconds a setting, about.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32")
@click.option("--threads", default=1, show_default=True)
@click.option(
    "--isa",
    type=click.Choice(list(ISA)),
    default="default",
    help="avx2: no AVX-512; sse4: products as slow as the authors'.",
)
@click.option("--preset", default="paper", show_default=True)
@click.option("--batch", type=int, help="Samples a step; default: the recipe's.")
@click.option("--length", type=int, help="Positions of a sequence; default: the data set's.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A config key.")
@common
def steps(
    names: tuple[str, ...],
    listed: bool,
    isa: str,
    preset: str,
    batch: int | None,
    length: int | None,
    overrides: tuple[str, ...],
    as_json: bool,
    writes: bool,
    here: bool,
    **arguments: Any,
) -> None:
    """Training step and evaluation of every model at the paper's size."""
    from benchmarks.settings import settings
    from benchmarks.steps import measure_all, show

    if listed:
        click.echo("\n".join(settings()))
        return
    wanted = chosen(names, settings(), "setting")

    def tell(name: str, row: Mapping[str, Any]) -> None:
        click.echo(f"{name}: {row['step_s']} s, {row['products']} products", err=True)

    size = {"preset": preset, "batch": batch, "length": length, "overrides": list(overrides)}
    found = measure_all(wanted, isa, here, tell, size=size, **arguments)
    rows = found["models"]
    wrong = any(row["disturbed"] for row in rows.values())
    kind = "" if arguments["device"] == "cpu" else f"-{arguments['device'].partition(':')[0]}"
    half = "" if arguments["precision"] == "fp32" else f"-{arguments['precision']}"
    avx2 = "" if isa == "default" else f"-{isa}"
    finish(f"steps{kind}{half}{avx2}", found, show(rows), as_json, writes, wrong)


@main.command(cls=Measured)
@click.option("--model", "names", multiple=True, help="A model, or a case's name; default: all.")
@click.option("--seconds", "least", default=0.5, show_default=True, help="For each.")
@click.option("--batch", type=int, help="Samples a step; default: the recipe's.")
@common
def small(
    names: tuple[str, ...],
    least: float,
    batch: int | None,
    as_json: bool,
    writes: bool,
    here: bool,
) -> None:
    """Steps a second of every model on small configurations."""
    from benchmarks.small import cases, show

    every = cases()
    chosen(names, every | {s.model: s for s, _ in every.values()}, "case or model")
    given = {"names": list(names), "least": least, "batch": batch}
    found = in_child("benchmarks.small:measure", given, here=here)
    finish("small", found, show(found["models"]), as_json, writes)


@main.command(cls=Measured)
@click.option("--case", "names", multiple=True, help="Default: all.")
@click.option("--epochs", default=3, show_default=True, help="Of the run that is measured.")
@click.option("--scale", default=1.0, show_default=True, help="Of the numbers of samples.")
@click.option("--batch", type=int, help="Samples a step; default: the recipe's.")
@click.option("--length", type=int, help="Positions of a sequence; default: the data set's.")
@click.option("--preset", help="Default: the case's.")
@click.option("--no-whole", is_flag=True, help="Run no model from start to end.")
@common
def overhead(
    names: tuple[str, ...],
    epochs: int,
    scale: float,
    batch: int | None,
    length: int | None,
    preset: str | None,
    no_whole: bool,
    as_json: bool,
    writes: bool,
    here: bool,
) -> None:
    """What the harness adds to a bare loop: a step, an epoch, a run."""
    from benchmarks.overhead import CASES, show

    size: dict[str, Any] = {"batch": batch, "length": length}
    size |= {"preset": preset} if preset else {}
    found: dict[str, Any] = {"cases": {}}
    for name in chosen(names, CASES, "case"):
        given = {
            "name": name, "epochs": epochs, "scale": scale, "size": size, "whole": not no_whole
        }  # fmt: skip
        one = in_child("benchmarks.overhead:measure", given, here=here)
        found["machine"], found["cases"][name] = one["machine"], one["figures"]
    finish("overhead", found, show(found["cases"]), as_json, writes)


@main.command(cls=Measured)
@click.option("--clips", type=int, help="Of the training split; default: 2,000.")
@click.option("--length", type=int, help="Positions of a sequence in passes; default: MOSEI's.")
@click.option("--no-start", is_flag=True, help="Do not measure the first start.")
@click.option("--preset", default="paper", show_default=True, help="Of the first start's model.")
@common
def store(
    clips: int | None,
    length: int | None,
    no_start: bool,
    preset: str,
    as_json: bool,
    writes: bool,
    here: bool,
) -> None:
    """Passes over a store, and the time from process start to the first step."""
    from benchmarks.store import CLIPS, measure, show

    scale = 1.0 if clips is None else clips / CLIPS["train"]
    counts = {name: max(4, int(scale * count)) for name, count in CLIPS.items()}
    found = measure(counts, length, here, start=not no_start, preset=preset)
    finish("store", found, show(found), as_json, writes)


@main.command(cls=Measured)
@click.option("--scale", default=1.0, show_default=True, help="Of MOSEI's numbers of clips.")
@click.option("--folder", type=click.Path(file_okay=False), help="Keep the generated file here.")
@common
def prepare(scale: float, folder: str | None, as_json: bool, writes: bool, here: bool) -> None:
    """Preparation of MOSEI from the authors' format: seconds and peak memory."""
    from benchmarks.prepare import measure, show

    found = measure(scale, folder, here)
    finish("prepare", found, show(found), as_json, writes)


@main.command(cls=Measured)
@click.option("--verb", "names", multiple=True, help="Default: all.")
@click.option("--rounds", default=3, show_default=True)
@common
def startup(names: tuple[str, ...], rounds: int, as_json: bool, writes: bool, here: bool) -> None:
    """CPU seconds of every verb's start, beside ``import torch``."""
    from benchmarks.startup import VERBS, measure, show

    found = measure(chosen(names, VERBS, "verb"), rounds)
    finish("startup", found, show(found["verbs"]), as_json, writes)


@main.command(cls=Measured)
@click.option("--records", "sizes", type=int, multiple=True, help="Default: 100, 1000, 10000.")
@click.option("--rescore", "runs", default=100, show_default=True, help="Runs to rescore; 0: none.")
@click.option("--no-check", is_flag=True, help="Do not measure leaderboard --check.")
@common
def records(
    sizes: tuple[int, ...], runs: int, no_check: bool, as_json: bool, writes: bool, here: bool
) -> None:
    """Leaderboards of many records, first and after one was added; rescore."""
    from benchmarks.records import SIZES, measure, show

    found = measure(sizes or SIZES, runs, not no_check)
    finish("records", found, show(found), as_json, writes)


@main.command(cls=Measured)
@click.option("--samples", default=4659, show_default=True)
@click.option("--protocol", "names", multiple=True, help="Protocols and suites.")
@common
def masks(samples: int, names: tuple[str, ...], as_json: bool, writes: bool, here: bool) -> None:
    """Samples a second that dropout protocols draw masks for."""
    from benchmarks.masks import SUITES, show

    given = {"protocols": list(names or SUITES), "samples": samples}
    found = in_child("benchmarks.masks:measure", given, here=here)
    finish("masks", found, show(found["protocols"]), as_json, writes)


@main.command(cls=Measured)
@click.option("--models", default=17, show_default=True)
@click.option("--samples", default=4659, show_default=True)
@common
def statistics(models: int, samples: int, as_json: bool, writes: bool, here: bool) -> None:
    """Intervals, ranks and tests of a board's models."""
    from benchmarks.statistics import show

    given = {"models": models, "samples": samples}
    found = in_child("benchmarks.statistics:measure", given, here=here)
    finish("statistics", found, show(found), as_json, writes)
