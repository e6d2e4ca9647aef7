"""Canvas: equal figures give equal files, nothing covers data, matplotlib is asked for politely."""

from __future__ import annotations

import math
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.errors import UsageError, require
from harness.figures.canvas import (
    About,
    drawing,
    heat_map,
    legend,
    save,
    seeds_text,
    style,
    write_numbers,
)

ABOUT = About("Two models & <one> $x_1$", "mosi-twin", "twin", "full@1 on test", "seeds 0, 1")


def draw(stem: Path, formats: tuple[str, ...] = ("svg", "png", "pdf")) -> list[Path]:
    with drawing(4.0, 3.0) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0.2, 0.8], label="a $model$ with a long name")
        axes.bar([0, 1], [0.1, 0.2], hatch=style(1).hatch)
        legend(figure, *axes.get_legend_handles_labels())
        return save(figure, stem, ABOUT, formats)


def test_equal_figures_give_equal_bytes_and_say_what_they_show(tmp_path: Path) -> None:
    first, second = draw(tmp_path / "a" / "one.v1"), draw(tmp_path / "b" / "one.v1")
    assert [p.name for p in first] == ["one.v1.svg", "one.v1.png", "one.v1.pdf"]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert not [p for p in (tmp_path / "a").iterdir() if p not in first]
    text = " ".join(ElementTree.parse(first[0]).getroot().itertext())
    assert ABOUT.title in text and "mosi-twin (generated twin)" in text
    assert first[1].read_bytes().startswith(b"\x89PNG")


def test_settings_of_the_user_neither_break_nor_change_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    expected = draw(tmp_path / "a", ("svg",))[0].read_bytes()
    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    monkeypatch.setitem(matplotlib.rcParams, "lines.linewidth", 9.0)
    assert draw(tmp_path / "b", ("svg",))[0].read_bytes() == expected
    assert matplotlib.rcParams["lines.linewidth"] == 9.0


def test_title_legend_and_caption_lie_outside_the_axes(tmp_path: Path) -> None:
    with drawing(3.0, 2.0) as figure:
        axes = figure.subplots(1, 2, squeeze=False)[0]
        for one in axes:
            one.plot([0, 1], [0, 1], label="a model of a rather long name")
            one.set_xlabel("epoch")
        legend(figure, *axes[0].get_legend_handles_labels())
        save(figure, tmp_path / "x", ABOUT, ("png",))
        bodies = [one.get_tightbbox() for one in axes]
        around = [text.get_window_extent() for text in figure.texts]
        around += [one.get_window_extent() for one in figure.legends]
        assert len(around) == 3
        assert not any(body.overlaps(other) for body in bodies for other in around)
        title, caption, right = around
        assert not (title.overlaps(right) or caption.overlaps(right))


def test_numbers_in_cells_are_readable_and_unknown_ones_left_out() -> None:
    np = pytest.importorskip("numpy")
    with drawing(3.0, 3.0) as figure:
        axes = figure.subplots()
        heat_map(axes, np.array([[0.0, 1.0], [-0.25, math.nan]]), low=0.0, high=1.0)
        texts = [text.get_text() for text in axes.texts]
        assert texts == ["0.00", "1.00", "\N{MINUS SIGN}0.25", ""]
        dark, light = axes.texts[0].get_color(), axes.texts[1].get_color()
        assert dark == "white" and light != "white"


def test_styles_differ_in_more_than_colour() -> None:
    looks = [style(i) for i in range(20)]
    assert len({(s.colour, str(s.dash)) for s in looks}) == 20
    assert len({(s.colour, s.marker) for s in looks}) == 20
    for first, second in pairwise(looks):
        assert first.dash != second.dash and first.marker != second.marker
        assert first.hatch != second.hatch


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with (
        pytest.raises(UsageError, match=r"pip install 'emotion-harness\[plots\]'") as caught,
        drawing(1.0, 1.0),
    ):
        pass
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_a_fault_inside_an_installed_package_is_not_taken_for_its_absence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_there.py").write_text("import surely_not_installed\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed"):
        require("half_there", "plots")


def test_numbers_beside_the_figure(tmp_path: Path) -> None:
    rows = [("a, b", 0.5, None), ("c", math.nan, 3)]
    path = write_numbers(tmp_path / "x.y", ("name", "mean", "n"), rows)
    assert path.name == "x.y.csv"
    assert path.read_text() == 'name,mean,n\n"a, b",0.500000,\nc,,3\n'


def test_seeds_in_words() -> None:
    assert seeds_text([(0, 1, 2), (0, 1, 2)]) == "seeds 0, 1, 2"
    assert seeds_text([(4,)]) == "seed 4"
    assert seeds_text([(0, 1), (2, 3)]) == "2 seeds each"
    assert seeds_text([(0,), (0, 1, 2)]) == "1 to 3 seeds each"
