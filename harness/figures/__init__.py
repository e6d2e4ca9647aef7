"""Kinds of figures: a module here that defines ``FIGURE``, a `FigureKind`, is one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable

from harness.hookspecs import hookimpl
from harness.specs import FigureKind


@hookimpl
def harness_figures() -> Iterable[FigureKind]:
    """Return the kinds of this package."""
    names = [f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)]
    modules = map(importlib.import_module, names)
    return [module.FIGURE for module in modules if hasattr(module, "FIGURE")]
