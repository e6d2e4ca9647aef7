"""Markdown that the generated pages are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def cell(value: Any) -> str:
    """Return a value as the text of a table's cell, on one line."""
    if value is None:
        return "–"
    return " ".join(str(value).split()).replace("|", r"\|")


def plain(text: str) -> str:
    """Return text on one line, with the signs that Markdown reads as its own shown as they are."""
    return "".join("\\" + c if c in "*_<>[]~$" else c for c in " ".join(text.split()))


def literal(text: Any) -> str:
    """Return text between backticks; nothing where there is none."""
    found = cell(text)
    return f"`{found}`" if found else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table.

    Args:
        heads: of the columns.
        rows: cells; none: the table is replaced by "None.".
    """
    lines = ["| " + " | ".join(cell(c) for c in row) + " |" for row in rows]
    if not lines:
        return "None."
    head = "| " + " | ".join(heads) + " |"
    return "\n".join([head, "|" + " --- |" * len(heads), *lines])


def section(level: int, title: str, *parts: str) -> str:
    """Return a section: its heading, then what there is to say, empty parts left out."""
    return "\n\n".join([f"{'#' * level} {title}", *(p.strip("\n") for p in parts if p)])


def code(text: str, language: str = "text") -> str:
    """Return a block of code, fenced by more backticks than it holds."""
    longest = max((len(r) for r in _runs(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def toctree(names: Iterable[str], caption: str = "") -> str:
    """Return a toctree of pages, by their names in the page's folder."""
    options = [":maxdepth: 1", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["```{toctree}", *options, "", *names, "```"])


def _runs(text: str) -> list[str]:
    return [run for run in "".join(c if c == "`" else " " for c in text).split()]
