"""Ranges of configuration values: those that fields declare, and those that every number has."""

from __future__ import annotations

import math
import operator
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from harness.errors import ConfigError

_MOST = 2**31 - 1
_SHOWN = 60  # characters of a value in a message
_BOUNDS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "least": (operator.ge, "at least"),
    "above": (operator.gt, "greater than"),
    "most": (operator.le, "at most"),
    "below": (operator.lt, "less than"),
}


def check_ranges(cls: Any, values: Mapping[str, Any], prefix: str) -> None:
    """Refuse values outside of the ranges that fields declare, and numbers no library takes.

    Args:
        cls: the dataclass that declares them (`harness.specs.bounded`).
        values: values by field.
        prefix: the key they stand under.

    Raises:
        ConfigError: names the key, the range and the value.
    """
    for declared in fields(cls):
        value, key = values.get(declared.name), f"{prefix}.{declared.name}"
        if isinstance(value, Mapping) and is_dataclass(hint := _hints(cls).get(declared.name)):
            check_ranges(hint, value, key)
            continue
        for number in _numbers(value):
            _check(number, key, declared.metadata)
        other = declared.metadata.get("divides")
        if other is not None and values[other] % value:
            raise ConfigError(
                f"{key} must divide {prefix}.{other} ({values[other]}), found {value}."
            )


def _check(number: float, key: str, declared: Mapping[str, Any]) -> None:
    whole = isinstance(number, int)  # of any number of digits, more than a float holds
    if (whole and abs(number) > _MOST) or (not whole and not math.isfinite(number)):
        raise ConfigError(
            f"{key} must be finite and at most 2^31 - 1, found {short(repr(number))}."
        )
    for bound, (fits, text) in _BOUNDS.items():
        limit = declared.get(bound)
        if limit is not None and not fits(number, limit):
            raise ConfigError(f"{key} must be {text} {limit}, found {number}.")


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def short(text: str) -> str:
    """Return a value's text as a message shows it."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


def _numbers(value: Any) -> Iterator[float]:
    """Yield the numbers of a field's value, those of its items included."""
    if isinstance(value, Mapping):
        value = list(value.values())
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(item, (list, tuple, Mapping)):
            yield from _numbers(item)
        elif isinstance(item, (int, float)) and not isinstance(item, bool):
            yield item
