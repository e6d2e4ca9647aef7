"""Pages from the templates of a package; jinja2 is imported when one is made."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup


def render(package: str, name: str, **values: Any) -> str:
    """Return a template filled in: every value is escaped unless it is `trusted`."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(part(package, name)).render(values)


def part(package: str, name: str) -> str:
    """Return the text of a file in the ``templates`` of a package."""
    return resources.files(package).joinpath("templates", name).read_text("utf-8")


def trusted(text: str) -> Markup:
    """Return a text that stands in a page as it is: the package's own, or made safe before."""
    from markupsafe import Markup

    return Markup(text)
