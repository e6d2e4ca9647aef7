"""``harness figure``: the group; the module harness.cli.figures.<kind> holds each command."""

from __future__ import annotations

import click

from harness.cli import LazyGroup
from harness.cli.render import examples

# kind -> what it shows, in the order of the help.
KINDS = {
    "training": "Loss and validation metric per epoch.",
    "robustness": "What models keep as modalities fail.",
    "labels": "Scores per label, with support.",
    "cooccurrence": "Which labels occur together, and which a model says do.",
    "dependence": "Which modality a model takes a label from.",
    "embeddings": "What a model makes of each modality, by t-SNE.",
    "case": "A page about one sample: what was there, what every model said.",
}


@click.group(
    cls=LazyGroup,
    verbs=KINDS,
    package="harness.cli.figures",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "harness figure training ramer carat --dataset mosi",
        "harness figure robustness ramer carat --dataset mosei-aligned-twin",
        "harness figure labels ramer --dataset mosi --records leaderboards/records",
        "harness figure training --help",
    ),
)
def command() -> None:
    """Draw a figure of the field's kinds as SVG and PNG, its numbers as CSV beside it.

    Drawing needs matplotlib: pip install 'emotion-harness[plots]'.
    """
