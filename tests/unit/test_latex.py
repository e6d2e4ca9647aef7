"""LaTeX boards: what is bold is told apart, and no name is a command."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.boards.aggregate import Row, Statistic
from harness.boards.latex import BEST, SECOND, escape, latex, marks
from tests.unit import pages


def row(mean: float, *rank: int, role: str = "model") -> Row:
    figures = {"micro_f1": Statistic(mean, 0.01, 3)}
    return Row("m", "m", role, "", "1", None, 1, (0, 1, 2), (), (), figures, rank=rank)


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
    text = latex(boards[0])
    assert text.count(r"\begin{tabular}") == text.count(r"\bottomrule") == len(boards[0].tables) + 1
    assert text.count(BEST) == 1 and SECOND not in text  # the second and third are a tie
    assert r"$\mathbf{0.9010} \pm 0.0010$" in text and r"a\_b \& 100\%" in text
    for line in text.splitlines():
        if line.endswith(r" \\"):
            assert line.replace(r"\&", "").count(" & ") >= 4
    labels = [line for line in text.splitlines() if line.startswith(r"\label")]
    assert len(set(labels)) == len(labels)
    assert "Generated twin" in latex(boards[1]) and "Generated twin" not in text
    assert "not measured here" in text.rpartition(r"\begin{table*}")[2]
    untested = replace(boards[0], tables=(replace(boards[0].tables[1]),))
    assert BEST not in latex(untested) and "were not tested" in latex(untested)


def test_no_name_is_a_command() -> None:
    assert escape("\\input{x}\n$y$ #1 ~^") == (
        r"\textbackslash{}input\{x\} \$y\$ \#1 \textasciitilde{}\textasciicircum{}"
    )
