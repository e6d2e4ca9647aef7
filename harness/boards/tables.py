"""Boards as Markdown, CSV and JSON; equal boards give equal bytes."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from tabulate import tabulate

from harness.boards.aggregate import SORT_BY, Row, Table
from harness.boards.cells import (
    HEADS,
    NOTHING,
    csv_number,
    csv_statistic,
    format_interval,
    format_number,
    format_statistic,
    pipe,
    rounded,
)
from harness.boards.reported import Reported
from harness.boards.slices import sections
from harness.boards.swapped import sections as both_ways
from harness.statistics.ranks import rank_text

if TYPE_CHECKING:
    from harness.boards.board import Board

EXTERNAL_NOTE = (
    "Made by code that was not run here, scored under the same rules by `harness score`. How they "
    "were trained, selected and, under dropout, masked cannot be checked from a file."
)


def markdown(board: Board) -> str:
    """Return the board as Markdown."""
    parts = [f"# {board.dataset}", _preamble(board)]
    for number, content in enumerate(board.hashes):
        tables = [t for t in board.tables if t.key.content_hash == content]
        newest = " (newest)" if number == 0 and len(board.hashes) > 1 else ""
        parts.append(f"## Data `{content}`{newest}")
        for table in tables:
            parts += _section(table)
        parts += sections(s for s in board.slices if s.key in {t.key for t in tables})
        parts += both_ways(tuple(s for s in board.swapped if s.key in {t.key for t in tables}))
        parts.append(_commands(tables))
    if board.external:
        parts += ["## External predictions", EXTERNAL_NOTE]
        for table in board.external:
            parts += _section(table)
        parts += sections(s for s in board.slices if s.key in {t.key for t in board.external})
    if board.robustness:
        parts.append(f"Scores under missing modalities: `{board.dataset}-robustness.md`.")
    ablations = dict.fromkeys(f"`{t.key.dataset}-{t.model}-ablation.md`" for t in board.ablations)
    if ablations:
        parts.append(f"Models without some part: {', '.join(ablations)}.")
    if board.reported is not None:
        parts += _reported(board, board.reported)
    return "\n\n".join(p for p in parts if p) + "\n"


def csv_text(board: Board) -> str:
    """Return every measured figure as CSV, one line a row of a table."""
    every = (*board.tables, *board.external)
    names = sorted({name for t in every for name in t.figures})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    figures = [f"{name}_{part}" for name in names for part in ("mean", "std")]
    intervals = [f"{SORT_BY}_{of}_{end}" for of in ("seeds", "samples") for end in ("low", "high")]
    writer.writerow(
        ["dataset", "data_hash", "mask", "train_dropout", "dropout", "split", "role", "model",
         "setting", "seeds", "n", *figures, *intervals, "clusters", "rank", "ceiling_share"]
    )  # fmt: skip
    for table in every:
        for row in table.rows:
            values = [v for name in names for v in csv_statistic(row.figures.get(name))]
            writer.writerow(
                [table.key.dataset_id, table.key.content_hash, table.key.mask,
                 table.key.train_dropout, table.key.dropout, table.key.split, row.role, row.label,
                 row.setting, " ".join(map(str, row.seeds)), len(row.seeds), *values,
                 *_ends(row.t_interval), *_ends(row.sample_interval), row.clusters or "",
                 rank_text(row.rank),
                 csv_number(row.share)]
            )  # fmt: skip
    return out.getvalue()


def json_text(board: Board) -> str:
    """Return the board as JSON: measured rows per table, reported ones under their own key."""
    document = rounded(asdict(board))
    for name in ("robustness", "ablations"):  # they have files of their own
        del document[name]
    for name in ("slices", "swapped"):
        if not document[name]:
            del document[name]
    # Unindented: a board of every model under every suite stays well below 2 MB.
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"


def rows_for_display(table: Table, mark: str = "") -> tuple[list[str], list[list[str]]]:
    """Return the heads and cells of a table, failed runs last.

    ``mark`` is put around the names of rows that are no trained models.
    """
    on_twin = any(row.share is not None for row in table.rows)
    heads = ["model", "setting", "n", *(HEADS[name] for name in table.figures)]
    tested = any(row.sample_interval is not None for row in table.rows)
    heads += ["rank", "95 % seeds", "95 % samples"] if tested else []
    heads += ["of ceiling"] if on_twin else []
    lines = [_cells(row, table, tested, on_twin, mark) for row in table.rows]
    for failure in table.failures:
        blank = [NOTHING] * (len(heads) - 3)
        lines.append([failure.label, f"seed {failure.seed} failed: {_one_line(failure.reason)}",
                      "0", *blank])  # fmt: skip
    return heads, lines


def _cells(row: Row, table: Table, tested: bool, on_twin: bool, mark: str) -> list[str]:
    trained = row.role in ("model", "external")
    name = row.label if trained else f"{mark}{row.label}{mark}"
    setting = row.setting if trained else row.role
    cells = [name, setting or NOTHING, str(len(row.seeds))]
    cells += [format_statistic(row.figures.get(f)) for f in table.figures]
    if tested:
        cells.append(rank_text(row.rank) or NOTHING)
        cells += [format_interval(i) for i in (row.t_interval, row.sample_interval)]
    if on_twin:
        cells.append(NOTHING if row.share is None else f"{100 * row.share:.1f} %")
    return cells


def _preamble(board: Board) -> str:
    lines = []
    if board.source == "twin":
        lines.append(
            f"Generated data: a twin of `{board.base_name}` with a known ceiling. These figures "
            "say nothing about the real data set and stand in no table with its figures."
        )
    lines.append(
        "Mean ± sample standard deviation over n seeds, best micro-F1 first; rows in italics are "
        "not trained models (trivial predictors, and on twins the ceiling). Reported figures have "
        "a table of their own."
    )
    if any(row.sample_interval for table in board.tables for row in table.rows):
        lines.append(
            "Rows that share a rank cannot be told apart by micro-F1: a paired permutation test "
            "over groups of test samples and a t-test over seeds (at least 3), the larger p, "
            "Holm over all pairs, 5 %. `95 % seeds` is the t-interval over training seeds, "
            "`95 % samples` the cluster bootstrap over groups of test samples."
        )
    if board.label_kind == "multilabel":
        lines.append(
            '`Jaccard` counts 0 where truth and prediction are both empty (the papers\' "Acc"); '
            "`tuned` uses one threshold chosen on validation."
        )
    if len(board.hashes) > 1:
        lines.append(
            f"Runs on {len(board.hashes)} different contents of the data were found; they are kept "
            "apart, newest first."
        )
    return "\n".join(lines)


def _section(table: Table) -> list[str]:
    key = table.key
    heads, lines = rows_for_display(table, mark="*")
    seeds = sorted(
        {s for row in table.rows if row.role in ("model", "external") for s in row.seeds}
    )
    outside = key.train_dropout == "external"
    training = "trained elsewhere" if outside else f"trained under `{key.train_dropout}`"
    facts = [
        f"Protocol `{key.dataset_id}`, mask `{key.mask}`, {training}, "
        f"scored under `{key.dropout}` on `{key.split}` ({table.samples} samples).",
        f"Seeds: {', '.join(map(str, seeds)) or NOTHING}.",
    ]
    title = f"### Scored under {key.dropout}, {training.replace('`', '')}, mask {key.mask}"
    return [title, "\n".join(facts), pipe(heads, lines)]


def _commands(tables: Sequence[Table]) -> str:
    """Return the commands that reproduce the trained rows."""
    trained = [row for table in tables for row in table.rows if row.role == "model"]
    lines = commands_of(trained)
    return (
        "\n".join(["To reproduce:", "", "```", *lines, "harness leaderboard", "```"])
        if lines
        else ""
    )


def commands_of(rows: Iterable[Row]) -> list[str]:
    """Return the commands that reproduce rows, one a line for all its seeds."""
    seeds: dict[str, set[int]] = {}
    for command in (command for row in rows for command in row.commands):
        found = re.search(r"--seeds (\d+)\b", command)
        each = command if found is None else command.replace(found[0], "--seeds {}")
        seeds.setdefault(each, set()).update([] if found is None else [int(found[1])])
    return [c.replace("{}", ",".join(map(str, sorted(s))), 1) for c, s in sorted(seeds.items())]


def _reported(board: Board, reported: Reported) -> list[str]:
    measured: dict[str, set[str]] = {}
    for table in board.tables:
        for row in table.rows:
            if row.reported_as:
                measured.setdefault(row.reported_as.casefold(), set()).add(row.label)
    both = reported.exchanged
    extra = ["P un-swapped", "R un-swapped"] if both else []
    heads = ["row", "here", *(f"{m} (printed)" for m in reported.metrics), *extra]
    lines = []
    for printed in reported.rows:
        cells = [format_number(printed.printed[m], 3) for m in reported.metrics]
        if both:
            cells += [format_number(printed.true[m], 3) for m in ("precision", "recall")]
        here = ", ".join(sorted(measured.get(printed.name.casefold(), ()))) or NOTHING
        lines.append([f"{printed.name}†" if printed.swapped else printed.name, here, *cells])
    text = tabulate(lines, heads, tablefmt="pipe", disable_numparse=True)
    intro = f"As printed in {reported.source}; not measured here and averaged with nothing."
    if board.source == "twin":
        intro += f" They are figures on the real `{board.base_name}`, not on this twin."
    notes = [f"- {note}" for note in reported.notes]
    if both:
        notes.insert(0, "- † P and R are printed swapped; the last two columns exchange them back.")
    return ["## Reported figures", intro, text, "\n".join(notes)]


def _ends(ends: tuple[float, float] | None) -> tuple[str, str]:
    return ("", "") if ends is None else (csv_number(ends[0]), csv_number(ends[1]))


def _one_line(text: str) -> str:
    return " ".join(text.split())
