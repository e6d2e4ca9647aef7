"""A digest of the code that defines a model, so that a result knows what it was computed by.

It covers the module of the model's class and the modules that it imports, and so on, as far as
they belong to the same distribution or, for a plugin file, lie in its folder. Imports are read
from the syntax trees: no model's code is run. A package's ``__init__`` counts only for names that
it defines itself; the names it passes on are followed to where they are defined. The harness
itself is never covered: `harness.records.fingerprint.RESULT_VERSION` stands for it.

Syntax trees are taken without docstrings and comments, in a form that does not depend on the
version of Python.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.errors import PluginError
from harness.hookspecs import PROJECT
from harness.plugins import Entry
from harness.specs import ModelSpec

_OWN = "harness"


def model_digest(entry: Entry[ModelSpec]) -> str:
    """Return the digest of a model's code, 64 hex digits.

    Raises:
        PluginError: the module does not exist, or a file of it is no Python.
    """
    module = entry.spec.factory.partition(":")[0]
    origin = _origin(module)
    if origin is None:
        # A class of a notebook: its module was made for it, and its name holds a digest.
        return hashlib.sha256(module.encode()).hexdigest()
    lines = [f"{p.label(origin)} {_file_digest(p.path)}" for p in _places(entry, module, origin)]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def refuse_stale(entry: Entry[ModelSpec]) -> None:
    """Refuse a model whose code was edited after this process imported it.

    A plugin file is imported anew when it changes; the modules that it imports are not, and what
    ran would not be what the digest says.

    Raises:
        PluginError: names the file.
    """
    module = entry.spec.factory.partition(":")[0]
    origin = _origin(module)
    for place in [] if origin is None else _places(entry, module, origin):
        again = place.path == origin and not entry.distribution
        if place.name in sys.modules and not again:
            digest = _file_digest(place.path)
            if _imported.setdefault(place.name, digest) != digest:
                raise PluginError(
                    f"{place.path.name} has changed since this process imported it; start Python "
                    "anew to run the model as it is now."
                )


_imported: dict[str, str] = {}
"""Per imported module the digest of its file when it was first looked at."""


def _places(entry: Entry[ModelSpec], module: str, origin: Path) -> list[_Place]:
    """Return the modules that a model's digest covers."""
    if entry.distribution:
        modules = _Modules(_tops(entry.distribution) | {module.partition(".")[0]}, None)
    else:
        top = module.partition(".")[0]
        modules = _Modules({top} if "." in module else set(), origin.parent)
    attribute = entry.spec.factory.partition(":")[2].partition(".")[0]
    return modules.reached(modules.defining(_Place(module, origin), attribute))


class _Place:
    """A module: its name and its file."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path

    def label(self, origin: Path) -> str:
        """Return the name, without the digest that the name of a plugin file holds."""
        return "." if self.path == origin else self.name

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def package(self) -> str:
        return self.name if self.is_package else self.name.rpartition(".")[0]


class _Modules:
    """The modules of one distribution, or of the folder of a plugin file.

    Args:
        tops: names of its top-level packages and modules.
        folder: folder of a plugin file.
    """

    def __init__(self, tops: Iterable[str], folder: Path | None) -> None:
        self.tops, self.folder = set(tops) - {_OWN}, folder

    def find(self, name: str) -> _Place | None:
        """Return a module by its full name; None: it does not exist or is someone else's."""
        top, *rest = name.split(".")
        if self.folder is not None and top != _OWN and _inside(self.folder, [top]):
            path = _inside(self.folder, [top, *rest])
        else:
            path = _origin(name) if top in self.tops else None
        return None if path is None else _Place(name, path)

    def reached(self, start: _Place) -> list[_Place]:
        """Return a module and those that it imports, directly or not."""
        seen = {start.path: start}
        waiting = [start]
        while waiting:
            for found in self._imported(waiting.pop()):
                if found.path not in seen:
                    seen[found.path] = found
                    waiting.append(found)
        return list(seen.values())

    def defining(self, place: _Place, name: str) -> _Place:
        """Return the module that defines a name; a package may only pass it on."""
        if place.is_package:
            for module, wanted in _imports(_tree(place.path), place.package):
                if wanted is not None and wanted[1] == name:
                    target = self._target(module, wanted[0])
                    if target is not None:
                        return target
        return place

    def _imported(self, place: _Place) -> Iterator[_Place]:
        for module, wanted in _imports(_tree(place.path), place.package):
            if wanted is not None and wanted[0] == "*":
                yield from self._all_of(module)
                continue
            found = self._target(module, None if wanted is None else wanted[0])
            if found is not None:
                yield found

    def _target(self, module: str, name: str | None) -> _Place | None:
        """Return the module behind ``import module``, or ``from module import name``."""
        found = self.find(module)
        if found is None or name is None:
            return found if found is None or not found.is_package else None
        if not found.is_package:
            return found
        inner = self.find(f"{module}.{name}")
        if inner is not None:
            return None if inner.is_package else inner
        definer = self.defining(found, name)
        defined = definer.path != found.path or name in _defined(found.path)
        return definer if defined else None

    def _all_of(self, module: str) -> Iterator[_Place]:
        """Yield what ``from module import *`` takes its names from."""
        found = self.find(module)
        if found is not None and found.is_package:
            yield from self._imported(found)
        elif found is not None:
            yield found


def _imports(tree: ast.Module, package: str) -> list[tuple[str, tuple[str, str] | None]]:
    """Return the imports of a module: the module named, and the name taken of it and its alias.

    ``import package`` counts as the names that are then read of the package. Imports for type
    checkers alone are left out.
    """
    found: list[tuple[str, tuple[str, str] | None]] = []
    bound: dict[str, str] = {}
    nodes = list(_nodes(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.append((alias.name, None))
                bound[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            base = ""
            if node.level:
                parts = package.split(".")
                base = ".".join(parts[: len(parts) - node.level + 1])
            module = ".".join(part for part in (base, node.module or "") if part)
            for alias in node.names:
                name = alias.asname or alias.name
                found.append((module, (alias.name, name)))
                bound[name] = f"{module}.{alias.name}"
    for node in nodes:
        chain: list[str] = []
        while isinstance(node, ast.Attribute):
            chain.insert(0, node.attr)
            node = node.value
        if chain and isinstance(node, ast.Name) and node.id in bound:
            module = bound[node.id]
            for attribute in chain:
                found.append((module, (attribute, attribute)))
                module = f"{module}.{attribute}"
    return list(dict.fromkeys(found))


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if typing_only:
            for other in child.orelse:  # type: ignore[attr-defined]
                yield from _nodes(other)
        else:
            yield from _nodes(child)


@lru_cache(maxsize=1024)
def _parsed(path: Path, stamp: tuple[int, int]) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), path.name)
    except (OSError, SyntaxError, ValueError) as error:
        raise PluginError(f"cannot read {path.name} for its digest: {error}.") from error


def _tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file as it stands on disk."""
    return _parsed(path, _stamp(path))


@lru_cache(maxsize=1024)
def _digest_of(path: Path, stamp: tuple[int, int]) -> str:
    plain = repr(_plain(_parsed(path, stamp)))
    return hashlib.sha256(plain.encode()).hexdigest()


def _file_digest(path: Path) -> str:
    return _digest_of(path, _stamp(path))


def _stamp(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_mtime_ns, state.st_size


def _defined(path: Path) -> set[str]:
    """Return the names that a module defines at its top: functions, classes, variables."""
    names: set[str] = set()
    for node in _tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def _plain(node: Any) -> Any:
    """Return a syntax tree as nested tuples, without strings that stand alone.

    Fields that are empty, and those that say nothing of the meaning, are left out: they differ
    between versions of Python.
    """
    if isinstance(node, list):
        kept = [_plain(item) for item in node if not _is_docstring(item)]
        return tuple(kept)
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = []
    for name, value in ast.iter_fields(node):
        if name in ("ctx", "kind", "type_comment", "type_ignores") or value is None or value == []:
            continue
        fields.append((name, _plain(value)))
    return (type(node).__name__, *fields)


def _is_docstring(node: Any) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _origin(module: str) -> Path | None:
    """Return the file of a module; None: there is no such file.

    Packages are searched on disk and not imported: importing one may import torch.

    Raises:
        PluginError: the top-level module breaks the search for it.
    """
    top, *rest = module.split(".")
    loaded = sys.modules.get(module if not rest else top)
    origin = getattr(loaded, "__file__", None)
    if origin is None:
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError) as error:
            raise PluginError(f"cannot find {top!r}: {type(error).__name__}: {error}.") from error
        origin = None if spec is None else spec.origin
    if origin is None or not origin.endswith(".py"):
        return None
    return _inside(Path(origin).parent, rest) if rest else Path(origin)


def _inside(folder: Path, parts: Sequence[str]) -> Path | None:
    """Return the file of a module below a folder, whether module or package."""
    base = folder.joinpath(*parts)
    for path in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _tops(distribution: str) -> frozenset[str]:
    """Return the top-level packages of a distribution: of its files and its entry points."""
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return frozenset()
    entries = found.entry_points.select(group=PROJECT)
    names = {entry.value.partition(":")[0].partition(".")[0] for entry in entries}
    for file in found.files or ():
        if file.suffix == ".py" and ".." not in file.parts:
            names.add(file.parts[0].removesuffix(".py"))
    return frozenset(names)
