"""Merging and checking a run's configuration.

Order, later wins: defaults of the dataclasses, the plugin's YAML (preset, its section for the
layout of the data, what a search found for that, its section for the data set), the user's YAML,
``--set``. OmegaConf checks every layer against the frozen dataclasses;
its complaints are put into our words, with the place they come from.
"""

from __future__ import annotations

import difflib
import json
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from harness.config.hints import accepts_text, expected, hint_at, is_union
from harness.config.layers import Layer, plugin_layers
from harness.config.ranges import check_ranges, short
from harness.config.reading import (
    SECTIONS,
    check_depth,
    found_text,
    mapping_at,
    read_yaml,
)
from harness.documents import first_line, yaml_fault
from harness.errors import ConfigError, PluginError
from harness.plugins import resolve, written
from harness.specs import DatasetSpec, ModelSpec, TrainingConfig

DEFAULT_THRESHOLD = 0.5
_NEWER = {"steps": 0, "schedule": "linear"}
"""Training keys that are told where they are not these: records from before them are alike."""


@dataclass(frozen=True)
class ResolvedConfig:
    """The configuration of a run.

    Attributes:
        model: an instance of the plugin's frozen Config.
        training: the recipe of the training loop.
        threshold: the declared decision threshold, from 0 to 1.
        preset: name of the preset; None where the model has none.
        overrides: per key that the user set its resolved value, so that ``3e-3`` and ``0.003`` are
            one setting.
        file: content of the user's configuration file; None: there is none.
    """

    model: Any
    training: TrainingConfig
    threshold: float
    preset: str | None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    file: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON values, for the record and its fingerprint."""
        training = asdict(self.training)
        for name, default in _NEWER.items():
            if training[name] == default:
                training.pop(name)
        return {
            "preset": self.preset,
            "threshold": self.threshold,
            "training": training,
            "model": _json(asdict(self.model)),
        }


def resolve_config(
    model: ModelSpec,
    dataset: DatasetSpec,
    preset: str | None,
    user_file: Path | Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    *,
    searched: bool = True,
) -> ResolvedConfig:
    """Merge all layers and check them; a twin uses its data set's section.

    What the data set's protocol fixes for every model (``DatasetSpec.sampler``, ``.threshold``)
    overrides the plugin's layers and is overridden by the user's.

    Args:
        model: the model.
        dataset: the data set.
        preset: name of a preset; None for a model without presets.
        user_file: a YAML file, or its content.
        overrides: ``key=value`` texts.
        searched: whether ``tuned`` has the values that a search found, or those it starts from.

    Raises:
        ConfigError: an unknown key or preset, a value of the wrong type or out of its range; names
            where it stands.
        PluginError: the model cannot be imported or has no frozen Config.
    """
    config_class = getattr(resolve(model.factory, f"model {model.name!r}"), "Config", None)
    if not isinstance(config_class, type) or not is_dataclass(config_class):
        factory = written(model.factory)
        raise PluginError(f"model {model.name!r}: {factory} has no dataclass named Config.")
    classes = {"model": config_class, "training": TrainingConfig}
    layers = [*plugin_layers(model, dataset, preset, searched), _protocol_layer(dataset)]
    file = read_yaml(user_file) if isinstance(user_file, Path) else user_file
    if file is not None:
        layers.append(Layer(str(user_file) if isinstance(user_file, Path) else "config", file))
    changes = [_override(text, classes) for text in overrides]
    layers += changes
    merged = {name: OmegaConf.structured(cls) for name, cls in classes.items()}
    threshold = DEFAULT_THRESHOLD
    for layer in layers:
        for key, value in layer.values.items():
            if key == "threshold":
                threshold = _threshold(value, layer.origin)
            elif key in merged:
                values = mapping_at(layer.values, key, layer.origin)
                if key == "training" and "epochs" in values:
                    values = {"steps": 0, **values}  # the later of the two holds
                _check_values(values, classes[key], key, layer.origin)
                merged[key] = _merge(merged[key], values, classes[key], key, layer.origin)
            else:
                raise _unknown_key(str(key), SECTIONS, "", layer.origin)
    objects: dict[str, Any] = {}
    for name, config in merged.items():
        plain_values = typing.cast(dict[str, Any], OmegaConf.to_container(config))
        check_ranges(classes[name], plain_values, name)
        try:
            objects[name] = OmegaConf.to_object(config)
        # A Config may check itself in __post_init__; its complaint is the message.
        except (ValueError, TypeError, OmegaConfBaseException) as error:
            raise ConfigError(f"{name} config of {model.name!r}: {first_line(error)}.") from error
    plain = ResolvedConfig(objects["model"], objects["training"], threshold, preset, {}, file)
    values = plain.as_dict()
    values["training"] = asdict(plain.training)
    return replace(
        plain, overrides={k: v for c in changes for k, v in _resolved(c.values, values, "")}
    )


def _protocol_layer(dataset: DatasetSpec) -> Layer:
    values: dict[str, Any] = {}
    if dataset.sampler is not None:
        values["training"] = {"sampler": dataset.sampler}
    if dataset.threshold is not None:
        values["threshold"] = dataset.threshold
    return Layer(f"data set {dataset.name!r}", values)


def _override(text: str, classes: Mapping[str, type]) -> Layer:
    """Return the layer of one ``--set key=value``; the value is YAML, or text for text fields."""
    origin = f"--set {short(text)}"
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"{origin}: write it as key=value, for example training.lr=1e-4.")
    section, fields = parts[0], parts[1:]
    if section not in SECTIONS or (section == "threshold") == bool(fields):
        keys = [f"{s}.{f}" for s, c in classes.items() for f in typing.get_type_hints(c)]
        exact = [k for k in keys if k.endswith(f".{parts[-1]}")]
        raise _unknown_key(key, [*keys, "threshold"], "", origin, exact[:1])
    hint = hint_at(classes[section], fields) if fields else float
    parsed: Any = _text(value) if accepts_text(hint) else _parse_value(value, origin)
    for name in reversed(fields):
        parsed = {name: parsed}
    return Layer(origin, {section: parsed})


def _text(value: str) -> str:
    """Return the value of a text field: as it is, or the text that a quoted one stands for."""
    try:
        quoted = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return quoted if isinstance(quoted, str) else value


def _parse_value(value: str, origin: str) -> Any:
    try:
        check_depth(value)
        parsed = OmegaConf.to_container(OmegaConf.from_dotlist([f"x={value}"]))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise ConfigError(f"{origin}: the value is not valid YAML: {yaml_fault(error)}.") from error
    return typing.cast(dict[str, Any], parsed)["x"]


def _merge(
    config: DictConfig, values: Mapping[str, Any], cls: type, section: str, origin: str
) -> DictConfig:
    try:
        return typing.cast(DictConfig, OmegaConf.merge(config, values))
    except ConfigKeyError as error:
        *parents, name = [p for p in str(error.full_key).split(".") if p]
        owner = hint_at(cls, parents)
        known = list(typing.get_type_hints(owner)) if is_dataclass(owner) else []
        raise _unknown_key(name, known, ".".join([section, *parents]), origin) from error
    # OverflowError: a whole number that no float holds.
    except (OmegaConfBaseException, ValueError, TypeError, OverflowError) as error:
        path = [p for p in str(getattr(error, "full_key", "") or "").split(".") if p]
        found: Any = values
        for part in path:
            found = found.get(part) if isinstance(found, Mapping) else found
        raise _wrong_type(".".join([section, *path]), hint_at(cls, path), found, origin) from error


def _check_values(values: Mapping[str, Any], cls: type, prefix: str, origin: str) -> None:
    """Refuse what OmegaConf would convert or expand in silence."""
    for path, value in _leaves(values, ()):
        hint, key = hint_at(cls, path), ".".join([prefix, *path])
        if isinstance(value, int) and abs(value) > sys.float_info.max:
            raise ConfigError(f"{origin}: {key} must be finite, found {found_text(value)}.")
        if isinstance(value, str) and ("${" in value or value == "???"):
            raise ConfigError(f"{origin}: {key}: {value!r}: references are not supported.")
        options = typing.get_args(hint) if is_union(hint) else (hint,)
        if isinstance(value, bool) and bool not in options and {str, float} & set(options):
            quote = "; quote it" if str in options else ""
            raise ConfigError(f"{_wrong_type(key, hint, value, origin)}"[:-1] + f"{quote}.")
        if bool in options and not isinstance(value, (bool, str, types.NoneType)):
            raise _wrong_type(key, hint, value, origin)


def _leaves(
    values: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in values.items():
        here = (*path, str(key))
        if isinstance(value, Mapping):
            yield from _leaves(value, here)
        else:
            yield here, value


def _threshold(value: Any, origin: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong_type("threshold", float, value, origin)
    if not 0 <= value <= 1:
        raise ConfigError(
            f"{origin}: threshold must lie between 0 and 1, found {short(repr(value))}."
        )
    return float(value)


def _resolved(
    asked: Mapping[str, Any], values: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Any]]:
    """Yield the keys of one override with their resolved values."""
    for key, value in asked.items():
        found = values[key]
        if isinstance(value, Mapping) and isinstance(found, Mapping):
            yield from _resolved(value, found, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", found


def _unknown_key(
    key: str, known: Iterable[str], parent: str, origin: str, near: Sequence[str] = ()
) -> ConfigError:
    names = list(known)
    prefix = f"{parent}." if parent else ""
    close = near or difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    hint = f" Did you mean {prefix + close[0]!r}?" if close else ""
    return ConfigError(
        f"{origin}: unknown key {prefix + key!r}.{hint} Known: {', '.join(sorted(names))}."
    )


def _wrong_type(key: str, hint: Any, value: Any, origin: str) -> ConfigError:
    return ConfigError(f"{origin}: {key}: expected {expected(hint)}, found {found_text(value)}.")


def _json(value: Any) -> Any:
    """Return nested values with lists for tuples and text keys, as JSON has them."""
    if isinstance(value, Mapping):
        return {str(k): _json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(v) for v in value]
    return value
