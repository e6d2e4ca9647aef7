"""The older name of `harness.plugins`, kept for imports that use it."""

from harness.plugins import (
    FIRST_PARTY,
    TWIN,
    Entry,
    LoadedPlugin,
    Registry,
    load,
    resolve,
    resource,
    twin_of,
)

__all__ = [
    "FIRST_PARTY",
    "TWIN",
    "Entry",
    "LoadedPlugin",
    "Registry",
    "load",
    "resolve",
    "resource",
    "twin_of",
]
