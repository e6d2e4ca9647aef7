"""Figures for papers: exact width, the author's names and font, text as text, colours in grey."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from harness.cli import cli
from harness.errors import UsageError
from harness.figures.canvas import About, drawing, save, style
from harness.figures.paper import Paper, font_of, labels_of, presented, width_of
from tests.unit.figures.made import run, store

SVG = "{http://www.w3.org/2000/svg}"
Colour = tuple[float, float, float]
# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
BLIND = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
                   (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
                     (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
                   (0.004733, 0.691367, 0.303900)),
}  # fmt: skip


def linear(colour: str) -> Colour:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    parts = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)
    )
    return tuple(parts)  # type: ignore[return-value]


def lab(rgb: Colour) -> Colour:
    """Return CIE L*a*b* (D65) of linear RGB."""
    weights = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    xyz = [sum(w * c for w, c in zip(row, rgb, strict=True)) for row in weights]
    x, y, z = (
        t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116
        for t in (v / white for v, white in zip(xyz, (0.9505, 1.0, 1.089), strict=True))
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def seen_by(matrix: tuple[Colour, ...], colour: str) -> Colour:
    rgb = linear(colour)
    mixed = (sum(m * c for m, c in zip(row, rgb, strict=True)) for row in matrix)
    return lab(tuple(min(max(v, 0.0), 1.0) for v in mixed))  # type: ignore[arg-type]


def distance(one: Colour, other: Colour) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5


def test_colours_are_told_apart_in_grey_and_by_the_colour_blind() -> None:
    colours = [style(i).colour for i in range(7)]
    light = [lab(linear(colour))[0] for colour in colours]
    assert min(b - a for a, b in pairwise(sorted(light))) > 9
    assert abs(light[0] - light[1]) > 20  # the two that most figures have
    assert max(light) < 75  # not lost on white
    for matrix in BLIND.values():
        seen = [seen_by(matrix, colour) for colour in colours]
        assert min(distance(a, b) for a, b in combinations(seen, 2)) > 15
    okabe = [lab(linear(c))[0] for c in ("#D55E00", "#009E73", "#CC79A7")]
    assert max(okabe) - min(okabe) < 9  # what this test would refuse


def draw(tmp_path: Path, *words: str) -> Result:
    store(*(run(name, s, 0.5 + 0.1 * s) for name in ("one", "two") for s in (0, 1)))
    command = ["figure", "labels", "one", "two", "--dataset", "fake", "--out", str(tmp_path)]
    return CliRunner().invoke(cli, [*command, *words])


def texts(svg: Path) -> list[str]:
    return ["".join(one.itertext()) for one in ElementTree.parse(svg).iter(f"{SVG}text")]


def test_a_figure_for_a_column_without_a_title_and_with_the_authors_names(tmp_path: Path) -> None:
    words = ["--plain", "--width", "column", "--font", "serif:7", "--formats", "svg,pdf,png"]
    done = draw(tmp_path, *words, "--label", "one=Model $\\alpha$", "--label", "two=B & C")
    assert done.exit_code == 0, done.output
    assert "Caption: Data: fake; full@1 on test; seeds 0, 1." in done.stdout
    svg, pdf, png = (tmp_path / f"fake-labels-f1.{form}" for form in ("svg", "pdf", "png"))
    found = texts(svg)
    assert "Model $\\alpha$" in found and "B & C" in found  # text, not outlines
    assert not {"one", "two"} & set(found) and not any("Data:" in text for text in found)
    points = 85 / 25.4 * 72
    assert float(ElementTree.parse(svg).getroot().attrib["width"][:-2]) == pytest.approx(points)
    assert "serif" in svg.read_text() and "DejaVu Sans" not in svg.read_text()
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf.read_bytes())
    assert box is not None and float(box[1]) == pytest.approx(points, abs=0.1)
    assert b"/Type3" not in pdf.read_bytes() and b"/CIDFontType2" in pdf.read_bytes()
    assert int.from_bytes(png.read_bytes()[16:20], "big") == pytest.approx(85 / 25.4 * 300, abs=1.5)
    assert "one" in (tmp_path / "fake-labels-f1.csv").read_text()  # numbers keep their names


def test_without_options_the_title_stands_in_the_figure(tmp_path: Path) -> None:
    assert draw(tmp_path, "--formats", "svg").exit_code == 0
    found = texts(tmp_path / "fake-labels-f1.svg")
    assert {"one", "two"} <= set(found) and any("Data: fake" in text for text in found)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--label", "twoo=B"], "Did you mean 'two'?"),
        (["--label", "two"], "give NAME=TEXT"),
        (["--label", "two=A", "--label", "two=B"], "given before"),
        (["--font", "DejaVu Sanss"], "Did you mean 'DejaVu Sans'?"),
        (["--font", "serif:big"], "4 to 24 points"),
        (["--width", "colum"], "Did you mean 'column'?"),
        (["--width", "2"], "30 to 500 mm"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(words: list[str], said: str, tmp_path: Path) -> None:
    done = draw(tmp_path, "--formats", "svg", *words)
    assert done.exit_code == 2 and said in done.stderr, done.stderr
    assert not list(tmp_path.glob("fake*"))


def test_heads_of_panels_keep_to_their_panel(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    about = About("T", "fake", "real", "full@1 on test", "seed 0")
    with presented(Paper(width=85.0)), drawing(9.0, 3.0) as figure:
        panels = figure.subplots(1, 2)
        for panel in panels:
            panel.set_title("A title that is longer than a panel")
            panel.set_xlabel("a name of an axis that is long")
        save(figure, tmp_path / "x", about, ("png",))
        heads = [one for p in panels for one in (p.get_title(loc="left"), p.get_xlabel())]
        assert all("\n" in head for head in heads)
        assert max(len(line) for head in heads for line in head.split("\n")) < 20
        assert not panels[0].get_tightbbox().overlaps(panels[1].get_window_extent())
    assert "too few" not in caplog.text
    with presented(Paper(width=40.0)), drawing(9.0, 3.0) as figure:
        figure.subplots(1, 3)
        save(figure, tmp_path / "y", about, ("png",))
    assert "40 mm are too few for the panels" in caplog.text


def test_names_are_whole_words_and_each_is_written_once() -> None:
    paper = Paper(
        labels={"ramer": "ramer (ours)", "ramer-public": "theirs", "one": "two", "two": "x"}
    )
    assert (
        paper.renamed("ramer-public and ramer:paper, one") == "theirs and ramer (ours):paper, two"
    )
    assert paper.renamed("framer ramer-x stone") == "framer ramer-x stone"
    assert paper.used == {"ramer", "ramer-public", "one"}
    assert labels_of(["a=b = c"]) == {"a": "b = c"}
    assert labels_of(["a:tuned training.lr=1e-4 x=2=b"]) == {"a:tuned training.lr=1e-4 x=2": "b"}
    assert (width_of("page"), width_of("84mm"), width_of("84")) == (178.0, 84.0, 84.0)
    assert font_of("serif:8") == ("serif", 8.0) and font_of(":9") == ("", 9.0)
    with pytest.raises(UsageError, match="give millimetres"):
        width_of("wide")
