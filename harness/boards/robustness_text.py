"""Robustness tables as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from harness.boards.cells import (
    HEADS,
    NOTHING,
    csv_number,
    csv_statistic,
    format_statistic,
    pipe,
    rounded,
)
from harness.boards.robustness import AGGREGATES, RobustRow, RobustTable

TRACKS = {"full@1": "clean-trained", "train-mix@1": "dropout-trained"}
_ABOUT = {
    "core@1": (
        "A row is one trained checkpoint scored under every pattern. {incomplete}: mean over the "
        "incomplete patterns; {patterns}: with complete data; worst: the worst pattern; avg-rand: "
        "mean over the nominal rates 0.1 to 0.7; avg-rand0: with 0; nAUILC: area over the realised "
        "missing rates divided by their range; retention and drop: {incomplete} over, and below, "
        "`full`. Aggregated per seed, then mean ± sample standard deviation over seeds."
    ),
}


def markdown(tables: Sequence[RobustTable]) -> str:
    """Return the tables of one data set as Markdown."""
    parts = [f"# {tables[0].dataset}: robustness"]
    for table in tables:
        parts += _section(table)
    return "\n\n".join(parts) + "\n"


def csv_text(tables: Sequence[RobustTable]) -> str:
    """Return one line a row and protocol or aggregate."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["dataset", "data_hash", "mask", "train_dropout", "suite", "metric", "role", "model",
         "setting", "seeds", "n", "figure", "missing_rate", "mask_digest", "mean", "std",
         "of_ceiling"]
    )  # fmt: skip
    for table in tables:
        for row in table.rows:
            about = [table.dataset, table.content_hash, table.mask, table.track, table.suite,
                     table.metric, row.role, row.label, row.setting,
                     " ".join(map(str, row.seeds)), len(row.seeds)]  # fmt: skip
            for name in table.protocols:
                share = row.of_ceiling.get(name)
                writer.writerow(
                    [*about, name, csv_number(table.rates[name]), table.digests[name],
                     *csv_statistic(row.scores[name]), csv_number(share)]
                )  # fmt: skip
            for name, value in row.aggregates.items():
                writer.writerow([*about, name, "", "", *csv_statistic(value), ""])
    return out.getvalue()


def json_text(tables: Sequence[RobustTable]) -> str:
    """Return the tables as JSON."""
    document = rounded([asdict(table) for table in tables])
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _section(table: RobustTable) -> list[str]:
    patterns = sum(name.startswith(("only-", "drop-")) for name in table.protocols)
    names = {"incomplete": f"avg{patterns}", "patterns": f"avg{patterns + 1}"}
    title = f"## `{table.suite}`, {TRACKS.get(table.track, table.track)}"
    facts = (
        f"{HEADS.get(table.metric, table.metric)} on the test split, trained under "
        f"`{table.track}`, mask `{table.mask}`, data `{table.content_hash}`. Every row was scored "
        "under the same dropout masks."
    )
    about = _ABOUT.get(table.suite, "A row is one trained checkpoint scored under every protocol.")
    lines = [title, facts, about.format(**names)]
    lines.append(_grid(table, [n for n in table.protocols], "scores"))
    if table.suite == "core@1":
        heads = {"avg_incomplete": names["incomplete"], "avg_patterns": names["patterns"],
                 "avg_rand": "avg-rand", "avg_rand0": "avg-rand0", "nauilc": "nAUILC",
                 "retention_worst": "retention worst"}  # fmt: skip
        lines.append(_aggregates(table, heads))
    if any(row.role == "ceiling" for row in table.rows):
        lines += ["Share of the ceiling under the same protocol:", _shares(table)]
    return lines


def _grid(table: RobustTable, names: Sequence[str], what: str) -> str:
    rates = ["realised missing rate", NOTHING]
    rates += [NOTHING if table.rates[n] is None else f"{table.rates[n]:.3f}" for n in names]
    rows = [[*_name(row), *(format_statistic(row.scores[n]) for n in names)] for row in table.rows]
    return pipe(["model", "n", *names], [rates, *rows], left=(0,))


def _aggregates(table: RobustTable, heads: Mapping[str, str]) -> str:
    rows = [
        [*_name(row), *(format_statistic(row.aggregates.get(n)) for n in AGGREGATES)]
        for row in table.rows
    ]
    return pipe(["model", "n", *(heads.get(n, n) for n in AGGREGATES)], rows, left=(0,))


def _shares(table: RobustTable) -> str:
    rows = [
        [*_name(row), *(_percent(row.of_ceiling.get(n)) for n in table.protocols)]
        for row in table.rows
        if row.role != "ceiling"
    ]
    return pipe(["model", "n", *table.protocols], rows, left=(0,))


def _name(row: RobustRow) -> list[str]:
    setting = f" ({row.setting})" if row.setting and row.role == "model" else ""
    name = f"{row.label}{setting}" if row.role == "model" else f"*{row.label}*"
    return [name, str(len(row.seeds))]


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.1f} %"
