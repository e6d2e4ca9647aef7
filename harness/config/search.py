"""What a search may set, and what it found: the keys ``space`` and ``search`` of a model's card.

space:
  rate: {training.lr: [3e-4, 1e-2]}              # log-uniform between two numbers
  dropout: {model.dropout: [0.0, 0.4]}           # uniform between two numbers
  width: {model.hidden_size: [32, 64], model.heads: [2, 4]}     # columns of a table

A point of the unit cube has a coordinate for each of the three; all keys of an axis follow its
coordinate, so that sizes which depend on a width stand in further columns. ``search`` holds per
layout of data what `harness tune --write` wrote: ``values`` by key, and where they come from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import ConfigError
from harness.specs import SEARCH

AXES = ("rate", "dropout", "width")
SPACE = "space"
_DIGITS = 3


@dataclass(frozen=True)
class Space:
    """The bounds of a model's search, by dotted key.

    Attributes:
        rate: lower and upper end, both above 0.
        dropout: lower and upper end.
        width: values to choose from, equally many for each key.
    """

    rate: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    dropout: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    width: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """Return all keys that the search sets."""
        return (*self.rate, *self.dropout, *self.width)

    def values(self, point: Sequence[float]) -> dict[str, Any]:
        """Return the values of a point by key, rounded to what a person would write.

        Args:
            point: coordinates of rate, dropout and width, each from 0 to below 1.
        """
        rate, dropout, width = point
        found: dict[str, Any] = {}
        for key, (low, high) in self.rate.items():
            exact = math.exp(math.log(low) + rate * (math.log(high) - math.log(low)))
            found[key] = float(f"{exact:.{_DIGITS}g}")
        for key, (low, high) in self.dropout.items():
            found[key] = round(low + dropout * (high - low), 2)
        for key, choices in self.width.items():
            found[key] = choices[int(width * len(choices))]
        return found

    def point(self, values: Mapping[str, Any]) -> list[float] | None:
        """Return a point of the unit cube with these values; None: they are out of the bounds.

        Args:
            values: by key, as of `values`; the first key of an axis stands for all of it.
        """
        found = {axis: 0.5 for axis in AXES}
        for key, (low, high) in [*self.rate.items()][:1]:
            if not low <= values[key] <= high:
                return None
            if low < high:
                found["rate"] = math.log(values[key] / low) / math.log(high / low)
        for key, (low, high) in [*self.dropout.items()][:1]:
            if not low <= values[key] <= high:
                return None
            if low < high:
                found["dropout"] = (values[key] - low) / (high - low)
        for key, choices in [*self.width.items()][:1]:
            if values[key] not in choices:
                return None
            found["width"] = (choices.index(values[key]) + 0.5) / len(choices)
        return [found[axis] for axis in AXES]

    def as_dict(self) -> dict[str, Any]:
        """Return the bounds as JSON values."""
        axes = {name: getattr(self, name) for name in AXES}
        return {n: {k: list(v) for k, v in axis.items()} for n, axis in axes.items() if axis}


def read_space(content: Mapping[str, Any], origin: str) -> Space | None:
    """Return the space of a model's configuration; None: it has none.

    Args:
        content: as of `harness.config.plugin_defaults`.
        origin: the file, for messages.

    Raises:
        ConfigError: an axis or a value is not as documented.
    """
    found = content.get(SPACE)
    if found is None:
        return None
    if not isinstance(found, Mapping) or set(found) - set(AXES):
        raise ConfigError(f"{origin}: {SPACE!r} must be a mapping with {', '.join(AXES)}.")
    axes: dict[str, dict[str, Any]] = {}
    for name in AXES:
        axis = found.get(name) or {}
        if not isinstance(axis, Mapping):
            raise ConfigError(f"{origin}: {SPACE}.{name} must be a mapping of keys to lists.")
        axes[name] = {str(key): _choices(name, key, v, origin) for key, v in axis.items()}
    lengths = {len(choices) for choices in axes["width"].values()}
    if len(lengths) > 1:
        raise ConfigError(f"{origin}: {SPACE}.width: all keys need equally many values.")
    space = Space(**axes)
    if not space.keys:
        raise ConfigError(f"{origin}: {SPACE!r} sets no key.")
    return space


def _choices(axis: str, key: Any, found: Any, origin: str) -> tuple[Any, ...]:
    where = f"{origin}: {SPACE}.{axis}.{key}"
    if not isinstance(found, list) or not found:
        raise ConfigError(f"{where} must be a list of values.")
    if axis == "width":
        return tuple(found)
    numbers = [v for v in found if isinstance(v, int | float) and not isinstance(v, bool)]
    least = 0 if axis == "dropout" else math.ulp(0)
    if len(numbers) != 2 or len(found) != 2 or not least <= numbers[0] <= numbers[1]:
        above = "" if axis == "dropout" else " above 0"
        raise ConfigError(f"{where} must be two numbers{above}, the lower one first.")
    return float(numbers[0]), float(numbers[1])


def read_search(content: Mapping[str, Any], layout: str, origin: str) -> Mapping[str, Any] | None:
    """Return what a search found for a layout of data; None: there was none.

    Raises:
        ConfigError: it is not as `harness tune --write` writes it.
    """
    found = content.get(SEARCH)
    found = found.get(layout) if isinstance(found, Mapping) else found
    if found is None:
        return None
    if not isinstance(found, Mapping) or not isinstance(found.get("values"), Mapping):
        raise ConfigError(f"{origin}: {SEARCH}.{layout} must be a mapping with 'values'.")
    return found


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted key as nested mappings."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        *parents, name = key.split(".")
        inner = found
        for part in parents:
            inner = inner.setdefault(part, {})
        inner[name] = value
    return found
