"""Imports go one way: the table of docs/architecture.md, read from every file's source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPECS = {"specs", "figure_specs", "errors", "hookspecs"}
LIGHT = {"registry", "plugins", "config", "paths", "records", "boards", "statistics", "protocols"}
CORE = {"model", "data", "nn", "engine", "metrics"}
CLI = {"cli", "api", "__main__", "__init__", "checks", "launch", "scaffold", "figures"}
PLUGIN_MAY = (
    *("specs", "errors", "hookspecs", "model", "nn", "protocols", "metrics"),
    *("data.batch", "data.grid", "data.corpus", "data.safe", "paths"),
    "plugins.cards",
    *("data.grid_store", "data.grid_masks"),  # what a corpus is handed to compute a ceiling
)
ADAPTERS = {"protocols/metrics/adapter.py"}  # imported on use only
HEAVY = {"torch", "datasets", "torchmetrics", "sklearn", "pandas", "matplotlib"}
FILES = sorted(
    p
    for source in ("harness", "plugins", "baselines")
    for p in (ROOT / source).rglob("*.py")
    if "build" not in p.parts
)


def imports(path: Path, *, eager: bool) -> Iterator[str]:
    """Yield the modules a file imports; ``eager``: when it is itself imported."""

    def walk(node: ast.AST) -> Iterator[ast.AST]:
        yield node
        for child in ast.iter_child_nodes(node):
            late = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
            if not eager or not (late or typing_only):
                yield from walk(child)

    package = path.relative_to(ROOT).parent.parts
    for node in walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield ".".join((*package[: len(package) - node.level + 1], node.module or ""))
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(path: Path) -> str:
    return path.relative_to(ROOT / "harness").with_suffix("").parts[0]


def inner(name: str) -> str:
    """Return the part of ``harness.<part>.…`` that names the module's layer."""
    return name.split(".")[1] if "." in name else "__init__"


def under(*layers: set[str]) -> list[Path]:
    wanted = set().union(*layers)
    return [p for p in FILES if (ROOT / "harness") in p.parents and layer(p) in wanted]


def test_every_module_has_a_layer() -> None:
    known = SPECS | LIGHT | CORE | CLI
    assert {layer(p) for p in FILES if (ROOT / "harness") in p.parents} <= known


@pytest.mark.parametrize("path", under(SPECS), ids=lambda p: p.stem)
def test_specs_need_only_the_standard_library_and_pluggy(path: Path) -> None:
    for name in imports(path, eager=True):
        top = name.split(".")[0]
        allowed = top in sys.stdlib_module_names or top == "pluggy"
        assert allowed or (top == "harness" and inner(name) in SPECS), name


@pytest.mark.parametrize(
    "path", under(SPECS, LIGHT, CLI), ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_light_modules_import_nothing_heavy_at_start(path: Path) -> None:
    adapter = path.relative_to(ROOT / "harness").as_posix() in ADAPTERS
    for name in imports(path, eager=True):
        assert adapter or name.split(".")[0] not in HEAVY, name
        if name.startswith("harness.") and layer(path) in SPECS | LIGHT:
            assert inner(name) not in CORE | CLI - {"__init__"}, name


@pytest.mark.parametrize("path", under(LIGHT, CORE), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_nothing_below_imports_the_command_line_or_a_plugin(path: Path) -> None:
    for name in imports(path, eager=False):
        above = ("harness.cli", "harness.api", "harness.launch", "harness_")
        assert not name.startswith(above), name
        if layer(path) in CORE:
            assert not name.startswith("harness.boards"), name


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if (ROOT / "harness") not in p.parents],
    ids=lambda p: f"{p.parent.name}/{p.stem}",
)
def test_plugins_use_the_contract_only(path: Path) -> None:
    for name in imports(path, eager=False):
        if name.split(".")[0] == "harness":
            part = name.removeprefix("harness.")
            allowed = any(part == m or part.startswith(f"{m}.") for m in PLUGIN_MAY)
            assert allowed, f"{path.name} imports {name}"


def test_core_names_no_first_party_plugin() -> None:
    for path in FILES:
        if (ROOT / "harness") in path.parents:
            assert not any(n.startswith("harness_") for n in imports(path, eager=False)), path
