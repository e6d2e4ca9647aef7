"""Types of configuration fields, as declared and as messages name them."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from dataclasses import is_dataclass
from functools import lru_cache
from typing import Any, Literal


def hint_at(cls: Any, path: Iterable[str]) -> Any:
    """Return the declared type of a nested field; Any where the path leads nowhere."""
    hint = cls
    for part in path:
        if is_dataclass(hint):
            hint = _hints_of(hint if isinstance(hint, type) else type(hint)).get(part, Any)
        elif typing.get_origin(hint) is dict:
            hint = typing.get_args(hint)[1]
        else:
            return Any
    return hint


@lru_cache(maxsize=256)
def _hints_of(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def is_union(hint: Any) -> bool:
    """Return whether a type is a union."""
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def accepts_text(hint: Any) -> bool:
    """Return whether a field takes text alone."""
    if typing.get_origin(hint) is Literal:
        return all(isinstance(v, str) for v in typing.get_args(hint))
    return hint is str


def expected(hint: Any) -> str:
    """Return a type as a message names it."""
    if typing.get_origin(hint) is Literal:
        return f"one of {', '.join(repr(v) for v in typing.get_args(hint))}"
    if is_union(hint):
        return " or ".join(expected(a) for a in typing.get_args(hint))
    if hint is type(None):
        return "null"
    if is_dataclass(hint):
        return "a mapping of keys"
    if typing.get_origin(hint) is not None:
        return str(hint).replace("typing.", "")
    return str(getattr(hint, "__name__", hint))
