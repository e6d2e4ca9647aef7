"""Plugins are loaded one by one; what is broken is listed and harms nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import registry
from harness.errors import PluginError, UnknownNameError
from harness.registry import Registry, load, resolve, resource, twin_of

HEAD = """
from harness.hookspecs import hookimpl
from harness.specs import DatasetSpec, ModalitySpec, ModelSpec
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


def reasons(found: Registry) -> str:
    return "\n".join(f"{b.name}|{b.plugin}|{b.reason}" for b in found.broken)


def test_a_file_resolves_its_own_classes_and_resources(tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text("presets: {}\n")
    found = load([write(tmp_path, "json")])  # a stem that a standard module has, too
    assert found.broken == []
    assert resolve(found.model("one").factory).value == 41
    assert resolve(found.dataset("one-data").corpus).value == 41
    assert resource(found.model("one").defaults) == tmp_path / "d.yaml"
    assert found.plugins[0].hooks == ("harness_datasets", "harness_models", "harness_provenance")
    assert found.hook.provenance() == {"json": {"who": "one"}}


def test_an_edited_file_is_loaded_again(tmp_path: Path) -> None:
    path = write(tmp_path, "mine")
    assert load([path]) is load([path])
    write(tmp_path, "mine", name="another")
    assert list(load([path]).models) == ["another"]


BROKEN = {
    "imports": ("import no_such_module_xyz", "ModuleNotFoundError"),
    "exits": ("raise SystemExit(3)", "SystemExit"),
    "syntax": ("def (", "SyntaxError"),
    "nohooks": ("x = 1", "implements no hook"),
    "raises": (HEAD + "@hookimpl\ndef harness_models():\n    1 / 0", "ZeroDivisionError"),
    "lazy": (HEAD + "@hookimpl\ndef harness_models():\n    yield 1 / 0", "ZeroDivisionError"),
    "none": (HEAD + "@hookimpl\ndef harness_models():\n    pass", "got NoneType"),
    "wrong": (HEAD + "@hookimpl\ndef harness_models():\n    return ['x']", "got str"),
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
def test_a_broken_plugin_is_listed_and_the_rest_works(tmp_path: Path, case: str) -> None:
    text, part = BROKEN[case]
    files = [write(tmp_path, f"bad_{case}", text), write(tmp_path, "good")]
    found = load(files)
    assert list(found.models) == ["one"]
    assert [b.plugin for b in found.broken] == [f"bad_{case}"]
    assert part in reasons(found)
    with pytest.raises(PluginError, match=f"bad_{case}"):
        load(files, strict=True)


def test_strict_by_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_STRICT", "1")
    with pytest.raises(PluginError, match="HARNESS_STRICT"):
        load([str(tmp_path / "none.py")])


def test_the_second_of_two_equal_names_is_reported(tmp_path: Path) -> None:
    found = load([write(tmp_path, "first"), write(tmp_path, "second")])
    assert found.models["one"].plugin == "first"
    assert "one|second|harness_models: one: the name is already taken by plugin 'first'" in reasons(
        found
    )


def test_two_files_of_one_stem(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    found = load([write(tmp_path, "same"), write(tmp_path / "other", "same", name="two")])
    assert list(found.models) == ["one"]
    assert "already taken" in reasons(found)


def test_observers_are_guarded(tmp_path: Path) -> None:
    bad = write(tmp_path, "bad", HEAD + "@hookimpl\ndef harness_run_start(run):\n    run['x']")
    text = HEAD + "seen = []\n@hookimpl\ndef harness_run_start(run):\n    seen.append(dict(run))"
    found = load([bad, write(tmp_path, "good", text + "\n")])
    found.hook.run_start({"id": "r"})
    assert "bad|bad|harness_run_start: KeyError" in reasons(found)
    found.hook.epoch_end({}, 0, {"loss": 1.0})


def test_entry_points_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "baselines, nothing")
    found = load()
    assert [p.name for p in found.plugins] == ["baselines"]
    assert "nothing" in reasons(found) and "not installed" in reasons(found)
    assert found.plugins[0].distribution == registry.FIRST_PARTY


def test_names_are_suggested_and_twins_known(tmp_path: Path) -> None:
    found = load([write(tmp_path, "good")])
    twin = found.dataset("one-data-twin")
    assert (twin.name, twin.source, twin.base_name) == ("one-data-twin", "twin", "one-data")
    assert twin_of(twin) == twin
    with pytest.raises(UnknownNameError, match="Did you mean 'one-data'"):
        found.dataset("one-dat")
    with pytest.raises(UnknownNameError, match="unknown model 'ona'"):
        found.model("ona")


@pytest.mark.parametrize(
    "reference", ["nonsense", "json:", "no_such_module_xyz:A", "json:NoSuchClass", ":x"]
)
def test_resolve_says_what_is_wrong(reference: str) -> None:
    with pytest.raises(PluginError, match=r"json|nonsense|no_such|:x"):
        resolve(reference)
    with pytest.raises(PluginError):
        resource(reference)
