"""Plugins are loaded one by one; what is broken is listed and harms nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.config import presets, resolve_config
from harness.errors import ConfigError, PluginError, UnknownNameError
from harness.plugins import FIRST_PARTY, Registry, load, registry, resolve, resource, twin_of
from harness.plugins.cards import read_card

HEAD = """
from harness.hookspecs import hookimpl
from harness.specs import BoardFormat, DatasetSpec, ModalitySpec, ModelSpec
"""
GOOD = (
    HEAD
    + """
class Model:
    value = 41

@hookimpl
def harness_models():
    return [ModelSpec("{name}", "{stem}:Model", "made", "{stem}:d.yaml")]

@hookimpl
def harness_datasets():
    return [DatasetSpec("{name}-data", f"{{__name__}}:Model", (ModalitySpec("text", "t", 1, 1),),
                        ("a", "b"), has_twin=True)]

@hookimpl
def harness_board_formats():
    return [BoardFormat("{name}", ".x", "{stem}:render")]

@hookimpl
def harness_provenance():
    return {{"who": "{name}"}}
"""
)


@pytest.fixture(autouse=True)
def no_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    monkeypatch.delenv("HARNESS_STRICT", raising=False)


def write(folder: Path, stem: str, text: str | None = None, name: str = "one") -> str:
    path = folder / f"{stem}.py"
    path.write_text(text if text is not None else GOOD.format(stem=stem, name=name))
    return str(path)


def installed(monkeypatch: pytest.MonkeyPatch, folder: Path, stem: str) -> None:
    """Make a module of ``folder`` the one installed plugin."""
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(registry, "entry_points", lambda group: [EntryPoint(stem, stem, group)])
    monkeypatch.delenv("HARNESS_PLUGINS")
    registry._load.cache_clear()


def reasons(found: Registry) -> str:
    return "\n".join(f"{b.name}|{b.plugin}|{b.reason}" for b in found.broken)


def test_a_file_resolves_its_own_classes_and_resources(tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text("presets: {}\n")
    found = load([write(tmp_path, "json")])  # a stem that a standard module has, too
    assert found.broken == []
    assert resolve(found.model("one").factory).value == 41
    assert resolve(found.dataset("one-data").corpus).value == 41
    assert resource(found.model("one").defaults) == tmp_path / "d.yaml"
    assert found.plugins[0].hooks == (
        "harness_board_formats",
        "harness_datasets",
        "harness_models",
        "harness_provenance",
    )
    assert found.hook.provenance() == {"json": {"who": "one"}}


def test_an_edited_file_is_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "mine")
    assert load([path]) is load([path])
    write(tmp_path, "mine", name="another")
    assert list(load([path]).models) == ["another"]
    # As long as before and in the same second: cached bytecode would count as current.
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for nanoseconds, name in enumerate(("one", "two"), 10**18):
        write(tmp_path, "mine", name=name)
        os.utime(path, ns=(nanoseconds, nanoseconds))
        assert list(load([path]).models) == [name]


BROKEN = {
    "imports": ("import no_such_module_xyz", "ModuleNotFoundError"),
    "exits": ("raise SystemExit(3)", "SystemExit"),
    "syntax": ("def (", "SyntaxError"),
    "nohooks": ("x = 1", "implements no hook"),
    "raises": (HEAD + "@hookimpl\ndef harness_models():\n    1 / 0", "ZeroDivisionError"),
    "lazy": (HEAD + "@hookimpl\ndef harness_models():\n    yield 1 / 0", "ZeroDivisionError"),
    "none": (HEAD + "@hookimpl\ndef harness_models():\n    pass", "got NoneType"),
    "wrong": (HEAD + "@hookimpl\ndef harness_models():\n    return ['x']", "got str"),
    "layout": (
        HEAD + "from harness import DatasetSpec, ModalitySpec\n@hookimpl\n"
        "def harness_datasets():\n    text = ModalitySpec('text', 't', 2, 1)\n"
        "    return [DatasetSpec('d', 'm:C', (text,), ('a',), layout='tree')]",
        "layout='tree' is not one of sequence, grid",
    ),
    "misspelt": (HEAD + "@hookimpl\ndef harness_model():\n    return []", "'harness_models'"),
    "arguments": (HEAD + "@hookimpl\ndef harness_models(x):\n    return []", "harness_models"),
    "name": (
        HEAD + "@hookimpl\ndef harness_models():\n    return [ModelSpec('a b', 'm:C', '', '')]",
        "'a b'",
    ),
    "factory": (
        HEAD + "@hookimpl\ndef harness_models():\n    return [ModelSpec('a', 'mC', '', '')]",
        "'mC'",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_named_file_that_is_broken_is_an_error(tmp_path: Path, case: str) -> None:
    text, part = BROKEN[case]
    files = [write(tmp_path, "good"), write(tmp_path, f"bad_{case}", text)]
    with pytest.raises(PluginError, match=f"plugin 'bad_{case}'.*--plugin") as caught:
        load(files)
    assert part in str(caught.value)


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_installed_plugin_is_listed_and_the_rest_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    text, part = BROKEN[case]
    write(tmp_path, f"bad_{case}", text)
    installed(monkeypatch, tmp_path, f"bad_{case}")
    found = load([write(tmp_path, "good")])
    assert list(found.models) == ["one"]
    assert [b.plugin for b in found.broken] == [f"bad_{case}"]
    assert part in reasons(found)
    with pytest.raises(UnknownNameError, match=rf"unknown model 'x'.*bad_{case} \("):
        found.model("x")
    monkeypatch.setenv("HARNESS_STRICT", "1")
    with pytest.raises(PluginError, match=f"bad_{case}.*HARNESS_STRICT"):
        load()


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"plugin 'none'.*none\.py: no such file"):
        load([str(tmp_path / "none.py")])


@pytest.mark.parametrize("kind", ["model", "data", "format"])
def test_a_file_that_takes_an_installed_name_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    write(tmp_path, "shipped")
    installed(monkeypatch, tmp_path, "shipped")
    clash = {
        "model": "harness_models():\n    return [ModelSpec('one', 'm:C', '', '')]",
        "data": "harness_datasets():\n    return [DatasetSpec('one-data', 'm:C', "
        "(ModalitySpec('text', 't', 1, 1),), ('a',))]",
        "format": "harness_board_formats():\n    return [BoardFormat('one', '.x', 'm:f')]",
    }[kind]
    mine = write(tmp_path, "mine", f"{HEAD}@hookimpl\ndef {clash}\n")
    with pytest.raises(PluginError, match=r"plugin 'mine'.*already taken by plugin 'shipped'"):
        load([mine])


def test_two_files_with_equal_names(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"'second'.*'one' is already taken by plugin 'first'"):
        load([write(tmp_path, "first"), write(tmp_path, "second")])
    (tmp_path / "other").mkdir()
    with pytest.raises(PluginError, match=r"the plugin name 'same' is already taken"):
        load([write(tmp_path, "same"), write(tmp_path / "other", "same", name="two")])
    assert list(load([write(tmp_path, "same")] * 2).models) == ["one"]


def verbs(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of every verb that takes ``--plugin``."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from verbs(command, *path, name)
        elif command and any("--plugin" in p.opts for p in command.params):
            yield (*path, name)


@pytest.mark.parametrize("words", verbs(cli), ids=" ".join)
def test_every_verb_shows_the_error_of_a_plugin_file(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    bad = write(tmp_path, "bad", "import no_such_module_xyz")
    ended = CliRunner().invoke(cli, [*words, "--plugin", bad])
    assert ended.exit_code == 2, ended.output
    assert "plugin 'bad'" in ended.stderr and "no_such_module_xyz" in ended.stderr
    assert "Traceback" not in ended.stderr and "unknown model" not in ended.stderr


def test_hooks_that_fail_during_a_run_are_listed(tmp_path: Path) -> None:
    bad = write(tmp_path, "bad", HEAD + "@hookimpl\ndef harness_run_start(run):\n    run['x']")
    text = HEAD + "seen = []\n@hookimpl\ndef harness_run_start(run):\n    seen.append(dict(run))"
    found = load([bad, write(tmp_path, "good", text + "\n")])
    found.hook.run_start({"id": "r"})
    assert "bad|bad|harness_run_start: KeyError" in reasons(found)
    found.hook.epoch_end({}, 0, {"loss": 1.0})


@pytest.mark.parametrize("value", ["{'a': {1}}", "{'a': float('nan')}", "7"])
def test_provenance_that_is_no_json_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    bad = write(
        tmp_path, "bad", f"{HEAD}@hookimpl\ndef harness_provenance():\n    return {value}\n"
    )
    found = load([bad, write(tmp_path, "good")])
    assert found.hook.provenance() == {"good": {"who": "one"}}
    assert "bad|bad|harness_provenance: " in reasons(found)
    assert "plugin 'bad': harness_provenance" in caplog.text


def test_entry_points_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "baselines")
    found = load()
    assert [p.name for p in found.plugins] == ["baselines"]
    assert found.plugins[0].distribution == FIRST_PARTY


@pytest.mark.parametrize(
    "words", [["run"], ["list"], ["show", "x"], ["figure", "--help"]], ids=" ".join
)
def test_an_unknown_entry_point_is_an_error(
    monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "baselines, nosuch")
    words = [*words, "--model", "cc", "--dataset", "mosi"] if words == ["run"] else words
    ended = CliRunner().invoke(cli, words)
    assert ended.exit_code == 2 and "no entry point 'nosuch'" in ended.stderr, ended.output


def test_names_are_suggested_and_twins_known(tmp_path: Path) -> None:
    found = load([write(tmp_path, "good")])
    twin = found.dataset("one-data-twin")
    assert (twin.name, twin.source, twin.base_name) == ("one-data-twin", "twin", "one-data")
    assert twin_of(twin) == twin
    with pytest.raises(UnknownNameError, match="Did you mean 'one-data'"):
        found.dataset("one-dat")
    with pytest.raises(UnknownNameError, match=r"unknown model 'ona'\. Did you mean 'one'") as near:
        found.model("ona")
    assert "--plugin" not in str(near.value)
    with pytest.raises(UnknownNameError, match=r"needs --plugin FILE \(in Python plugins=FILE\)"):
        found.model("mine")


def test_a_plugin_file_is_named_by_its_path(tmp_path: Path) -> None:
    text = GOOD.format(stem="HERE", name="one").replace('"HERE:', 'f"{__name__}:')
    file = write(tmp_path, "mine", text)
    spec = load([file]).model("one")
    assert spec.factory.startswith("harness_plugin_"), "else this tests nothing"
    with pytest.raises(PluginError) as caught:
        resolve(spec.factory.replace("Model", "Modle"))
    assert (
        str(caught.value)
        == f"'{file}:Modle': module '{file}' has no 'Modle'; did you mean 'Model'?"
    )
    with pytest.raises(
        PluginError, match=r"mine\.py:Model has no dataclass named Config"
    ) as caught:
        resolve_config(replace(spec, defaults=""), load([file]).dataset("one-data"), None)
    assert "harness_plugin" not in str(caught.value)
    card = spec.defaults
    with pytest.raises(PluginError, match=f"'{tmp_path / 'd.yaml'}' names no file"):
        resource(card)
    (tmp_path / "d.yaml").write_text("[")
    with pytest.raises(PluginError, match=f"^{tmp_path / 'd.yaml'} is not valid YAML: line "):
        read_card(card)
    (tmp_path / "d.yaml").write_text("presets: 3")
    with pytest.raises(ConfigError, match=f"^{tmp_path / 'd.yaml'}: 'presets' must be a mapping"):
        presets(spec)


@pytest.mark.parametrize(
    "reference", ["nonsense", "json:", "no_such_module_xyz:A", "json:NoSuchClass", ":x"]
)
def test_resolve_says_what_is_wrong(reference: str) -> None:
    with pytest.raises(PluginError, match=r"json|nonsense|no_such|:x"):
        resolve(reference)
    with pytest.raises(PluginError):
        resource(reference)
