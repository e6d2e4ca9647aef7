"""Reference pages of what can be named: metrics, protocols, suites, masks, checks, hooks."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from harness import hookspecs
from harness.checking.checks import CHECKS
from harness.cli.list import MASKS
from harness.plugins import load
from harness.protocols.dropout.literature import SETTINGS
from harness.protocols.dropout.protocol import FAMILIES, Family
from harness.protocols.metrics import METRICS
from harness.protocols.suites import SUITES, ids, members
from harness_docs.markdown import code, literal, plain, section, table
from harness_docs.sources import ROOT, Module, module

PACKAGES = ("harness/conformance", "harness/data/soundness.py")
"""Where checks live: of models, and of data sets."""
MADE = {"CheckFailedError", "Finding"}
"""What a check makes of what it finds; the first argument is the check's name."""


def metrics() -> str:
    """Return the page of all metrics."""
    rows = [
        (literal(m.name), m.heading, " and ".join(m.label_kinds), "scores" if m.from_scores else
         "decisions", "lower" if m.lower_is_better else "higher",
         "one a label" if m.per_label else "one", plain(m.doc))
        for m in METRICS.values()
    ]  # fmt: skip
    heads = ["metric", "heading", "labels", "computed from", "better", "values", "meaning"]
    about = "Formulas and a worked example are in [metrics](../metrics.md)."
    return section(1, "All metrics", about, table(heads, rows)) + "\n"


def protocols() -> str:
    """Return the page of mask options, dropout protocols, suites and the literature's names."""
    families = [
        (literal(name if not f.pattern else f"{name}-{_argument(f)}"), USES[f.use], plain(f.doc))
        for name, f in FAMILIES.items()
    ]
    named = zip(ids(), SUITES.values(), strict=True)
    suites = [(literal(n), plain(s.doc), ", ".join(map(literal, members(n)))) for n, s in named]
    settings = [
        (plain(s.work), plain(s.theirs), plain(s.ours), ", ".join(map(literal, s.example)),
         plain(s.difference))
        for s in SETTINGS
    ]  # fmt: skip
    versions = [
        (f"[{e.spec.id}](datasets/{e.spec.id.replace('@', '-v')}.md)", plain(e.spec.summary))
        for e in load().datasets.values()
    ]
    masks = [(literal(name), plain(told)) for name, told in MASKS.items()]
    return section(
        1, "All protocols",
        "What a result depends on has a name and a version, `name@1`, and is never changed in "
        "place. [Concepts](../concepts.md) says what the three kinds of protocol are for.",
        section(2, "Data sets", table(["protocol", "what it is"], versions)),
        section(2, "Masks", "Which stored positions of a sequence count (`--mask`).",
                table(["mask", "positions that count"], masks)),
        section(2, "Modality dropout",
                "Scored by `--dropout`, trained under by `--train-dropout`; P is a rate, M a "
                "modality's key. [Missing modalities](../missingness.md) has the formulas.",
                table(["family", "use", "what it does to a sample"], families)),
        section(2, "Suites", "Lists of dropout protocols; members that a data set cannot have are "
                "left out. Shown for text, visual and audio.",
                table(["suite", "what for", "members"], suites)),
        section(2, "Names in the literature",
                table(["work", "their name", "here", "for example", "what differs"], settings)),
    ) + "\n"  # fmt: skip


USES = {"any": "scoring, training", "training": "training", "scoring": "scoring"}


def _argument(family: Family) -> str:
    if family.worded:
        return "M-P"
    return "P" if family.number else "M"


@dataclass(frozen=True)
class Hook:
    """A hook as its specification says: name, signature, docstring, whether it returns anything."""

    name: str
    signature: str
    doc: str
    gives: bool


def hooks() -> list[Hook]:
    """Return the hooks in the order of `harness.hookspecs`."""
    found = []
    for name, function in vars(hookspecs).items():
        if name.startswith("harness_") and inspect.isfunction(function):
            signature = inspect.signature(function)
            doc, gives = inspect.getdoc(function) or "", signature.return_annotation != "None"
            found.append(Hook(name, f"def {name}{_unquoted(signature)}", doc, gives))
    return found


def _unquoted(signature: inspect.Signature) -> str:
    return str(signature).replace("'", "")


def hooks_page() -> str:
    """Return the page of hooks."""
    parts = [section(2, h.name, code(h.signature, "python"), plain(h.doc)) for h in hooks()]
    about = (
        "A plugin is a module with functions marked by `harness.hookimpl`: an entry point of the "
        "group `harness`, or a file given by `--plugin`. It implements the hooks it needs. "
        "[Extend the harness](../how-to-extend.md) has a plugin that uses them."
    )
    return section(1, "Hooks", about, *parts) + "\n"


@dataclass(frozen=True)
class Check:
    """A named check: its name, the function that makes it, that function's docstring."""

    name: str
    made_by: str
    doc: str


def checks() -> list[Check]:
    """Return every named check of the package, by the name in its messages."""
    found: dict[str, Check] = {}
    for place in PACKAGES:
        path = ROOT / place
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            name = file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            for check in _checks(module(name.removesuffix(".__init__"))):
                found.setdefault(check.name, check)
    return sorted(found.values(), key=lambda c: (c.made_by, c.name))


def _checks(of: Module) -> Iterator[Check]:
    """Yield the checks of a module: names that it gives to errors and findings."""
    tree = ast.parse(of.path.read_text("utf-8"))
    constants = {
        t.id: n.value.value
        for n in tree.body
        if isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant)
        for t in n.targets
        if isinstance(t, ast.Name)
    }
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args:
                first = call.args[0]
                name = constants.get(first.id) if isinstance(first, ast.Name) else None
                name = first.value if isinstance(first, ast.Constant) else name
                if call.func.id in MADE and isinstance(name, str):
                    yield Check(name, f"{of.name}.{node.name}", ast.get_docstring(node) or "")


def asked_checks() -> list[Check]:
    """Return the checks that ``harness check MODEL`` makes, in their order."""
    made = CHECKS.items()
    return [
        Check(name, f"{f.__module__}.{f.__name__}", inspect.getdoc(f) or "") for name, f in made
    ]


def checks_page() -> str:
    """Return the page of checks."""
    rows = [(literal(c.name), plain(c.doc.split("\n\n")[0]), literal(c.made_by)) for c in checks()]
    asked = [(literal(c.name), plain(c.doc.split("\n\n")[0])) for c in asked_checks()]
    about = (
        "Every run makes the checks of a model on its first batches and before scoring; a check "
        "that fails ends the run with a message that names the check. Those of a data set are made "
        "by `harness check --dataset NAME`."
    )
    own = table(["check", "what the contract demands"], asked)
    return section(
        1, "Checks", about,
        section(2, "In every run, and of data sets",
                table(["check", "what it asks", "made by"], rows)),
        section(2, "`harness check MODEL`", "Short runs of a model on made data.", own),
    ) + "\n"  # fmt: skip
