"""Sphinx extension: pages made of model cards, data set specs, commands and docstrings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def generate(app: Sphinx) -> None:
    """Write the generated pages before Sphinx looks for sources."""
    from harness_docs.pages import write

    write(Path(app.srcdir) / "generated")


def rewrite_links(app: Sphinx, docname: str, source: list[str]) -> None:
    """Point links that leave the folder of the pages to what the site has in their place."""
    from harness_docs.project import inside

    source[0] = inside(source[0], docname)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("builder-inited", generate)
    app.connect("source-read", rewrite_links)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
