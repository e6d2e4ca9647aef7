"""Imports go downwards, without circles: the layers of docs/architecture.md, read from sources.

A *room* is a module or package directly below `harness`, or a first-party plugin package.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# From the bottom up. A room imports from layers below its own, and from its own without a circle.
LAYERS: Mapping[str, tuple[str, ...]] = {
    "specs": ("errors", "specs", "hookspecs"),
    "light": (
        *("boundary", "paths", "documents", "children", "plugins", "config", "protocols"),
        "statistics",
    ),
    "data": ("metrics", "data", "nn", "model", "records"),
    "checks": ("conformance",),
    "work": ("engine", "boards", "figures"),
    "suites": ("checking",),  # checks that train
    "starts": ("api", "launch", "scaffold", "housekeeping", "exchange"),
    "top": ("__init__", "__main__", "cli"),
}
ABOVE = ("__init__", "__main__", "cli", "api", "launch")
# Rooms of the same layer, or below, that a room keeps away from all the same.
APART = {
    "boards": ("engine", "data", "nn", "model", "figures"),
    "figures": ("engine", "nn", "model"),
    "engine": ("boards", "figures"),
    "records": ("data", "nn", "model"),
    "protocols": ("plugins", "config", "paths"),
}
# What the author of a plugin may use.
CONTRACT = (
    *("specs", "errors", "hookspecs", "paths", "plugins.cards"),
    *("model", "nn", "protocols", "metrics", "data.batch", "data.grid", "data.corpus"),
    *("data.safe", "data.rows", "data.mapped"),
    "data.partition",  # splits of whole groups
    "data.values",  # strict reading of values and tables
    "data.layouts",  # the stored split that a corpus is handed to compute a ceiling
    "boards.grid",  # what a view of a board is made of
    "figures.canvas",
    "figures.request",  # what a kind of figure is made of
)
# What is heavy is imported on use: `harness --help` and `harness list` answer at once.
HEAVY = frozenset({"torch", "datasets", "torchmetrics", "sklearn", "pandas", "matplotlib"})
LAZY = (*LAYERS["specs"], *LAYERS["light"], *LAYERS["starts"], *LAYERS["top"])
LAZY += ("records", "boards", "figures")
ADAPTERS = ("harness.protocols.metrics.adapter",)  # heavy, and themselves imported on use
NO_TORCH = ("boards", "figures", "statistics", "records")


@dataclass(frozen=True)
class Import:
    """An import statement's target; ``late``: inside a function."""

    name: str
    late: bool


class Tree:
    """The modules below some source folders and what they import."""

    def __init__(self, *packages: Path) -> None:
        self.modules = {
            _name(path.relative_to(package.parent)): path
            for package in packages
            for path in sorted(package.rglob("*.py"))
        }

    @cached_property
    def imports(self) -> dict[str, list[Import]]:
        """What every module imports, modules by their full name."""
        return {name: list(self._of(name, path)) for name, path in self.modules.items()}

    def _of(self, name: str, path: Path) -> Iterator[Import]:
        package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
        for node, late in _statements(ast.parse(path.read_text("utf-8")), False):
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, late) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                start = package[: len(package) - node.level + 1] if node.level else []
                parent = ".".join([*start, *([node.module] if node.module else [])])
                for alias in node.names:
                    full = f"{parent}.{alias.name}"
                    yield Import(full if full in self.modules else parent, late)

    def graph(self, *, late: bool) -> dict[str, set[str]]:
        """Return what each module imports of the others; with ``late`` also inside functions.

        The package itself is left out: every import loads it, and it imports nothing by then.
        """
        others = self.modules.keys() - {"harness"}
        return {
            name: {i.name for i in found if late or not i.late} & others - {name}
            for name, found in self.imports.items()
        }

    def upward(self, layers: Mapping[str, tuple[str, ...]]) -> list[str]:
        """Return the imports, late ones too, of a room in a higher layer, a line each."""
        rank = {room: k for k, rooms in enumerate(layers.values()) for room in rooms}
        return [
            f"{name} imports {target}"
            for name, targets in self.graph(late=True).items()
            for target in sorted(targets)
            if name.startswith("harness.")
            if rank[room_of(target)] > rank[room_of(name)]
        ]


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _statements(node: ast.AST, late: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Yield all nodes but those for type checkers only, and whether a function holds them."""
    yield node, late
    for child in ast.iter_child_nodes(node):
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)):
            yield from _statements(child, late or inside)


def room_of(module: str) -> str:
    """Return ``boards`` of ``harness.boards.cells``, ``__init__`` of ``harness``."""
    first, *rest = module.split(".")
    if first != "harness":
        return first
    return rest[0] if rest else "__init__"


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other (Tarjan's strong components)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in graph[node]:
            if target not in order:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], order[target])
        if low[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph:
        if node not in order:
            visit(node)
    return found


def rooms(graph: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Return the graph of rooms of a graph of modules."""
    joined: dict[str, set[str]] = {}
    for module, targets in graph.items():
        room = joined.setdefault(room_of(module), set())
        room |= {room_of(t) for t in targets} - {room_of(module)}
    return joined


@pytest.fixture(scope="module")
def tree() -> Tree:
    plugins = [p for home in ("plugins", "baselines") for p in (ROOT / home).glob("harness_*")]
    return Tree(ROOT / "harness", *plugins)


def test_every_room_has_a_layer_and_every_layer_its_rooms(tree: Tree) -> None:
    built = {room_of(m) for m in tree.modules if m.split(".")[0] == "harness"}
    listed = [room for rooms in LAYERS.values() for room in rooms]
    assert built == set(listed), "LAYERS names every module directly below harness, and no other"
    assert len(listed) == len(set(listed))


def test_imports_go_downwards(tree: Tree) -> None:
    assert tree.upward(LAYERS) == []


def test_rooms_that_stay_apart(tree: Tree) -> None:
    joined = rooms(tree.graph(late=True))
    found = [(room, other) for room, others in APART.items() for other in others]
    assert [(a, b) for a, b in found if b in joined[a]] == []


@pytest.mark.parametrize("late", [False, True], ids=["top-level", "with those in functions"])
def test_no_circle_between_modules_or_rooms(tree: Tree, late: bool) -> None:
    graph = tree.graph(late=late)
    assert circles(graph) == []
    assert circles(rooms(graph)) == []


def test_specs_need_only_the_standard_library_and_pluggy(tree: Tree) -> None:
    allowed = sys.stdlib_module_names | {"pluggy", "harness"}
    for room in LAYERS["specs"]:
        eager = {i.name.split(".")[0] for i in tree.imports[f"harness.{room}"] if not i.late}
        assert eager <= allowed, room


def test_what_is_heavy_is_imported_on_use(tree: Tree) -> None:
    heavy = {
        name: {i.name for i in imports if not i.late and i.name.split(".")[0] in HEAVY}
        for name, imports in tree.imports.items()
    }
    graph = tree.graph(late=False)
    lazy = [n for n in graph if n.split(".")[0] == "harness" and room_of(n) in LAZY]
    found = {n: heavy[n] for n in lazy if heavy[n] and n not in ADAPTERS}
    # Nor by way of a module that is heavy itself.
    found |= {n: {t for t in graph[n] if heavy[t]} for n in lazy if any(heavy[t] for t in graph[n])}
    assert found == {}


def test_boards_figures_and_statistics_need_no_torch_at_all(tree: Tree) -> None:
    for name, imports in tree.imports.items():
        if name.startswith("harness.") and room_of(name) in NO_TORCH:
            assert not {i.name for i in imports if i.name.split(".")[0] == "torch"}, name


def test_plugins_use_the_contract_only(tree: Tree) -> None:
    found = [
        f"{name} imports {i.name}"
        for name, imports in tree.imports.items()
        if name.startswith("harness_")
        for i in imports
        if i.name.split(".")[0] == "harness"
        and not any(f"{i.name}.".startswith(f"harness.{part}.") for part in CONTRACT)
    ]
    assert found == []


def test_the_harness_names_no_first_party_plugin(tree: Tree) -> None:
    for name, imports in tree.imports.items():
        if name.split(".")[0] == "harness":
            assert not [i for i in imports if i.name.startswith("harness_")], name


def test_below_the_top_the_package_itself_gives_its_version_only(tree: Tree) -> None:
    for name, path in tree.modules.items():
        if name.split(".")[0] != "harness" or room_of(name) in ABOVE:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "harness":
                taken = {alias.name for alias in node.names}
                assert all(t == "__version__" or f"harness.{t}" in tree.modules for t in taken)
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "harness":
                assert node.attr == "__version__", f"{name}: harness.{node.attr}"


MADE = {
    "harness/__init__.py": "",
    "harness/errors.py": "",
    "harness/low/__init__.py": "from harness.errors import X\n",
    "harness/low/a.py": "from . import b\n",
    "harness/low/b.py": "def f():\n    from harness.low.a import g\n",
    "harness/high.py": "import harness.low.a\nfrom harness import errors\n",
}


def made(folder: Path, **changed: str) -> Tree:
    for name, text in {
        **MADE,
        **{k.replace("__", "/") + ".py": v for k, v in changed.items()},
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return Tree(folder / "harness")


def test_these_checks_find_what_they_look_for(tmp_path: Path) -> None:
    layers = {"specs": ("__init__", "errors"), "low": ("low",), "high": ("high",)}
    tree = made(tmp_path)
    assert tree.graph(late=True) == {
        "harness": set(),
        "harness.errors": set(),
        "harness.high": {"harness.low.a", "harness.errors"},
        "harness.low": {"harness.errors"},
        "harness.low.a": {"harness.low.b"},
        "harness.low.b": {"harness.low.a"},
    }
    assert circles(tree.graph(late=False)) == []
    assert circles(tree.graph(late=True)) == [["harness.low.a", "harness.low.b"]]
    assert tree.upward(layers) == []
    wrong = made(tmp_path, harness__errors="def f():\n    from harness.high import g\n")
    assert wrong.upward(layers) == ["harness.errors imports harness.high"]
    assert circles(rooms(wrong.graph(late=True))) == [["errors", "high", "low"]]
    assert circles(rooms(wrong.graph(late=False))) == []
