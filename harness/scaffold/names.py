"""The name of a new plugin, and what follows from it."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass

from harness.errors import UsageError

LONGEST = 40
_FORM = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Names:
    """The names of a plugin called ``my-model``.

    Attributes:
        name: ``my-model``, of the distribution and in the registry.
        package: ``my_model``, the Python package.
        cls: ``MyModel``, a class.
        title: ``My model``, a heading.
    """

    name: str
    package: str
    cls: str
    title: str


def named(name: str, taken: Collection[str]) -> Names:
    """Return the names that follow from one.

    Args:
        name: as the user gave it.
        taken: names that are registered already.

    Raises:
        UsageError: it is not made as a name has to be, or is taken; says what is allowed.
    """
    rule = (
        "a name begins with a letter and is made of small letters, digits and single dashes, "
        f"at most {LONGEST}, for example my-model"
    )
    if not _FORM.fullmatch(name) or len(name) > LONGEST:
        raise UsageError(f"the name {name!r} cannot be used: {rule}.")
    package = name.replace("-", "_")
    if keyword.iskeyword(package) or package in ("all", "harness", "tests"):
        raise UsageError(f"the name {name!r} is reserved; {rule}.")
    if name in taken or package in taken:
        raise UsageError(
            f"the name {name!r} is taken: `harness list` shows what is registered. Choose another."
        )
    if package in sys.stdlib_module_names or importlib.util.find_spec(package) is not None:
        raise UsageError(
            f"the name {name!r} is taken: Python here has a module {package!r}. Choose another."
        )
    words = name.split("-")
    return Names(name, package, "".join(map(str.capitalize, words)), " ".join(words).capitalize())
