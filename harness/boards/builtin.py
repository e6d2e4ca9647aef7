"""The harness's own board formats, registered through the hook as a stranger's would be."""

from __future__ import annotations

from collections.abc import Iterable

from harness.hookspecs import hookimpl
from harness.specs import BoardFormat

_RENDER = "harness.boards.render"


@hookimpl
def harness_board_formats() -> Iterable[BoardFormat]:
    """Return Markdown, CSV, JSON, LaTeX, the page, and text for a terminal (never a file)."""
    return [
        BoardFormat("markdown", ".md", f"{_RENDER}.markdown:markdown"),
        BoardFormat("latex", ".tex", f"{_RENDER}.latex:latex"),
        BoardFormat("csv", ".csv", f"{_RENDER}.data:csv_text"),
        BoardFormat("json", ".json", f"{_RENDER}.data:json_text"),
        BoardFormat("html", "index.html", f"{_RENDER}.page:page", of="boards"),
        BoardFormat("console", "", f"{_RENDER}.console:console"),
    ]
