"""All generated pages, by their paths below ``docs/generated``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness_docs import (
    catalogue,
    commands,
    configuration,
    datasets,
    drawings,
    models,
    project,
    python,
)


def pages() -> Mapping[str, str]:
    """Return the text of each page."""
    return {
        "commands.md": commands.page(),
        "configuration.md": configuration.page(),
        "metrics.md": catalogue.metrics(),
        "protocols.md": catalogue.protocols(),
        "hooks.md": catalogue.hooks_page(),
        "checks.md": catalogue.checks_page(),
        "python.md": python.page(),
        **models.pages(),
        **datasets.pages(),
        **project.pages(),
        **drawings.pages(),
    }


def write(folder: Path) -> list[Path]:
    """Write the pages that changed, and remove those that are no longer made.

    Args:
        folder: where they go.

    Returns:
        Paths of all pages.
    """
    made = {folder / name: text for name, text in pages().items()}
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
    for stale in set(folder.rglob("*.*")) - {*made}:
        stale.unlink()
    return [*made]
