"""Formats and views are plugins: a stranger's are written as the harness's own are."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.boards.board import build_boards, formats, views
from harness.boards.grid import Column, Grid, GridRow, Statistic, View, percent
from harness.boards.render.console import console
from harness.boards.render.data import csv_text
from harness.boards.render.markdown import markdown
from harness.boards.render.text import number
from harness.cli import cli
from harness.plugins import load
from harness.records.store import RunStore
from tests.unit import pages

PLUGIN = """
from harness import hookimpl
from harness.boards.grid import Column, Grid, GridRow, View
from harness.specs import BoardFormat, BoardView

@hookimpl
def harness_board_formats():
    return [BoardFormat("typst", ".typ", "typst:write"),
            BoardFormat("count", "count.txt", "typst:count", of="boards")]

@hookimpl
def harness_board_views():
    return [BoardView("seeds", "typst:seeds")]

def write(view):
    rows = sum(len(grid.rows) for grid in view.grids)
    return f"= {view.title}: {rows} rows"

def count(boards, shown):
    return f"{len(boards)} boards, {len(shown[boards[0].dataset])} views"

def seeds(board):
    rows = [GridRow({"model": r.label, "seeds": len(r.seeds)}) for r in board.tables[0].rows]
    grid = Grid("Seeds", (Column("model"), Column("seeds", kind="figure")), tuple(rows))
    return board.view("seeds", "-seeds", "Seeds", [grid])
"""


def test_a_strangers_format_writes_every_view_and_their_view_has_every_format(
    tmp_path: Path,
) -> None:
    _, runs = pages.party()
    for run in runs:
        RunStore().write(run)
    plugin = tmp_path / "typst.py"
    plugin.write_text(PLUGIN)
    out = tmp_path / "out"
    words = ["leaderboard", "--out", str(out), "--plugin", str(plugin)]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    registry = load((str(plugin),))
    (board,) = build_boards(runs)
    shown = [v.stem for v in views(board, registry)]
    assert set(shown) == {
        "party-twin", "party-twin-robustness", "party-twin-slices", "party-twin-one-ablation",
        "party-twin-seeds",
    }  # fmt: skip
    suffixes = {spec.suffix for spec in formats(registry).values()}
    assert suffixes == {".md", ".tex", ".csv", ".json", ".typ"}
    for stem in shown:
        for suffix in suffixes:
            assert (out / f"{stem}{suffix}").is_file(), stem + suffix
    assert (out / "party-twin-robustness.typ").read_text().startswith("= party-twin: robustness")
    assert (out / "count.txt").read_text() == "1 boards, 5 views"
    assert "| one " in (out / "party-twin-seeds.md").read_text()
    assert "party-twin-seeds.typ" in (out / "README.md").read_text()
    assert "<h2>Seeds</h2>" in (out / "index.html").read_text()
    listed = {e.plugin for e in registry.formats.values()}
    assert listed == {"harness.boards", "typst"}  # the harness's own through the same hook


def grid() -> Grid:
    columns = (
        Column("model"), Column("f1", "micro-F1", "figure"), Column("gap", kind="signed"),
        Column("share", kind="share"), Column("ends", "95 %", "figure", digits=2),
    )  # fmt: skip
    rows = (
        GridRow({"model": "a|b", "f1": Statistic(0.51234, 0.01, 3), "gap": 0.5, "share": 0.25,
                 "ends": (0.1, 0.2)}),
        GridRow({"model": "top", "f1": Statistic(0.9, None, 1)}, "ceiling", older=True),
    )  # fmt: skip
    return Grid("T", columns, rows, ("A `note`.",), "About.", {"dataset": "d"})


def test_cells_look_alike_in_every_format_for_people() -> None:
    view = View("v", "v", "Title", (grid(),))
    text = markdown(view)
    cells = [
        [c.strip() for c in line.split(" | ")] for line in text.splitlines() if "0.5123" in line
    ]
    assert cells[0][1:] == ["0.5123 ± 0.0100", "+0.5000", "25 %", "0.10..0.20 |"]
    assert "a\\|b" in text and "*top*‡" in text and "- A `note`." in text
    shown = console(view)
    assert "0.5123 ± 0.0100" in shown and "A note." in shown and "top‡" in shown


def test_programs_get_parts_of_cells() -> None:
    lines = csv_text(View("v", "v", "Title", (grid(),))).splitlines()
    assert lines[0] == "dataset,model,f1_mean,f1_std,gap,share,ends_low,ends_high,older"
    assert lines[1] == "d,a|b,0.512340,0.010000,0.500000,0.250000,0.100000,0.200000,"
    assert lines[2] == "d,top,0.900000,,,,,,yes"


@pytest.mark.parametrize("name", ["markdown", "latex", "csv", "json", "console"])
def test_every_format_writes_an_empty_view(name: str) -> None:
    from harness.boards.board import render

    spec = load().formats[name].spec
    assert isinstance(render(View("v", "v", "Nothing", ()), spec), str)


def test_no_zero_is_negative() -> None:
    share, figure = Column("share", kind="share"), Column("f1", kind="figure")
    signed = Column("gap", kind="signed")
    assert [number(v, share) for v in (-0.004, 0.0, -0.006)] == ["0 %", "0 %", "-1 %"]
    assert (number(-0.00001, figure), number(-0.00001, signed)) == ("0.0000", "+0.0000")
    assert percent(-1e-9) == "0 %"
