"""``harness runs``: what can be done with stored runs; a module a verb."""

from __future__ import annotations

import click

from harness.cli import LazyGroup
from harness.cli.render import examples

VERBS = {
    "list": "List runs with their state and size.",
    "show": "Show one run in detail.",
    "rm": "Remove runs.",
    "export": "Write one run into a folder to use elsewhere.",
    "rerun": "Train again, and say whether the same comes out.",
    "gc": "Remove what nothing refers to.",
    "diagnose": "Measure on validation what the mechanisms of trained models do.",
    "migrate": "Rewrite records of an earlier schema in place.",
    "verify": "Compute the figures of stored runs a second time with torchmetrics.",
}


@click.group(
    cls=LazyGroup,
    verbs=VERBS,
    package="harness.cli.runs",
    epilog=examples("harness runs list", "harness runs gc --dry-run", "harness runs verify"),
)
def command() -> None:
    """Look after stored runs."""
