"""LaTeX tables for a column of a paper: chosen columns, short heads, points below one another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.boards.grid import Column, Grid, GridRow, Statistic, View
from harness.boards.render.latex import EVERY, Chosen, tables_of
from harness.boards.views import robustness
from harness.boards.views.leaderboard import leaderboard
from harness.cli import cli
from harness.errors import UnknownNameError
from harness.records.store import RunStore
from tests.unit import pages

NAMES = ("Micro_F1", "tuned_micro_f1", "parameters")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.removesuffix(r" \\").split(" & ")]


def test_chosen_columns_in_the_order_asked_for() -> None:
    boards, _ = pages.small("a_b & 100%")
    chosen = Chosen(NAMES)
    text = tables_of(leaderboard(boards[0]), chosen)
    chosen.check()
    assert text.count(r"\begin{table}") == text.count(r"\begin{tabular}") == 1
    assert r"\begin{tabular}{@{}lr@{\,}lr@{\,}lr@{}}" in text and "table*" not in text
    head = next(line for line in text.splitlines() if "multicolumn" in line)
    assert re.findall(r"\{(\d)\}\{r\}\{(.*?)\}", head) == [
        ("2", "miF1"),
        ("2", "miF1 t."),
        ("1", "params"),
    ]
    assert "miF1 t.: micro-F1 tuned" in text and "[95" not in text, "no interval stands there"
    best = next(line for line in text.splitlines() if line.startswith("one"))
    assert cells(best) == [
        "one", "$.9010$", r"{\scriptsize$\pm.0010$}", r"$\mathbf{.9110}$",
        r"{\scriptsize$\pm.0010$}", "12,345",
    ]  # fmt: skip
    prior = next(line for line in text.splitlines() if line.startswith(r"\textit{prior"))
    assert cells(prior)[:3] == [r"\textit{prior}", "$.2000$", ""] and "(trivial)" not in text
    assert r"a\_b \& 100\%" in text and "Generated twin" not in text
    assert "Generated twin" in tables_of(leaderboard(boards[1]), Chosen(NAMES))


def test_long_names_go_on_in_the_next_line_and_three_columns_stay_one_table() -> None:
    names = ("micro", "rank", "jaccard")
    columns = (Column("model"), *(Column(name, kind="figure") for name in names))
    figures = {"micro": Statistic(0.5, 0.01, 3), "rank": 1.0, "jaccard": 0.25}
    long = "logistic (tuned training.epochs=1), n 3"
    rows = (GridRow({"model": long} | figures), GridRow({"model": "cc"} | figures))
    text = tables_of(View("x", "x", "X", (Grid("All", columns, rows),)), Chosen((EVERY,)))
    width = re.findall(r"\\begin\{tabular\}\{@\{\}p\{(\d+)pt\}", text)
    assert len(width) == text.count(r"\begin{tabular}") == 1 and 68 <= int(width[0]) <= 110
    assert rf"\raggedright\hangindent1em {long} &" in text and text.count("hangindent") == 1
    many = (Column("model"), *(Column(f"a{i}", kind="figure") for i in range(9)))
    row = GridRow({"model": long} | {f"a{i}": Statistic(0.5, 0.01, 3) for i in range(9)})
    parts = tables_of(View("x", "x", "X", (Grid("All", many, (row,)),)), Chosen((EVERY,)))
    assert parts.count("p{94pt}") == parts.count(r"\begin{tabular}") == 5, "two figures each"
    short = tables_of(View("x", "x", "X", (Grid("All", columns, rows[1:]),)), Chosen((EVERY,)))
    assert "hangindent" not in short and "pt}" not in short.partition("tabular}")[2]


def test_labels_are_short_and_each_another_and_hold_no_digest() -> None:
    def grid(title: str, **facts: str) -> Grid:
        row = GridRow({"model": "a", "x": 1.0})
        return Grid(title, (Column("model"), Column("x", kind="figure")), (row,), facts=facts)

    trained = {"dataset": "mosi@2", "data_hash": "1a72" * 10, "dropout": "full@1"}
    grids = (
        grid("Scored under", **trained, train_dropout="full@1"),
        grid("Scored under", **trained, train_dropout="train-mix@1"),
        grid("Scores", track="clean-trained", suite="core@1"),
        grid("Aggregates", track="clean-trained", suite="core@1"),
        grid("Scores", track="clean-trained", suite="core@1", data_hash="2b"),
        grid("R² of", measure="r²{}"),
    )
    text = tables_of(View("x", "mosi", "X", grids), Chosen((EVERY,)))
    assert re.findall(r"\\label\{(.*)\}", text) == [
        "tab:mosi", "tab:mosi:train-mix", "tab:mosi:clean-trained:core:scores",
        "tab:mosi:clean-trained:core:aggregates", "tab:mosi:clean-trained:core:scores:2",
        "tab:mosi:r---",
    ]  # fmt: skip


def test_names_are_written_as_the_author_does(tmp_path: Path) -> None:
    for run in pages.small()[1]:
        RunStore().write(run)

    def call(*words: str) -> Result:
        out = ("--out", str(tmp_path / "paper"))
        return CliRunner().invoke(cli, ["leaderboard", "--dataset", "fake", *out, *words])

    done = call("--columns", "tuned_micro_f1", "--label", "one=One & All")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "paper/fake.tex").read_text()
    assert "\nOne \\& All" in text and "\none" not in text
    wrong = call("--columns", "tuned_micro_f1", "--label", "oen=1")
    assert wrong.exit_code == 2 and "unknown name in this table 'oen'" in wrong.stderr
    alone = call("--label", "one=1")
    assert alone.exit_code == 2 and "give --columns, too" in alone.stderr


def test_what_is_too_wide_goes_on_below_with_the_names_again() -> None:
    names = [f"random-0.{i}" for i in range(1, 9)]
    columns = (Column("model"), *(Column(name, kind="figure") for name in names))
    row = {name: Statistic(i / 10, 0.01, 3) for i, name in enumerate(names, 1)}
    grid = Grid("All", columns, (GridRow({"model": "a-model"} | row),))
    text = tables_of(View("x", "x", "X", (grid,)), Chosen((EVERY,)))
    parts = text.split(r"\begin{tabular}")[1:]
    assert len(parts) > 1 and all("a-model & " in part for part in parts)
    assert text.count(r"\begin{table}") == text.count(r"\caption") == 1
    assert re.findall(r"\$(\.\d000)\$", text) == [f".{i}000" for i in range(1, 9)]
    assert [head for head in re.findall(r"\{(ran\.\d)\}", text)] == [
        f"ran.{i}" for i in range(1, 9)
    ]
    only = tables_of(View("x", "x", "X", (grid,)), Chosen(("random-0.3", "RANDOM-0.1")))
    assert re.findall(r"\$(\.\d000)\$", only) == [".3000", ".1000"]


def test_what_does_not_fit_on_a_page_is_continued() -> None:
    names = [f"drop-{letter}" for letter in "abcdefghijkl"]
    columns = (Column("model"), *(Column(name, kind="mean") for name in names))
    rows = tuple(GridRow({"model": f"model {i}"} | dict.fromkeys(names, 0.5)) for i in range(30))
    text = tables_of(View("x", "x", "Δ² x", (Grid("All", columns, rows),)), Chosen((EVERY,)))
    floats = text.split(r"\begin{table}")[1:]
    assert len(floats) > 1 and all(one.count(r"\begin{tabular}") == 1 for one in floats)
    assert all(one.count("model 29 & ") == 1 for one in floats)
    assert text.count(r"\label") == 1 and text.count("Continued.") == len(floats) - 1
    assert text.count("$.5000$") == 12 * 30 and text.isascii()


def test_an_unknown_column_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    for run in pages.small()[1]:
        RunStore().write(run)

    def call(*words: str) -> Result:
        return CliRunner().invoke(cli, ["leaderboard", "--dataset", "fake", *words])

    out = tmp_path / "paper"
    done = call("--columns", "tuned_micro_f1,jacard", "--out", str(out))
    assert done.exit_code == 2 and "Did you mean 'jaccard'" in done.stderr and not out.exists()
    done = call("--columns", "tuned_micro_f1,jaccard", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert [path.name for path in sorted(out.iterdir())] == ["fake.tex"]
    assert call("--columns", "jaccard", "--out", "leaderboards").exit_code == 2
    assert call("--columns", "jaccard", "--check", "--out", str(out)).exit_code == 2


def test_a_name_that_no_view_has_is_told_after_all_views() -> None:
    boards, _ = pages.small()
    chosen = Chosen(("only-a", "rank"))
    assert tables_of(robustness.view(boards[0]), chosen)
    assert tables_of(leaderboard(boards[0]), chosen) == "", "ranks of no figure"
    assert tables_of(leaderboard(boards[0]), Chosen(("rank",)))
    chosen.check()
    with pytest.raises(UnknownNameError, match="Did you mean 'rank'"):
        Chosen(("rang",), known={"rank"}).check()
