"""Finding and loading plugins, and looking up what they offer.

`registry` loads plugins and keeps their specs by name, `hooks` calls them one by one so that a
fault is attributed, `references` resolves the code and files that they name by text.
"""

from harness.plugins.derived import twin_of
from harness.plugins.faults import TWIN
from harness.plugins.hooks import Broken, GuardedHooks
from harness.plugins.references import resolve, resource, written
from harness.plugins.registry import (
    FIRST_PARTY,
    Entry,
    LoadedPlugin,
    Registry,
    load,
    plugin_names,
)

__all__ = [
    "FIRST_PARTY",
    "TWIN",
    "Broken",
    "Entry",
    "GuardedHooks",
    "LoadedPlugin",
    "Registry",
    "load",
    "plugin_names",
    "resolve",
    "resource",
    "twin_of",
    "written",
]
