"""Mappings of YAML files, read strictly, and what is said of their faults."""

from __future__ import annotations

import io
from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harness.config.ranges import short
from harness.documents import yaml_fault
from harness.errors import ConfigError

SECTIONS = ("model", "training", "threshold")
_DEPTH = 100


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        ConfigError: it cannot be read, is no YAML, or holds no mapping.
    """
    try:
        content = deepcopy(_content(path.read_text("utf-8")))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}.") from error
    # ValueError: no UTF-8, or a number of thousands of digits.
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML: {yaml_fault(error)}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold a mapping with the keys {', '.join(SECTIONS)}.")
    return {str(k): v for k, v in content.items()}


@lru_cache(maxsize=128)
def _content(text: str) -> Any:
    """Return what a YAML text holds; a card is read for each of the many runs of a plan."""
    check_depth(text)
    return OmegaConf.to_container(OmegaConf.load(io.StringIO(text)))


def check_depth(text: str) -> None:
    """Refuse a YAML text whose nesting would exhaust the stack of the C library that builds it.

    Raises:
        ValueError: it nests deeper than `_DEPTH`.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH:
            raise ValueError(f"it is nested more than {_DEPTH} levels deep")


def mapping_at(values: Mapping[str, Any], key: str, origin: str) -> dict[str, Any]:
    """Return a nested mapping; empty where the key is absent or has no value."""
    held = values.get(key)
    if held is None:
        return {}
    if not isinstance(held, dict):
        raise ConfigError(f"{origin}: {key!r} must be a mapping of keys, found {found_text(held)}.")
    return {str(k): v for k, v in held.items()}


def found_text(value: Any) -> str:
    """Return a value and its type as messages show them."""
    return f"{short(repr(value))} ({type(value).__name__})"
