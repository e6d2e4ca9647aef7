"""What the source files of the project say: definitions with their docstrings, imports, tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[3]
"""The repository."""
EQUATION = re.compile(
    r"\beqs?\.|\bequations?\b|\bsection \d|\btable \d|\bfigure \d|\bappendix\b", re.I
)


@dataclass(frozen=True)
class Definition:
    """A class or function of a module.

    Attributes:
        module: its module.
        name: with the class before it, ``Ramer.losses``.
        doc: its docstring; empty: it has none.
        line: the first line of its source.
        source: its text, as it stands there.
        local: it is no part of the module's interface.
    """

    module: str
    name: str
    doc: str
    line: int
    source: str
    local: bool

    @property
    def cites(self) -> bool:
        """Return whether its docstring names an equation, section, table or figure of a paper."""
        return bool(EQUATION.search(self.doc))


@dataclass(frozen=True)
class Module:
    """A module as its file says: name, path, docstring, definitions in the file's order."""

    name: str
    path: Path
    doc: str
    definitions: tuple[Definition, ...]
    imports: tuple[str, ...]


@cache
def module(name: str) -> Module:
    """Return what a module's file says, without importing the module.

    Raises:
        ModuleNotFoundError: there is no such module with a source file.
    """
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name)
    path = Path(spec.origin)
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    found = tuple(_definitions(tree, name, text.splitlines()))
    return Module(name, path, ast.get_docstring(tree) or "", found, tuple(_imports(tree)))


def modules_of(name: str) -> list[Module]:
    """Return a module and those of its distribution's package that it imports, itself first."""
    package = name.split(".")[0] + "."
    found, wanted = {}, [name]
    while wanted:
        here = wanted.pop(0)
        if here in found or find_spec(here) is None:
            continue
        found[here] = module(here)
        wanted += [i for i in found[here].imports if i.startswith(package)]
    return [*found.values()]


def relative(path: Path) -> str:
    """Return a path below the repository, or the file's name where it lies elsewhere."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


@dataclass(frozen=True)
class TestFile:
    """A file of tests: its path below the repository, its docstring, the modules it imports."""

    path: str
    doc: str
    imports: tuple[str, ...]


@cache
def test_files() -> tuple[TestFile, ...]:
    """Return the files of tests; none where only the package is installed."""
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if "cases" in path.parts:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        doc = ast.get_docstring(tree) or ""
        found.append(TestFile(relative(path), doc, tuple(_imports(tree))))
    return tuple(found)


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _definitions(
    tree: ast.Module | ast.ClassDef, module: str, lines: list[str], prefix: str = ""
) -> Iterator[Definition]:
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        text = "\n".join(lines[first - 1 : node.end_lineno])
        doc, name = ast.get_docstring(node) or "", prefix + node.name
        yield Definition(module, name, doc, first, text, node.name.startswith("_"))
        if isinstance(node, ast.ClassDef):
            yield from _definitions(node, module, lines, f"{name}.")
