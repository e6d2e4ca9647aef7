"""How an author wants figures in a paper: size, font, names, no burnt-in title.

It holds for every kind, since all draw through `harness.figures.canvas`, which asks `wanted`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from harness.errors import UnknownNameError, UsageError, require

MM_PER_INCH = 25.4
WIDTHS = {"column": 85.0, "page": 178.0}
"""Widths in mm of a column and of both, between those of ACL, IEEE and ACM."""
_NARROWEST, _WIDEST = 30.0, 500.0
# A figure that is made narrower is not made lower than this share of its new width.
_LOWEST = 0.62
FAMILIES = ("serif", "sans-serif", "monospace")
POINTS = (4.0, 24.0)


@dataclass
class Paper:
    """What an author asks of figures, and what was drawn.

    Attributes:
        plain: title and caption are not drawn; the caption is kept in ``captions``.
        width: of the whole figure with its legend, in mm; None: as it comes.
        font: a family that matplotlib knows; empty: the harness's own.
        points: size of the font; None: the harness's own.
        labels: what is written instead of a name, by name.
        captions: what figures say of themselves, as they were saved.
        used: names of ``labels`` that stood in a figure.
        shrink: by how much the figure under way is narrower than it comes by itself.
    """

    plain: bool = False
    width: float | None = None
    font: str = ""
    points: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    captions: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    shrink: float = 1.0

    @property
    def asked(self) -> bool:
        """Return whether anything is asked for."""
        return bool(self.plain or self.width or self.font or self.points or self.labels)

    def settings(self) -> dict[str, Any]:
        """Return matplotlib's settings that differ from the harness's own."""
        found: dict[str, Any] = {}
        if self.font:
            found["font.family"] = [self.font]
        if self.points:
            small = max(self.points - 1, POINTS[0])
            found |= dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), self.points)
            found |= dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), small)
        return found

    def size(self, width: float, height: float) -> tuple[float, float]:
        """Return the size in inches of a figure that would be so wide and high by itself."""
        if self.width is None:
            return width, height
        inches = self.width / MM_PER_INCH
        self.shrink = min(inches / width, 1.0)
        return inches, max(height * inches / width, min(height, _LOWEST * inches))

    def renamed(self, text: str) -> str:
        """Return a text with the author's names in it."""
        if not self.labels:
            return text
        names = "|".join(map(re.escape, sorted(self.labels, key=len, reverse=True)))
        return re.sub(rf"(?<![\w-])({names})(?![\w-])", self._label, text)

    def _label(self, found: re.Match[str]) -> str:
        self.used.add(found[1])
        return self.labels[found[1]]

    def check_used(self, texts: Iterable[str], where: str = "figure") -> None:
        """Check that every name to be written otherwise stands in the figure (or table).

        Raises:
            UnknownNameError: one does not; names the nearest of the texts.
        """
        for name in self.labels:
            if name not in self.used:
                raise UnknownNameError(f"name in this {where}", name, filter(None, texts))


_now: ContextVar[Paper] = ContextVar("paper")


def wanted() -> Paper:
    """Return what is asked of figures now."""
    return _now.get(Paper())


@contextmanager
def presented(paper: Paper) -> Iterator[Paper]:
    """Draw figures of the block as an author wants them."""
    token = _now.set(paper)
    try:
        yield paper
    finally:
        _now.reset(token)


def width_of(text: str) -> float:
    """Return a width in mm: a number, ``column`` or ``page``.

    Raises:
        UsageError: it is none, or no width of a figure.
    """
    try:
        found = WIDTHS[text] if text in WIDTHS else float(text.removesuffix("mm"))
    except ValueError as error:
        near = difflib.get_close_matches(text, WIDTHS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(
            f"--width {text!r}: give millimetres, or one of {', '.join(WIDTHS)}.{hint}"
        ) from error
    if not _NARROWEST <= found <= _WIDEST:
        raise UsageError(f"--width {text!r}: give {_NARROWEST:g} to {_WIDEST:g} mm.")
    return found


def font_of(text: str) -> tuple[str, float | None]:
    """Return a family of fonts and a size in points: ``Times New Roman:8``, ``serif``, ``:8``.

    Raises:
        UsageError: matplotlib does not know the family, or it is no size of a text.
    """
    family, _, size = text.partition(":")
    points = None
    if size:
        try:
            points = float(size)
        except ValueError:
            points = 0.0
        if not POINTS[0] <= points <= POINTS[1]:
            raise UsageError(f"--font {text!r}: a size is {POINTS[0]:g} to {POINTS[1]:g} points.")
    if family and family not in FAMILIES:
        manager = require("matplotlib.font_manager", "plots").fontManager
        known = set(manager.get_font_names())
        if family not in known:
            raise UnknownNameError("font", family, {*known, *FAMILIES})
    return family, points


def labels_of(words: Iterable[str]) -> dict[str, str]:
    """Return what is written instead of names, from ``NAME=TEXT`` each.

    A name with a setting (``ramer:tuned training.lr=1e-4``) may hold ``=``; it ends at the last.

    Raises:
        UsageError: there is no ``=``, no name, or a name twice.
    """
    found: dict[str, str] = {}
    for word in words:
        setting = ":" in word.partition("=")[0]
        name, equals, text = word.rpartition("=") if setting else word.partition("=")
        if not equals or not name.strip() or not text.strip():
            raise UsageError(f"--label {word!r}: give NAME=TEXT, for example ramer=RAMer.")
        if name.strip() in found:
            raise UsageError(f"--label {word!r}: {name.strip()!r} was given before.")
        found[name.strip()] = text.strip()
    return found
