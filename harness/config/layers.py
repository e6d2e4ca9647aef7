"""The layers of a configuration that a model's plugin gives: presets, and what a search found."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.config.reading import mapping_at, read_yaml
from harness.config.search import SPACE, nested, read_search
from harness.errors import ConfigError
from harness.plugins import resource, written
from harness.specs import CARD_FIELDS, SEARCH, DatasetSpec, ModelSpec

TUNED, QUICK = "tuned", "quick"
_FEWER = 5
_PARTS = ("layouts", "datasets")


@dataclass(frozen=True)
class Layer:
    """Values of one source; ``origin`` says where they stand, for messages."""

    origin: str
    values: Mapping[str, Any]


def presets(model: ModelSpec) -> list[str]:
    """Return the names of a model's presets; empty where it has none.

    A model with ``tuned`` has ``quick``: a fifth of its steps.
    """
    return _known(mapping_at(plugin_defaults(model), "presets", written(model.defaults)))


def _known(blocks: Mapping[str, Any]) -> list[str]:
    return [*blocks, *([QUICK] if TUNED in blocks and QUICK not in blocks else [])]


def default_preset(model: ModelSpec, dataset: DatasetSpec) -> str | None:
    """Return the preset used where none is asked for: `DatasetSpec.default_preset`.

    A model without ``tuned`` has its ``quick`` in its place, any model without the one that is
    wanted its first preset; None: it has no presets.
    """
    known, wanted = presets(model), dataset.default_preset
    choices = (wanted, QUICK) if wanted == TUNED else (wanted,)
    return next((name for name in (*choices, *known) if name in known), None)


def plugin_defaults(model: ModelSpec) -> dict[str, Any]:
    """Return the configuration in a model's card as plain values, without importing the model.

    Raises:
        PluginError: the file is not there.
        ConfigError: the file is no YAML mapping.
    """
    content = read_yaml(resource(model.defaults)) if model.defaults else {}
    is_card = "factory" in content
    return {k: v for k, v in content.items() if not (is_card and k in CARD_FIELDS)}


def plugin_layers(
    model: ModelSpec, dataset: DatasetSpec, preset: str | None, searched: bool
) -> list[Layer]:
    """Return what a model's file says for a data set under a preset, later ones winning.

    Args:
        model: the model.
        dataset: the data set.
        preset: name of a preset; None for a model without presets.
        searched: whether ``tuned`` has the values that a search found.

    Raises:
        ConfigError: the preset is not known, or the file is not as documented.
    """
    content, place = plugin_defaults(model), written(model.defaults)
    known = mapping_at(content, "presets", place)
    beside = ("presets", SPACE, SEARCH)
    layers = [Layer(place, {k: v for k, v in content.items() if k not in beside})]
    if not known:
        if preset is not None:
            raise ConfigError(f"model {model.name!r} has no presets; leave out --preset {preset}.")
        return layers
    if preset is None or preset not in _known(known):
        near = difflib.get_close_matches(str(preset), _known(known), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        if preset == TUNED:
            hint = " Its author has to give one (docs/tuning.md)."
        names = ", ".join(_known(known))
        raise ConfigError(f"model {model.name!r} has no preset {preset!r}.{hint} Known: {names}.")
    fewer = preset == QUICK and QUICK not in known
    name = TUNED if fewer else preset
    origin = f"{place}, preset {name!r}"
    chosen = mapping_at(known, name, place)
    layers.append(Layer(origin, {k: v for k, v in chosen.items() if k not in _PARTS}))
    layers += _part(chosen, "layouts", dataset.layout, origin)
    if name == TUNED and searched:
        found = read_search(content, dataset.layout, place)
        if found is not None:
            layers.append(Layer(f"{place}, {SEARCH}", nested(found["values"])))
    layers += _part(chosen, "datasets", dataset.recipe_name, origin)
    if fewer:
        steps = _steps(layers)
        if steps:
            layers.append(Layer(origin, {"training": {"steps": max(1, steps // _FEWER)}}))
    return layers


def _steps(layers: list[Layer]) -> int:
    """Return the optimiser steps that layers ask for; 0: training is counted in epochs."""
    steps = 0
    for layer in layers:
        training = mapping_at(layer.values, "training", layer.origin)
        steps = training.get("steps", 0 if "epochs" in training else steps)
    return steps if isinstance(steps, int) else 0


def searched_by(model: ModelSpec, dataset: DatasetSpec) -> int:
    """Return how many trials chose what ``tuned`` has on a data set; 0: no search did."""
    found = read_search(plugin_defaults(model), dataset.layout, written(model.defaults)) or {}
    return len(found.get("trials") or ())


def _part(chosen: Mapping[str, Any], kind: str, name: str, origin: str) -> list[Layer]:
    """Return the section of a preset for a layout or a data set, if there is one."""
    sections = mapping_at(chosen, kind, origin)
    if name not in sections:
        return []
    return [Layer(f"{origin}, {name}", mapping_at(sections, name, origin))]
