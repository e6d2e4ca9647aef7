"""The command: one sub-command a subject."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from benchmarks.measuring import ISA, write

Command = TypeVar("Command", bound=Callable[..., Any])
DISTURBED_EXIT = 2


def common(command: Command) -> Command:
    """Add the options that every benchmark has."""
    for option in (
        click.option("--here", is_flag=True, help="Measure in this process, not in children."),
        click.option("--write", "writes", is_flag=True, help="Write benchmarks/results/."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ):
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


@click.group(context_settings={"max_content_width": 100})
def main() -> None:
    """Measure speed and memory, with times as multiples of a matrix product of the same run."""


@main.command()
@click.option("--model", "names", multiple=True, help="A setting's name; default: all.")
@click.option("--list", "listed", is_flag=True, help="List the settings.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--limit", default=60.0, show_default=True, help="Seconds a setting, about.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32")
@click.option("--threads", default=1, show_default=True)
@click.option("--isa", type=click.Choice(list(ISA)), default="default", help="avx2: no AVX-512.")
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

    known = settings()
    if listed:
        click.echo("\n".join(known))
        return
    if unknown := [name for name in names if name not in known]:
        raise click.UsageError(f"no setting {unknown[0]!r}; choose from {', '.join(known)}.")

    def tell(name: str, row: Mapping[str, Any]) -> None:
        click.echo(f"{name}: {row['step_s']} s, {row['products']} products", err=True)

    size = {"preset": preset, "batch": batch, "length": length, "overrides": list(overrides)}
    found = measure_all(names, isa, here, tell, size=size, **arguments)
    rows = found["models"]
    wrong = any(row["disturbed"] for row in rows.values())
    kind = "" if arguments["device"] == "cpu" else f"-{arguments['device'].partition(':')[0]}"
    half = "" if arguments["precision"] == "fp32" else f"-{arguments['precision']}"
    avx2 = "" if isa == "default" else f"-{isa}"
    finish(f"steps{kind}{half}{avx2}", found, show(rows), as_json, writes, wrong)
