"""Whether roots, data sets and plugins are what a run needs; every fault with its fix."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.errors import PluginError, StorageError
from harness.housekeeping.installation import Check
from harness.paths import data_root, home
from harness.plugins import FIRST_PARTY, Registry

LEAST_FREE = 2_000_000_000
"""Bytes that a home should have left: a large data set is stored once more."""


def readiness(registry: Registry) -> list[Check]:
    """Return the checks of both roots, limits of reading, data sets and plugins.

    Args:
        registry: the loaded plugins, with those that are broken.
    """
    return [*_roots(), _limits(), *_data(registry), *_plugins(registry)]


def _roots() -> Iterator[Check]:
    root, data = home(), data_root()
    other = "Give another folder: --home DIR, or export HARNESS_HOME=DIR."
    if not _writable(root):
        yield Check("FAIL", "HARNESS_HOME", f"{root} (cannot be written)", other)
    elif (free := shutil.disk_usage(_nearest(root)).free) < LEAST_FREE:
        fix = f"Make room (harness runs gc), or: {other}"
        yield Check("note", "HARNESS_HOME", f"{root} ({free / 1e9:.1f} GB left)", fix)
    else:
        yield Check("ok", "HARNESS_HOME", str(root))
    if _is_folder(data) and os.access(data, os.R_OK | os.X_OK):
        yield Check("ok", "HARNESS_DATA", str(data))
    elif os.path.lexists(data):
        fix = "Ask its owner to let you read it, or export HARNESS_DATA=DIR."
        yield Check("note", "HARNESS_DATA", f"{data} (cannot be read)", fix)
    else:
        fix = "Put authors' files there (docs/real-files.md), or export HARNESS_DATA=DIR."
        yield Check("note", "HARNESS_DATA", f"{data} (not there)", fix)


def _nearest(path: Path) -> Path:
    """Return a folder, or its nearest existing parent."""
    return next((p for p in (path, *path.parents) if os.path.lexists(p)), path)


def _writable(path: Path) -> bool:
    present = _nearest(path)
    return _is_folder(present) and os.access(present, os.W_OK | os.X_OK)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # in a folder that may not be entered
        return False


def _limits() -> Check:
    from harness.data.child import unlimited

    reason = unlimited()
    if reason:
        fix = "Read files that you do not trust on Linux, where memory and time are limited."
        return Check("note", "limits of reading", f"off: {reason}", fix)
    return Check("ok", "limits of reading", "memory and time, by the size of the files")


def _data(registry: Registry) -> Iterator[Check]:
    from harness.data.locate import corpus_of, store_folder
    from harness.data.prepare import found, missing_files

    for name, entry in registry.datasets.items():
        what, spec = f"data set {name}", entry.spec
        try:
            store, damage = found(store_folder(spec))
            missing = [] if store else missing_files(corpus_of(spec), data_root())
        except PluginError as error:
            fix = f"Repair the plugin {entry.plugin}, or leave it out."
            yield Check("FAIL", what, str(error), fix)
        except StorageError as error:
            yield Check("FAIL", what, str(error), "Make the path readable, or give another --home.")
        else:
            if damage:
                yield Check("FAIL", what, damage, f"harness data prepare {name} --force")
            elif store is not None:
                yield Check("ok", what, "prepared")
            elif spec.source == "twin":
                yield Check("ok", what, "generated where it is asked for, not yet prepared")
            elif not missing:
                yield Check("ok", what, "found, not yet prepared")
            else:
                instead = "its twin is used" if spec.has_twin else "it cannot be run"
                fix = "harness data prepare NAME --check says what is expected where."
                yield Check("note", what, f"{missing[0]} is not there; {instead}", fix)


def _plugins(registry: Registry) -> Iterator[Check]:
    for plugin in registry.plugins:
        yield Check("ok", f"plugin {plugin.name}", plugin.source)
    known = {p.name: p.distribution for p in registry.plugins}
    for broken in registry.broken:
        what = broken.plugin if broken.name == broken.plugin else f"{broken.plugin}: {broken.name}"
        fix = _fix(broken.plugin, broken.reason, known.get(broken.plugin, ""))
        yield Check("FAIL", f"plugin {what}", broken.reason, fix)


def _fix(plugin: str, reason: str, distribution: str) -> str:
    """Return how to mend a broken plugin.

    Args:
        plugin: its name.
        reason: what is wrong with it.
        distribution: that it came with; empty: a file, or one that could not be imported.
    """
    absent = re.search(r"No module named '([\w.]+)'", reason)
    if absent:
        return f"Install what it imports: pip install {absent[1].partition('.')[0]}; or remove it."
    if "already taken" in reason or "harness's own" in reason:
        return "Rename it in the plugin: of two of one name the first counts."
    if distribution == FIRST_PARTY:
        return f"pip install --force-reinstall {FIRST_PARTY}"
    return f"Repair it, pip uninstall {distribution or plugin}, or leave it out of HARNESS_PLUGINS."
