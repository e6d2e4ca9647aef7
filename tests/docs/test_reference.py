"""Everything that can be named on a command line, in a setting or in a plugin is documented."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import harness
from harness import hookspecs
from harness.cli import VERBS
from harness.plugins import load
from harness.protocols.dropout.protocol import FAMILIES
from harness.protocols.metrics import METRICS
from harness.protocols.suites import SUITES
from harness.specs import TrainingConfig
from harness_docs import catalogue, commands, configuration, drawings, python
from harness_docs.project import inside

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_every_command_and_option_says_what_it_does() -> None:
    page, walked = commands.page(), list(commands.walk())
    assert {path[1] for path, _ in walked} == {*VERBS}
    silent = [" ".join(p) for p, c in walked if not (c.help or "").strip()]
    silent += [
        f"{' '.join(path)} {option.opts[0]}"
        for path, command in walked
        for option in commands.options(command)
        if not (option.help or "").strip() or f"`{option.opts[0]}`" not in page
    ]
    assert not silent, f"without a help text: {silent}"
    assert all(f" {' '.join(path)}\n" in page for path, _ in walked)


def test_examples_name_models_and_data_as_harness_new_allows() -> None:
    pages = [*DOCS.glob("*.md"), ROOT / "README.md", *(ROOT / "harness/cli").rglob("*.py")]
    texts = {path: path.read_text("utf-8") for path in pages}
    given = re.compile(r"(?:--model|--dataset|--test-on|harness new [a-z]+) (?![-<{])([\w./,@-]+)")
    odd = [
        f"{path.name}: {found[0]}"
        for path, text in texts.items()
        for found in given.finditer(text)
        if "_" in found[1] and not found[1].endswith(".py")
    ]
    assert not odd and any(given.search(text) for text in texts.values())


def test_every_hook_has_a_sentence() -> None:
    page, hooks = catalogue.hooks_page(), catalogue.hooks()
    named = {n for n in vars(hookspecs) if n.startswith("harness_")}
    assert {h.name for h in hooks} == named
    for hook in hooks:
        assert hook.doc.endswith("."), hook.name
        assert f"## {hook.name}\n" in page


def test_every_hook_has_an_example_that_is_run() -> None:
    text = (DOCS / "how-to-extend.md").read_text("utf-8")
    sections = dict(re.findall(r"^## (harness_\w+)\n(.*?)(?=^## |\Z)", text, flags=re.M | re.S))
    names = [h.name for h in catalogue.hooks()]
    assert {*sections} == {*names}
    run = "".join(re.findall(r"<!-- run -->\n```python\n(.*?)```", text, flags=re.S))
    for name in names:
        assert f"[`{name}`](#{name})" in text and f"def {name}(" in run, name


def test_every_check_has_a_sentence() -> None:
    found = [*catalogue.checks(), *catalogue.asked_checks()]
    assert {"score-dtype", "diagnostics"} <= {c.name for c in found}, "checks are not found"
    assert not [c.name for c in found if not c.doc.strip()]
    page = catalogue.checks_page()
    assert all(f"| `{c.name}` |" in page for c in found)


def test_every_metric_protocol_and_suite_has_a_meaning() -> None:
    metrics, protocols = catalogue.metrics(), catalogue.protocols()
    assert not [m.name for m in METRICS.values() if not m.doc or f"`{m.name}`" not in metrics]
    silent = [n for n, f in FAMILIES.items() if not f.doc or f"| `{n}" not in protocols]
    silent += [s.name for s in SUITES.values() if not s.doc or f"| `{s.name}@" not in protocols]
    ids = [e.spec.id for e in load().datasets.values()]
    assert not silent + [i for i in ids if f"[{i}]" not in protocols]


def test_every_key_of_the_recipe_has_a_meaning_and_every_model_its_keys() -> None:
    keys = list(configuration.keys(TrainingConfig, "training."))
    assert [k.name for k in keys if not k.meaning] == []
    page = configuration.page()
    assert all(f"| `{k.name}` |" in page for k in keys)
    for entry in load().models.values():
        for key in configuration.of_model(entry.spec):
            assert f"| `{key.name}` |" in page, (entry.spec.name, key.name)


def test_attributes_are_read_as_written() -> None:
    lines = (
        "One.",
        "",
        "Attributes:",
        "    a, b: first",
        "        line.",
        "    c: d: e.",
        "",
        "Raises:",
    )
    doc = "\n".join(lines)
    assert configuration.attributes(doc) == {
        "a": "first line.",
        "b": "first line.",
        "c": "d: e.",
    }


def test_every_public_name_has_a_docstring_and_a_place() -> None:
    page = python.page()
    for name in python.names():
        assert page.count(f" harness.{name}\n") == 1, name
        value = getattr(harness, name)
        assert (inspect.getdoc(value) or "").strip() or not callable(value), name
    grouped = [n for group in python.GROUPS.values() for n in group]
    assert len(grouped) == len({*grouped})
    assert "## Further names" not in page, "give the new names a group in harness_docs.python"


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text("utf-8")
    listed = {line.strip() for line in index.splitlines()}
    pages = {p.stem for p in DOCS.glob("*.md")} - {"index"}
    assert not pages - listed, "add them to a toctree of docs/index.md"


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda p: p.name
)
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", page.read_text("utf-8"))
    inner = [t for t in targets if not re.match(r"[a-z]+:", t) and "generated/" not in t]
    assert not [t for t in inner if not (page.parent / t).exists()]


def test_links_out_of_the_pages_are_turned() -> None:
    turned = inside("[a](../SECURITY.md) [b](../leaderboards) ![c](images/c.png) [d](x.md#y)", "p")
    assert turned == (
        "[a](/generated/project/security.md) b (`leaderboards`) ![c](images/c.png) [d](/x.md#y)"
    )
    assert inside("[a](docs/x.md)", "generated/project/changelog") == "[a](/x.md)"


def test_pictures_are_small_and_drawn_from_the_protocols() -> None:
    from xml.etree import ElementTree

    for name, text in drawings.pages().items():
        assert len(text) < 30_000 and ElementTree.fromstring(text).tag.endswith("svg"), name
    metrics = drawings.metrics().svg()
    assert "micro_f1 0.750" in metrics  # TP 3, FP 1, FN 1


def test_the_citation_file_is_complete_but_for_a_doi() -> None:
    import tomllib

    import yaml

    found = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {"cff-version", "message", "title", "type", "version", "license", "authors"}
    assert {*needed, "keywords", "abstract"} <= {*found}
    assert found["version"] == harness.__version__ == project["version"]
    assert found["license"] == project["license"]


def test_every_recipe_of_contributing_ends_in_its_check() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    recipes = re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, flags=re.M | re.S)
    assert len(recipes) >= 6
    for title, body in recipes:
        last = body.strip().splitlines()[-1]
        command = re.match(r"Check: .*`python -m pytest ([\w/ ]+)", last)
        assert command, f"{title!r} ends in no check"
        paths = [word for word in command[1].split() if "/" in word]
        assert paths and all((ROOT / path).is_dir() for path in paths), title
