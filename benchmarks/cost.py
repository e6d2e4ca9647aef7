"""What training with the `paper` preset costs on the real files, from measured steps.

Usage: python -m benchmarks.cost [--results FILE]

Reads the result of ``python -m benchmarks steps --write`` and multiplies: seconds of a step, steps
of an epoch, epochs of the preset. Validation, scoring and preparation are left out. MEmoR's number
of samples is not published; its cost is given for 10,000.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks.measuring import RESULTS
from benchmarks.settings import DATASETS
from harness.config import resolve_config
from harness.plugins import load, resolve

UNKNOWN = 10_000
COLUMNS = ("model", "data", "samples", "batch", "epochs", "s a step", "hours", "peak GB")


def rows(steps: Mapping[str, Any]) -> list[list[Any]]:
    """Return a row a model.

    Args:
        steps: the result of `benchmarks.steps`.
    """
    registry = load()
    found: list[list[Any]] = []
    for name, figures in steps["models"].items():
        if name not in registry.models:
            continue
        spec = registry.model(name)
        data = registry.dataset(DATASETS[spec.layouts[0]])
        config = resolve_config(spec, data, "paper", None, [])
        published = resolve(data.corpus)(data).published_counts
        samples = int(published.get("train", UNKNOWN))
        batch, epochs = config.training.batch_size, config.training.epochs
        hours = figures["step_s"] * -(-samples // batch) * epochs / 3600
        peak = figures["peak_gb"]
        found.append(
            [name, data.name, samples, batch, epochs, figures["step_s"], round(hours, 1), peak]
        )
    return found


def table(steps: Mapping[str, Any]) -> str:
    """Return the rows as a Markdown table.

    Args:
        steps: the result of `benchmarks.steps`.
    """
    return tabulate(rows(steps), COLUMNS, tablefmt="pipe")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--results", type=Path, default=RESULTS / "steps.json")
    options = parser.parse_args(arguments)
    print(table(json.loads(options.results.read_text("utf-8"))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
