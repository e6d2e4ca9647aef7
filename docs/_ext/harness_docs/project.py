"""Files of the project that are pages of the site as well, and links that lead to them."""

from __future__ import annotations

import posixpath
import re
from pathlib import PurePosixPath

from harness_docs.sources import ROOT

FILES = {
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
    "SECURITY.md": "security",
    "NOTICE": "notice",
}
"""Files outside of ``docs`` that have a page, by its name below ``generated/project``."""
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def pages() -> dict[str, str]:
    """Return the pages by path; a link to a page of ``docs`` leads to it from there, too."""
    return {f"project/{name}.md": _page(file) for file, name in FILES.items()}


def _page(file: str) -> str:
    text = (ROOT / file).read_text("utf-8")
    if not file.endswith(".md"):
        return f"# {file}\n\n```text\n{text.rstrip()}\n```\n"
    return text


def inside(text: str, docname: str) -> str:
    """Return a page with links that lead out of ``docs`` turned to pages of the site, or to text.

    Args:
        text: Markdown.
        docname: the page, without suffix, below ``docs``.
    """
    place = PurePosixPath("docs", docname)
    if place.is_relative_to("docs/generated/project"):
        place = PurePosixPath("README")  # such a file lies in the root, and its links start there

    def turned(found: re.Match[str]) -> str:
        title, target, anchor = found[1], found[2], found[3] or ""
        if re.match(r"[a-z]+:", target) or target.startswith("/"):
            return found[0]
        where = posixpath.normpath(posixpath.join(place.parent.as_posix(), target))
        if where in FILES:
            return f"[{title}](/generated/project/{FILES[where]}.md{anchor})"
        if where.startswith("docs/"):
            return f"[{title}](/{where.removeprefix('docs/')}{anchor})"
        return f"{title} (`{where}`)" if title.strip("`") != where else f"`{where}`"

    return LINK.sub(turned, text)
