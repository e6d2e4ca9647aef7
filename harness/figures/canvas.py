"""Drawing without a screen: one style, files that are whole and equal for equal numbers.

matplotlib (extra ``plots``) is imported when something is drawn. Figures are made through its
object interface; no global state of pyplot is touched.
"""

from __future__ import annotations

import csv
import io
import logging
import math
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import require
from harness.figures.paper import MM_PER_INCH, Paper, wanted
from harness.paths import atomic_write_bytes, atomic_write_text

log = logging.getLogger("harness")

FORMATS = ("svg", "png")
SEQUENTIAL = "cividis"
DIVERGING = "PuOr"
INK = "#222222"
MUTED = "#6b6b6b"
MISSING = "#e4e4e4"

# Each two differ by nine steps of lightness (L*) or more, so that they are told apart in grey too,
# and by hue under every common colour blindness; neighbours are far apart.
_COLOURS = ("#0068A8", "#D98A00", "#882255", "#74BCEA", "#008F68", "#000000", "#332288")
_DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "ooo", "+++")
_RC = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "svg.hashsalt": "emotion-harness",
    # Text stays text, which can be searched, copied and set in another font.
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    # Names of labels and settings may hold a dollar sign.
    "text.parse_math": False,
}
_CHARACTERS_PER_INCH = 17.3
_DPI = 160
_PRINTED_DPI = 300
_POINTS_PER_INCH = 72
# Inches: below the first nothing can be read; the second is what ticks and names take.
_NARROWEST_PANEL, _BESIDE_PANEL = 0.5, 0.45


@dataclass(frozen=True)
class Style:
    """How the n-th series is drawn: colour, line, marker and hatching differ together."""

    colour: str
    dash: Any
    marker: str
    hatch: str


@dataclass(frozen=True)
class About:
    """What every figure says of itself.

    Attributes:
        title: one line.
        dataset: name of the data set.
        source: ``real`` or ``twin``.
        protocol: what was scored, e.g. ``full@1 on test``.
        seeds: training seeds, in words (`seeds_text`).
        notes: sentences that a reader needs, e.g. what a band is.
    """

    title: str
    dataset: str
    source: str
    protocol: str
    seeds: str
    notes: tuple[str, ...] = ()

    def caption(self) -> str:
        """Return the caption as one paragraph."""
        data = f"{self.dataset} (generated twin)" if self.source == "twin" else self.dataset
        parts = [p for p in (f"Data: {data}", self.protocol, self.seeds) if p]
        return " ".join((f"{'; '.join(parts)}.", *self.notes))


def style(number: int) -> Style:
    """Return the style of the n-th series, from 0."""
    return Style(
        _COLOURS[number % len(_COLOURS)],
        _DASHES[number % len(_DASHES)],
        _MARKERS[number % len(_MARKERS)],
        _HATCHES[number % len(_HATCHES)],
    )


@contextmanager
def drawing(width: float, height: float) -> Iterator[Any]:
    """Yield a matplotlib figure whose axes take up ``width`` × ``height`` inches.

    Draw and `save` inside the block: the style holds there only. Title, caption and legend are
    put outside the axes and add to the size. A width that an author asked for
    (`harness.figures.paper`) is that of the whole figure.

    Raises:
        UsageError: matplotlib is not installed.
    """
    matplotlib = require("matplotlib", "plots")
    figures = require("matplotlib.figure", "plots")
    with matplotlib.rc_context(), warnings.catch_warnings():
        # Said by `_wrap_heads`, in our words.
        warnings.filterwarnings("ignore", "constrained_layout not applied")
        # A user's own settings (TeX, say) could fail, or change the files.
        matplotlib.rcdefaults()
        paper = wanted()
        matplotlib.rcParams.update(_RC | paper.settings())
        yield figures.Figure(figsize=paper.size(width, height), layout="constrained")


def line_key(look: Style) -> Any:
    """Return a legend's picture of a line whose marks are open."""
    lines = require("matplotlib.lines", "plots")
    return lines.Line2D(
        [], [], color=look.colour, linestyle=look.dash, marker=look.marker,
        markerfacecolor="white", markeredgewidth=1.3,
    )  # fmt: skip


def legend(figure: Any, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """Put one legend for all axes to the right of them, never over data.

    Where the figure has a width to keep it stands below them, and adds to the height.
    """
    paper = wanted()
    if paper.width is None:
        anchor = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.3}
        figure.legend(handles, labels, **anchor)
        return
    width, height = figure.get_size_inches()
    longest = max((len(paper.renamed(label)) for label in labels), default=0)
    columns = max(1, min(len(labels), int(width / (0.5 + longest / _CHARACTERS_PER_INCH))))
    figure.set_size_inches(width, height + 0.17 * math.ceil(len(labels) / columns))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def heat_map(
    axes: Any, values: Any, *, low: float, high: float, cmap: str = SEQUENTIAL, form: str = "{:.2f}"
) -> Any:
    """Draw a matrix with its numbers in the cells, NaN in grey; return the image.

    Args:
        axes: a matplotlib axes.
        values: float [rows, columns].
        low: value of the first colour.
        high: value of the last colour.
        cmap: name of a colour map.
        form: how a number is written.
    """
    matplotlib = require("matplotlib", "plots")
    colours = matplotlib.colormaps[cmap].with_extremes(bad=MISSING)
    image = axes.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto")
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    size = max(4.0, min(8.0, 88.0 / max(values.shape)) * wanted().shrink)
    for i, row in enumerate(values.tolist()):
        for j, value in enumerate(row):
            known = math.isfinite(value)
            ink = ink_of(image.to_rgba(value)) if known else MUTED
            text = form.format(value).replace("-", "\N{MINUS SIGN}") if known else ""
            axes.text(j, i, text, ha="center", va="center", color=ink, fontsize=size)
    return image


def save(figure: Any, stem: Path, about: About, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Add title and caption, write ``<stem>.<format>`` each; return the paths.

    Equal figures give equal bytes. A file is there whole or not at all. What an author asked for
    (`harness.figures.paper`) is done here: no title, other names, an exact width.

    Raises:
        StorageError: the folder cannot be written.
        UnknownNameError: a name that should be written otherwise is not in the figure.
    """
    paper = wanted()
    _rename(figure, paper)
    if paper.width is not None:
        _wrap_heads(figure)
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    caption = about.caption()
    wrapped = textwrap.fill(caption, int(width * _CHARACTERS_PER_INCH))
    figure.set_layout_engine("none")
    gap = 0.12 / height
    if not paper.plain:
        figure.text(
            0.0, 1.0 + gap, textwrap.fill(about.title, int(width * _CHARACTERS_PER_INCH * 0.72)),
            va="bottom", ha="left", fontsize=11, fontweight="bold", color=INK,
        )  # fmt: skip
        figure.text(0.0, -gap, wrapped, va="top", ha="left", fontsize=8, color=MUTED)
    paper.captions.append(caption)
    box = "tight" if paper.width is None else _as_wide_as_asked(figure, width)
    written = []
    for name in formats:
        buffer = io.BytesIO()
        figure.savefig(
            buffer, format=name, dpi=_DPI if paper.width is None else _PRINTED_DPI,
            bbox_inches=box, pad_inches=0.12,
            facecolor="white", metadata=_metadata(name, about.title, caption),
        )  # fmt: skip
        path = stem.with_name(f"{stem.name}.{name}")
        atomic_write_bytes(path, buffer.getvalue())
        written.append(path)
    return written


def _rename(figure: Any, paper: Paper) -> None:
    """Write the author's names instead of the harness's, wherever text stands in a figure."""
    if not paper.labels:
        return
    seen = []
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        texts = [label.get_text() for label in axis.get_ticklabels()]
        seen += texts
        named = list(map(paper.renamed, texts))
        if named != texts:
            axis.set_ticks(axis.get_ticklocs(), labels=named)
    for text in figure.findobj(require("matplotlib.text", "plots").Text):
        # Of a tick the axis has the say.
        seen.append(text.get_text())
        text.set_text(paper.renamed(text.get_text()))
    paper.check_used(seen)


def _wrap_heads(figure: Any) -> None:
    """Break titles of panels and names of axes into lines that are no wider than their panel."""
    width = figure.get_size_inches()[0]
    texts = require("matplotlib.text", "plots")
    for axes in figure.axes:
        room = width * _share_of(axes) - _BESIDE_PANEL
        heads = [one for one in axes.get_children() if isinstance(one, texts.Text)]
        for text in (*(one for one in heads if one not in axes.texts), axes.xaxis.label):
            most = max(10, int(room * _POINTS_PER_INCH / (0.58 * text.get_fontsize())))
            lines = text.get_text().split("\n")
            text.set_text("\n".join(textwrap.fill(one, most) if one else "" for one in lines))
    with warnings.catch_warnings(record=True) as collapsed:
        warnings.simplefilter("always")
        figure.draw_without_rendering()
    narrow = min((axes.get_position().width * width for axes in figure.axes), default=width)
    if collapsed or narrow < _NARROWEST_PANEL:
        log.warning(
            "%.0f mm are too few for the panels of this figure; give it more --width or a smaller "
            "--font.",
            width * MM_PER_INCH,
        )


def _share_of(axes: Any) -> float:
    """Return how much of a figure's width the column of a panel takes."""
    place = axes.get_subplotspec()
    if place is None:
        return 1.0
    grid = place.get_gridspec()
    ratios = grid.get_width_ratios() or [1.0] * grid.ncols
    return float(sum(ratios[i] for i in place.colspan) / sum(ratios))


def _as_wide_as_asked(figure: Any, width: float) -> Any:
    """Return the part of a figure that is kept, in inches: its width, and as high as is drawn."""
    found = figure.get_tightbbox()
    if found.x0 < -0.05 or found.x1 > width + 0.05:
        log.warning(
            "the figure needs %.0f mm; what stands outside the width asked for is cut off. "
            "--label NAME=TEXT writes a shorter name.",
            (max(found.x1, width) - min(found.x0, 0.0)) * MM_PER_INCH,
        )
    boxes = require("matplotlib.transforms", "plots")
    return boxes.Bbox([[0.0, found.y0 - 0.03], [width, found.y1 + 0.03]])


def finish(
    figure: Any, stem: Path, about: About, formats: Sequence[str], heads: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> list[Path]:  # fmt: skip
    """Write a figure and its numbers; return the paths (`save`, `write_numbers`)."""
    return [*save(figure, stem, about, formats), write_numbers(stem, heads, rows)]


def write_numbers(stem: Path, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Write what a figure shows as ``<stem>.csv``; None and NaN are empty cells.

    Raises:
        StorageError: the folder cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows([_cell(value) for value in row] for row in rows)
    path = stem.with_name(f"{stem.name}.csv")
    atomic_write_text(path, text.getvalue())
    return path


def seeds_text(seeds: Iterable[Sequence[int]]) -> str:
    """Return the seeds of several models in words: ``seeds 0, 1, 2``, or how many of each."""
    each = [tuple(s) for s in seeds]
    if len(set(each)) == 1:
        listed = ", ".join(map(str, each[0]))
        return f"seed {listed}" if len(each[0]) == 1 else f"seeds {listed}"
    few, many = min(map(len, each)), max(map(len, each))
    return f"{few} seeds each" if few == many else f"{few} to {many} seeds each"


def metric_text(name: str) -> str:
    """Return a metric's name as it stands on an axis: ``micro-F1``."""
    return name.replace("_f1", "-F1").replace("_ap", "-AP").replace("_", " ")


def ink_of(rgba: tuple[float, float, float, float]) -> str:
    """Return the colour of text on a colour."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgba[:3]]
    light = sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    # White and `INK` have the same contrast (WCAG 2) here.
    return INK if light > 0.213 else "white"


def _metadata(form: str, title: str, caption: str) -> dict[str, str | None]:
    if form == "svg":
        return {"Title": title, "Description": caption, "Date": None, "Creator": None}
    if form == "pdf":
        return {"Title": title, "Subject": caption, "CreationDate": None}
    return {"Title": title, "Description": caption, "Software": None}


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return f"{value:.6f}" if isinstance(value, float) else value
