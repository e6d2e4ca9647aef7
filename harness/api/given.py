"""Models as a caller gives them: a name, a plugin file, a class or a spec; also words and lists."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

from harness.documents import comma_list
from harness.errors import PluginError, UsageError
from harness.plugins import Entry, Registry, load, plugin_names
from harness.specs import ModelSpec

if TYPE_CHECKING:
    from harness.model import ModelPlugin

Files: TypeAlias = "str | Path | Sequence[str | Path]"
Model: TypeAlias = "str | Path | type[ModelPlugin] | ModelSpec"


def words(value: str | int | Iterable[str | int]) -> list[str]:
    """Return the parts of a comma list, or of several, each once.

    Raises:
        UsageError: a part of one is empty.
    """
    texts = [value] if isinstance(value, str | int) else value
    return list(dict.fromkeys(part for text in texts for part in comma_list(str(text))))


def seeds_of(value: int | str | Iterable[int]) -> list[int]:
    """Return the seeds: 3 is the one seed 3, ``"0,1,2"`` and ``[0, 1, 2]`` are three.

    Raises:
        UsageError: none, an empty part, or something that is no whole number.
    """
    try:
        seeds = [int(seed) for seed in words(value)]
    except (TypeError, ValueError) as error:
        raise UsageError(f"seeds={value!r}: give 3, '0,1,2' or [0, 1, 2].") from error
    if not seeds:
        raise UsageError("no seed given; seeds=0 is one run.")
    return seeds


def registry_of(plugins: Files) -> Registry:
    """Return the registry with plugin files loaded."""
    return load(_files(plugins))


def add_models(models: Iterable[Model], plugins: Files) -> tuple[Registry, list[str], list[str]]:
    """Return the registry with the models a caller gives, their names, and all plugin files.

    Classes and specs are added to a copy: other calls do not know them.

    Raises:
        UnknownNameError: a name that nothing is registered under.
        UsageError: a file with several models, or a class that is no model.
        PluginError: a name that an installed plugin has, too, or a file that cannot be loaded.
    """
    asked = list(models)
    own = [str(m) for m in asked if _is_file(m)]
    files = list(dict.fromkeys([*_files(plugins), *own]))
    registry = load(files)
    names: list[str] = []
    for model in asked:
        if _is_file(model):
            names.append(_only_model(registry, Path(str(model))))
        elif isinstance(model, str):
            names += [registry.model(name).name for name in words(model)]
        else:
            spec = model if isinstance(model, ModelSpec) else _spec_of(model)
            known = registry.models.get(spec.name)
            if known is not None and known.spec != spec:
                raise PluginError(
                    f"the model {spec.name!r} given here has the name of a model of plugin "
                    f"{known.plugin!r}; give it another name."
                )
            plugin = spec.factory.partition(":")[0]
            entry = Entry(spec, plugin, "", spec.version)
            registry = replace(registry, models={**registry.models, spec.name: known or entry})
            names.append(spec.name)
    return registry, list(dict.fromkeys(names)), files


def _files(plugins: Files) -> list[str]:
    return [str(f) for f in ([plugins] if isinstance(plugins, str | Path) else plugins)]


def _is_file(model: object) -> bool:
    return isinstance(model, Path) or (isinstance(model, str) and model.endswith(".py"))


def _only_model(registry: Registry, path: Path) -> str:
    own = plugin_names(path)
    names = [name for name, entry in registry.models.items() if entry.plugin in own]
    if len(names) != 1:
        raise UsageError(
            f"{path.name} defines {'the models ' + ', '.join(names) if names else 'no model'}; "
            f"name one model and give the file as plugins={path.name!r}."
        )
    return names[0]


def _spec_of(model: object) -> ModelSpec:
    """Return the spec of a class, named as the class is."""
    from harness.model import ModelPlugin

    if not (isinstance(model, type) and issubclass(model, ModelPlugin)):
        raise UsageError(
            f"a model is a name, a plugin file, a ModelSpec or a subclass of harness.ModelPlugin, "
            f"not {model!r}."
        )
    about = (inspect.getdoc(model) or "").partition("\n")[0]
    return ModelSpec(model.__name__, _reference(model), about, "")


def _reference(model: type) -> str:
    """Return ``"module:Class"`` for a class.

    The module is its own where the class stands at the top of an importable file; else (a script,
    a notebook, a function) one made for it, whose name holds a digest of the source text.
    """
    module = sys.modules.get(model.__module__)
    at_top = getattr(module, model.__name__, None) is model
    if at_top and model.__module__ != "__main__":
        return f"{model.__module__}:{model.__name__}"
    try:
        text = inspect.getsource(model)
    except (OSError, TypeError) as error:
        raise UsageError(
            f"the source text of {model.__name__} is not known, so a later change of it could not "
            "be noticed; write the class into a file or a notebook."
        ) from error
    path = Path(getattr(module, "__file__", None) or "")
    text += path.read_text("utf-8") if path.is_file() else ""  # what the class uses of its file
    name = f"harness_given_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    made = sys.modules.setdefault(name, ModuleType(name))
    made.__spec__ = ModuleSpec(name, None)
    if at_top and path.is_file():  # its code is then followed as that of a plugin file
        made.__file__ = str(path)
    setattr(made, model.__name__, model)
    return f"{name}:{model.__name__}"
