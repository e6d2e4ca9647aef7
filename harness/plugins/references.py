"""Code and files that plugins name by text: ``"module:attribute"`` and ``"package:file"``."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import importlib.util
import re
import sys
import tomllib
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from harness.errors import PluginError
from harness.hookspecs import PROJECT
from harness.plugins.hooks import describe_error

_FILE = "harness_plugin_"
"""How the modules of plugin files begin, which no user has named."""


def written(reference: str) -> str:
    """Return a reference as messages show it: of a plugin file the path, not our module's name."""
    module_name, colon, name = reference.partition(":")
    origin = getattr(sys.modules.get(module_name), "__file__", None)
    if not module_name.startswith(_FILE) or origin is None:
        return reference
    beside = Path(origin).parent / name
    return str(beside) if beside.suffix in (".yaml", ".yml") else f"{origin}{colon}{name}"


def resolve(reference: str, of: str = "") -> Any:
    """Import what ``"module:attribute"`` names.

    Args:
        reference: the name.
        of: what names it, for errors: ``model 'ramer'``.

    Raises:
        PluginError: malformed, the import fails, or the module has no such attribute.
    """
    module_name, _, attribute = reference.partition(":")
    where = f"{of}: " * bool(of)
    if not module_name or not attribute:
        raise PluginError(
            f"{where}{reference!r} does not name code; write it as 'module:attribute'."
        )
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what the module prints is no output of ours
            target: Any = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin's module may raise anything while it is imported
        raise PluginError(
            f"{where}cannot import {written(module_name)!r} (from {written(reference)!r}): "
            f"{describe_error(error)}."
        ) from error
    for part in attribute.split("."):
        if not hasattr(target, part):
            near = difflib.get_close_matches(part, dir(target), n=1)
            raise PluginError(
                f"{where}{written(reference)!r}: module {written(module_name)!r} has no "
                f"{attribute!r}{f'; did you mean {near[0]!r}?' if near else '.'}"
            )
        target = getattr(target, part)
    return target


def resource(reference: str) -> Path:
    """Return the path of ``"package:file"`` without importing the module itself.

    Raises:
        PluginError: the package or the file does not exist.
    """
    module_name, _, name = reference.partition(":")
    module = sys.modules.get(module_name)
    origin = getattr(module, "__file__", None)
    if origin is None:
        try:
            spec = importlib.util.find_spec(module_name)
        except (ImportError, ValueError) as error:
            raise PluginError(f"{written(reference)!r}: {describe_error(error)}.") from error
        origin = None if spec is None else spec.origin
    path = None if origin is None else Path(origin).parent / name
    if path is None or not name or not path.is_file():
        raise PluginError(f"{written(reference)!r} names no file; write it as 'package:file.yaml'.")
    return path


def project_entries(folder: Path) -> dict[str, str]:
    """Return the entry points of the group ``harness`` of a project that need not be installed.

    Args:
        folder: of its pyproject.toml.

    Returns:
        The module by the entry point's name.

    Raises:
        PluginError: there is no such file, it is not TOML, or it declares no such entry point.
    """
    file = folder / "pyproject.toml"
    try:
        project = tomllib.loads(file.read_text("utf-8")).get("project", {})
    except FileNotFoundError:
        raise PluginError(
            f"{folder} is a folder without a pyproject.toml; give a plugin file, or the folder of "
            "a plugin's project."
        ) from None
    except (OSError, ValueError) as error:
        raise PluginError(f"{file} cannot be read: {describe_error(error)}") from error
    entries = project.get("entry-points", {}).get(PROJECT, {})
    if not entries:
        raise PluginError(f"{file} has no [project.entry-points.{PROJECT}].")
    return {str(name): str(value).partition(":")[0] for name, value in entries.items()}


def import_project_module(folder: Path, name: str) -> ModuleType:
    """Import a module of a project from its folder, or from ``src`` in it.

    Raises:
        PluginError: a module of that name was imported from elsewhere.
    """
    top = name.partition(".")[0]
    source = folder / "src" if (folder / "src" / top).exists() else folder
    if str(source) not in sys.path:
        sys.path.insert(0, str(source))
        importlib.invalidate_caches()
    module = importlib.import_module(name)
    origin = Path(module.__file__ or "").resolve()
    if not origin.is_relative_to(folder):
        raise PluginError(
            f"{name!r} was imported from {origin.parent}; uninstall that, or rename the package"
        )
    return module


class _Source(SourceFileLoader):
    """Compiles the file that is there now.

    Cached bytecode counts as current where a file of the same size was written in the same second.
    """

    def get_code(self, fullname: str) -> CodeType:
        """Return the compiled file."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def import_file(path: Path) -> ModuleType:
    """Import a plugin file under a name that no other module has."""
    if not path.is_file():
        raise PluginError("no such file")
    digest = hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:8]
    name = f"{_FILE}{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}_{digest}"
    if path.suffix != ".py":
        raise PluginError("not a Python file; its name must end in .py")
    loader = _Source(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
