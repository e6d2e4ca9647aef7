"""LaTeX boards: what is bold is told apart, and no name is a command."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.boards.frame import Key
from harness.boards.grid import Statistic
from harness.boards.render.latex import MARKS, escape, latex
from harness.boards.rows import Row
from harness.boards.views.leaderboard import leaderboard
from harness.boards.views.reported import view
from harness.boards.views.table import BEST, SECOND, marks
from tests.unit import pages
from tests.unit.boards.made import record


def row(mean: float, *rank: int, role: str = "model") -> Row:
    run = record("m", role=role)
    return Row((run,), ({},), "", {Key("micro_f1"): Statistic(mean, 0.01, 3)}, rank=rank)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row(0.9, 1), row(0.8, 2), row(0.7, 3)], [BEST, SECOND, ""]),
        ([row(0.7, 2), row(0.9, 1)], [SECOND, BEST]),
        ([row(0.9, 1), row(0.8, 2), row(0.7, 2)], [BEST, "", ""]),
        ([row(0.9, 1), row(0.8, 1), row(0.7, 2)], ["", "", ""]),
        ([row(0.9, 1), row(0.8, 1, 2), row(0.7, 2)], ["", "", ""]),
        ([row(0.9, 1), row(0.8)], ["", ""]),
        ([row(0.9, 1)], [""]),
        ([row(0.9, 1, role="ceiling"), row(0.8, 2), row(0.7, 3)], ["", BEST, SECOND]),
    ],
)
def test_rank_groups_decide_what_is_marked(rows: list[Row], expected: list[str]) -> None:
    assert marks(rows) == expected


def test_the_tables_of_a_board() -> None:
    boards, _ = pages.small("a_b & 100%")
    text = latex(leaderboard(boards[0]))
    assert text.count(r"\begin{table}") == 1 and "table*" not in text
    assert text.count(r"\begin{tabular}") == text.count(r"\bottomrule") >= 1
    # The second and third are a tie.
    assert text.count(MARKS["best"]) == 1 and MARKS["second"] not in text
    assert r"$\mathbf{.9110}$ & {\scriptsize$\pm.0010$}" in text and r"a\_b \& 100\%" in text
    for line in text.splitlines():
        if line.endswith(r" \\"):
            assert line.replace(r"\&", "").count(" & ") >= 1
    labels = [line for line in text.splitlines() if line.startswith(r"\label")]
    assert len(set(labels)) == len(labels)
    assert "Generated twin" in latex(leaderboard(boards[1])) and "Generated twin" not in text
    printed = latex(view(boards[0]))
    assert r"one\dag{}" in printed and "As printed in A paper" in printed
    untested = replace(boards[0], tables=(replace(boards[0].tables[1]),))
    assert MARKS["best"] not in latex(leaderboard(untested))


def test_no_name_is_a_command() -> None:
    assert escape("\\input{x}\n$y$ #1 ~^") == (
        r"\textbackslash{}input\{x\} \$y\$ \#1 \textasciitilde{}\textasciicircum{}"
    )
