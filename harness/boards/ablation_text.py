"""Ablation tables as Markdown, CSV, JSON and LaTeX; equal tables give equal bytes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict

from harness.boards import latex
from harness.boards.ablation import FULL, AblationTable
from harness.boards.aggregate import SORT_BY
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

SUFFIX = "-ablation"
TESTED = (
    "`difference` is micro-F1 minus that of the full model, over the seeds both have; `95 % "
    "samples` its cluster bootstrap over groups of test samples. A row is told apart from the full "
    "model where the larger p of a paired permutation test over those groups and of a t-test "
    "over seeds, Holm over the rows, is below 0.05. Not told apart does not mean without effect."
)


def files(tables: Sequence[AblationTable]) -> dict[str, str]:
    """Return the files of all tables, text by name: one set a board and model."""
    texts: dict[str, str] = {}
    for place in dict.fromkeys((t.key.dataset, t.model) for t in tables):
        mine = [t for t in tables if (t.key.dataset, t.model) == place]
        stem = f"{place[0]}-{place[1]}{SUFFIX}"
        texts |= {
            f"{stem}.md": markdown(mine),
            f"{stem}.csv": csv_text(mine),
            f"{stem}.json": json_text(mine),
            f"{stem}.tex": latex_text(mine),
        }
    return texts


def rows_for_display(table: AblationTable, mark: str = "") -> tuple[list[str], list[list[str]]]:
    """Return the heads and cells of a table; the ceiling and failed runs come last.

    ``mark`` is put around the name of the ceiling.
    """
    tested = any(row.told_apart is not None for row in table.rows)
    on_twin, printed = table.ceiling is not None, table.reported is not None
    heads = ["ablation", "n", *(HEADS[name] for name in table.figures), "difference"]
    heads += ["95 % samples", "p Holm", "told apart"] if tested else []
    heads += ["of ceiling"] if on_twin else []
    heads += ["micro-F1 printed", "difference printed"] if printed else []
    heads.append("removes")
    lines = []
    for row in table.rows:
        cells = [row.name, str(len(row.seeds))]
        cells += [format_statistic(row.figures.get(name)) for name in table.figures]
        cells.append(_signed(row.delta))
        if tested:
            cells += [
                format_interval(row.delta_ci),
                format_number(row.p_holm),
                _yes(row.told_apart),
            ]
        cells += [NOTHING if row.share is None else f"{100 * row.share:.1f} %"] if on_twin else []
        if printed:
            value = row.printed.printed.get(SORT_BY) if row.printed else None
            cells += [format_number(value, 3), _signed(row.printed_delta, 3)]
        lines.append([*cells, row.removes or NOTHING])
    if table.ceiling is not None:
        cells = [f"{mark}ceiling{mark}", NOTHING]
        cells += [format_statistic(table.ceiling.get(name)) for name in table.figures]
        lines.append([*cells, *(NOTHING for _ in heads[len(cells) :])])
    for failure in table.failures:
        reason = f"seed {failure.seed} failed: {' '.join(failure.reason.split())}"
        lines.append([failure.name, "0", *(NOTHING for _ in heads[3:]), reason])
    return heads, lines


def heading(table: AblationTable) -> str:
    """Return what the figures of a table hold for, as one line."""
    key = table.key
    seeds = sorted({seed for row in table.rows for seed in row.seeds})
    return (
        f"preset and settings {table.setting or NOTHING}, protocol {key.dataset_id}, mask "
        f"{key.mask}, trained under {key.train_dropout}, scored under {key.dropout} on {key.split} "
        f"({table.samples} samples), data {key.content_hash[:12]}, seeds "
        f"{', '.join(map(str, seeds)) or NOTHING}"
    )


def notes(table: AblationTable) -> list[str]:
    """Return what a reader of the table must know, a sentence or two each."""
    found = []
    if table.source == "twin":
        found.append(
            f"Generated data: a twin of `{table.base_name}` with a known ceiling. These figures "
            "say nothing about the real data set."
        )
    if any(row.told_apart is not None for row in table.rows):
        found.append(TESTED)
    if table.untested:
        found.append(f"Not tested: {'; '.join(table.untested)}.")
    if table.reported is not None:
        where = f"on the real `{table.base_name}`, not " if table.source == "twin" else "not "
        found.append(f"Printed figures stand in {table.reported.source}: {where}measured here.")
    return found


def markdown(tables: Sequence[AblationTable]) -> str:
    """Return the tables of one data set and model as Markdown."""
    first = tables[0]
    parts = [
        f"# {first.key.dataset}: ablations of {first.label}",
        "Mean ± sample standard deviation over n seeds; every row is the full model without one "
        "part. Ablated models stand on no leaderboard.",
    ]
    for table in tables:
        heads, lines = rows_for_display(table, mark="*")
        about = heading(table)
        parts += [f"## {table.setting or 'settings'}, data `{table.key.content_hash[:12]}`"]
        parts += [f"{about[0].upper()}{about[1:]}.", pipe(heads, lines, left=(0, len(heads) - 1))]
        parts += notes(table)
        if table.reported is not None:
            parts += _reported(table.reported)
        parts.append(f"To reproduce:\n\n```\n{table.command}\n```")
    return "\n\n".join(parts) + "\n"


def csv_text(tables: Sequence[AblationTable]) -> str:
    """Return one line a row; printed figures have columns of their own."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = list(dict.fromkeys(n for t in tables for n in t.figures))
    metrics = list(dict.fromkeys(m for t in tables if t.reported for m in t.reported.metrics))
    writer.writerow(
        ["dataset", "data_hash", "mask", "train_dropout", "dropout", "split", "model", "setting",
         "ablation", "seeds", "n", *(f"{n}_{part}" for n in names for part in ("mean", "std")),
         "difference", "difference_low", "difference_high", "p_perm", "p_seeds", "p_holm",
         "told_apart", "ceiling_share", *(f"printed_{m}" for m in metrics), "printed_difference"]
    )  # fmt: skip
    for table in tables:
        key = table.key
        about = [key.dataset_id, key.content_hash, key.mask, key.train_dropout, key.dropout,
                 key.split, table.label, table.setting]  # fmt: skip
        for row in table.rows:
            figures = [v for n in names for v in csv_statistic(row.figures.get(n))]
            low, high = row.delta_ci or (None, None)
            tests = (row.delta, low, high, row.p_perm, row.p_seeds, row.p_holm)
            printed = row.printed.printed if row.printed else {}
            writer.writerow(
                [*about, row.name, " ".join(map(str, row.seeds)), len(row.seeds), *figures,
                 *map(csv_number, tests), "" if row.told_apart is None else _yes(row.told_apart),
                 csv_number(row.share), *(csv_number(printed.get(m)) for m in metrics),
                 csv_number(row.printed_delta)]
            )  # fmt: skip
        if table.ceiling is not None:
            figures = [v for n in names for v in csv_statistic(table.ceiling.get(n))]
            blank = [""] * (9 + len(metrics))
            writer.writerow([*about, "ceiling", "", "", *figures, *blank])
    return out.getvalue()


def json_text(tables: Sequence[AblationTable]) -> str:
    """Return the tables as JSON."""
    document = rounded([asdict(table) for table in tables])
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def latex_text(tables: Sequence[AblationTable]) -> str:
    """Return the tables for a paper; they need ``booktabs``, and ``T1`` font encoding."""
    parts = [r"% \usepackage[T1]{fontenc} \usepackage{booktabs}"]
    return "\n\n".join([*parts, *map(_latex, tables)]) + "\n"


def _latex(table: AblationTable) -> str:
    key, printed = table.key, table.reported is not None
    heads = ["Ablation", "$n$", *(latex.escape(HEADS[name]) for name in table.figures)]
    heads += ["Difference", *([r"\% of ceiling"] if table.ceiling is not None else [])]
    heads += ["Printed micro-F1"] if printed else []
    lines = []
    for row in table.rows:
        cells = [latex.escape(row.name), str(len(row.seeds))]
        cells += [latex.figure_text(row.figures.get(name)) for name in table.figures]
        told = r"\dag{}" if row.told_apart else ""
        cells.append(latex.NOTHING if row.delta is None else f"${row.delta:+.4f}${told}")
        if table.ceiling is not None:
            cells.append(latex.NOTHING if row.share is None else f"{100 * row.share:.1f}")
        if printed:
            value = row.printed.printed.get(SORT_BY) if row.printed else None
            cells.append(latex.NOTHING if value is None else f"{value:.3f}")
        lines.append(latex.line(cells))
        lines += [r"\midrule"] if row.name == FULL else []
    if table.ceiling is not None:
        cells = [r"\textit{ceiling}", latex.NOTHING]
        cells += [latex.figure_text(table.ceiling.get(name)) for name in table.figures]
        blank = [latex.NOTHING for _ in heads[len(cells) :]]
        lines += [r"\midrule", latex.line([*cells, *blank])]
    caption = f"{key.dataset}: ablations of {table.label}; {heading(table)}. "
    caption += "Generated twin, not the real data. " if table.source == "twin" else ""
    caption += "Mean ± sample standard deviation over n seeds. Difference: of micro-F1 to the full "
    caption += "model; † told apart from it (permutation over groups and t-test over seeds, Holm). "
    where = f"on the real {table.base_name}, " if table.source == "twin" else ""
    caption += (
        f"Printed: {table.reported.source}, {where}not measured here." if table.reported else ""
    )
    name = latex.label_for(
        "tab-ablation", key.dataset, table.model, table.setting, key.content_hash[:8], key.mask,
        key.train_dropout,
    )  # fmt: skip
    return latex.environment(caption.rstrip(), name, heads, lines)


def _reported(reported: Reported) -> list[str]:
    swapped = reported.exchanged
    extra = ["P un-swapped", "R un-swapped"] if swapped else []
    lines = []
    for row in reported.rows:
        values = [row.printed[m] for m in reported.metrics]
        values += [row.true["precision"], row.true["recall"]] if swapped else []
        name = f"{row.name}†" if row.swapped else row.name
        lines.append([name, *(format_number(value, 3) for value in values)])
    heads = ["row", *(f"{m} (printed)" for m in reported.metrics), *extra]
    said = [f"- {note}" for note in reported.notes]
    if swapped:
        said.insert(0, "- † P and R are printed swapped; the last columns exchange them back.")
    return ["### As printed", pipe(heads, lines, left=(0,)), "\n".join(said)]


def _signed(value: float | None, digits: int = 4) -> str:
    return NOTHING if value is None else f"{value:+.{digits}f}"


def _yes(told_apart: bool | None) -> str:
    return NOTHING if told_apart is None else "yes" if told_apart else "no"
