"""``harness doctor``: is everything there that a run needs?"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import runpy
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import json_option, plugin_option, roots_options, wide_option
from harness.cli.render import emit_json, emit_table, examples
from harness.errors import PluginError, RunFailedError, StorageError
from harness.paths import data_root, home
from harness.plugins import FIRST_PARTY, Registry, load, resolve

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

OK, WARN, FAIL = "ok", "note", "FAIL"
EXTRAS = {"cc": "classifier chains and t-SNE", "plots": "harness figure"}


@click.command(epilog=examples("harness doctor", "harness doctor --json"))
@plugin_option
@wide_option
@json_option
@roots_options
def command(plugin: tuple[str, ...], as_json: bool) -> None:
    """Check Python, packages, devices, roots, data sets and plugins.

    Ends with exit code 1 where something a run needs does not work.
    """
    registry = load(plugin, strict=False)
    checks = [
        _python(),
        *_packages(),
        _device(),
        *_roots(),
        _limits(),
        *_data(registry),
        *_plugins(registry),
    ]
    if as_json:
        emit_json(checks)
    else:
        emit_table(["", "what", "found"], [[c["state"], c["what"], c["found"]] for c in checks])
    failed = [c["what"] for c in checks if c["state"] == FAIL]
    if failed:
        raise RunFailedError(f"not in order: {', '.join(failed)}.")


def _check(state: str, what: str, found: Any) -> dict[str, str]:
    return {"state": state, "what": what, "found": str(found)}


def _python() -> dict[str, str]:
    state = OK if sys.version_info >= (3, 11) else FAIL
    return _check(state, "python", f"{platform.python_version()} on {platform.platform()}")


def _packages() -> list[dict[str, str]]:
    """Check what is always needed, then what an extra brings: without it only that is missing."""
    from packaging.requirements import Requirement

    needs = [Requirement(text) for text in requires(FIRST_PARTY) or ()]
    checks = [
        _package(need.name, need.specifier, FAIL)
        for need in needs
        if need.marker is None or need.marker.evaluate({"extra": ""})
    ]
    for extra, purpose in EXTRAS.items():
        checks += [
            _package(need.name, need.specifier, WARN, f" (for {purpose}: extra {extra!r})")
            for need in needs
            if need.marker is not None
            and need.marker.evaluate({"extra": extra})
            and not need.marker.evaluate({"extra": ""})
        ]
    return checks


def _package(name: str, wanted: SpecifierSet, otherwise: str, about: str = "") -> dict[str, str]:
    try:
        found = version(name)
    except PackageNotFoundError:
        return _check(otherwise, name, f"missing; needs {name}{wanted}{about}")
    if wanted.contains(found, prereleases=True):
        return _check(OK, name, found)
    return _check(otherwise, name, f"{found}; needs {name}{wanted}{about}")


def _device() -> dict[str, str]:
    gpu, toolkit = _gpu_of_driver(), _cuda_of_torch()
    if gpu and toolkit:
        return _check(OK, "device", f"{gpu}, CUDA {toolkit}")
    found = f"CPU only, {os.cpu_count()} cores"
    if gpu:
        found += f"; {gpu} is there, but this torch was built without CUDA"
    return _check(WARN, "device", found)


def _gpu_of_driver() -> str:
    """Return the name of the first GPU that NVIDIA's driver sees; empty: it sees none.

    Importing torch to ask would take seconds.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return ""
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    # Each returns 0 where it succeeded; the first that did not ends them.
    failed = (
        driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceGetName(name, len(name), device)
    )
    return "" if failed else name.value.decode(errors="replace")


def _cuda_of_torch() -> str:
    """Return the version of CUDA that torch was built for; empty: none, or torch is not there."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return ""
    return runpy.run_path(str(Path(spec.origin).with_name("version.py")))["cuda"] or ""


def _roots() -> list[dict[str, str]]:
    root = home()
    state = OK if _writable(root) else FAIL
    data = data_root()
    readable = _is_folder(data) and os.access(data, os.R_OK | os.X_OK)
    there = "not there" if not os.path.lexists(data) else "cannot be read; ask its owner"
    return [
        _check(state, "HARNESS_HOME", f"{root}{'' if state == OK else ' (cannot be written)'}"),
        _check(
            OK if readable else WARN, "HARNESS_DATA", f"{data}{'' if readable else f' ({there})'}"
        ),
    ]


def _writable(path: Path) -> bool:
    """Return whether a folder, or its nearest existing parent, can be written."""
    present = next((p for p in (path, *path.parents) if os.path.lexists(p)), path)
    return _is_folder(present) and os.access(present, os.W_OK | os.X_OK)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # in a folder that may not be entered
        return False


def _limits() -> dict[str, str]:
    from harness.data.child import unlimited

    reason = unlimited()
    found = f"off: {reason}" if reason else "memory and time, by the size of the files"
    return _check(WARN if reason else OK, "limits of reading", found)


def _data(registry: Registry) -> list[dict[str, str]]:
    from harness.data.locate import store_folder
    from harness.data.prepare import found, missing_files

    checks = []
    for name, entry in registry.datasets.items():
        what, spec = f"data set {name}", entry.spec
        try:
            store, damage = found(store_folder(spec))
            missing = [] if store else missing_files(resolve(spec.corpus)(spec), data_root())
        except (PluginError, StorageError) as error:
            checks.append(_check(FAIL, what, error))
            continue
        if store is not None or damage:
            remedy = f"{damage} harness data prepare {name} --force"
            checks.append(_check(FAIL if damage else OK, what, remedy if damage else "prepared"))
            continue
        if not missing:
            checks.append(_check(OK, what, "found, not yet prepared"))
        else:
            instead = "its twin is used" if spec.has_twin else "it cannot be run"
            checks.append(_check(WARN, what, f"{missing[0]} is not there; {instead}"))
    return checks


def _plugins(registry: Registry) -> list[dict[str, str]]:
    checks = [_check(OK, f"plugin {p.name}", p.source) for p in registry.plugins]
    return checks + [_check(FAIL, f"plugin {b.plugin}", b.reason) for b in registry.broken]
