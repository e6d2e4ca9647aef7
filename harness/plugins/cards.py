"""Cards: all facts about a model or a data set in one YAML file, read without importing its code.

A model's card holds the fields of `ModelSpec` by name (``defaults`` is the card itself) beside the
configuration that `harness.config` reads: ``threshold``, ``presets``, ``model``, ``training``,
and ``space`` and ``search`` of ``harness tune``. A data set's card holds the fields of
`DatasetSpec`.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal

from harness.documents import yaml_fault
from harness.errors import PluginError
from harness.paths import atomic_write_text, storage_errors
from harness.plugins.references import resource, written
from harness.specs import CARD_FIELDS, DatasetSpec, ModelSpec

CONFIGURATION = ("threshold", "presets", "model", "training", "space", "search")


def read_card(reference: str) -> ModelSpec:
    """Return the model that a card describes.

    Args:
        reference: ``"package:file.yaml"``; a plugin file names its own folder by
            ``f"{__name__}:file.yaml"``.

    Raises:
        PluginError: there is no such file, it is not YAML, or a key is missing, unknown or of
            another type than documented; names file, key, what is expected and what was found.
    """
    content = read_content(reference)
    place = written(reference)
    unknown = [key for key in content if key not in CARD_FIELDS and key not in CONFIGURATION]
    if unknown:
        known = ", ".join((*CARD_FIELDS, *CONFIGURATION))
        raise PluginError(f"{place}: unknown key {unknown[0]!r}; known: {known}")
    facts = {key: value for key, value in content.items() if key in CARD_FIELDS}
    spec: ModelSpec = _dataclass(ModelSpec, {**facts, "defaults": reference}, reference, "")
    return spec


def read_dataset_card(reference: str) -> DatasetSpec:
    """Return the data set that a card describes; arguments and errors as of `read_card`."""
    return dataset_of_card(read_content(reference), reference)


def dataset_of_card(content: Mapping[str, Any], reference: str) -> DatasetSpec:
    """Return the data set that a card's content describes; errors as of `read_card`.

    Args:
        content: the card's keys and plain values.
        reference: where they stand, for messages.
    """
    spec: DatasetSpec = _dataclass(DatasetSpec, content, reference, "")
    return spec


def write_key(reference: str, key: str, value: Any, comment: str) -> None:
    """Write one key of a card anew, at its end; everything else stays to the letter.

    Args:
        reference: the card, as of `read_card`.
        key: a key of its outermost mapping.
        value: plain values.
        comment: a line above the key.

    Raises:
        PluginError: the card is not there, or its text is not one that a key can be taken out of.
        StorageError: it cannot be written.
    """
    import yaml

    path, place = resource(reference), written(reference)
    before = read_content(reference)
    with storage_errors(path):
        lines = path.read_text("utf-8").splitlines()
    above = f"# {comment}"
    kept, inside = [], False
    for line in lines:
        if line and not line[0].isspace():
            inside = line.startswith(f"{key}:")
        if not inside and line != above:
            kept.append(line)
    text = yaml.safe_dump(
        {key: value}, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None
    )
    whole = "\n".join(kept).rstrip() + f"\n\n{above}\n{text}"
    if yaml.safe_load(whole) != {**before, key: yaml.safe_load(text)[key]}:
        raise PluginError(f"{place}: {key!r} cannot be written; put it in a block of its own.")
    atomic_write_text(path, whole)


def read_content(reference: str) -> dict[str, Any]:
    """Return a card's content as plain values; arguments and errors as of `read_card`."""
    path = resource(reference)
    try:
        text = path.read_bytes()
    except OSError as error:
        reason = f"{written(reference)} cannot be read: {error.strerror or error}"
        raise PluginError(reason) from error
    return content_of(text, reference)


def content_of(text: bytes, reference: str) -> dict[str, Any]:
    """Return the plain values that the text of a card holds; arguments as of `dataset_of_card`."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Refuses a key that stands twice in one mapping; PyYAML keeps the last."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = set()
            for key, _ in node.value:
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    place = written(reference)
    try:
        content = yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PluginError(f"{place} is not valid YAML: {yaml_fault(error)}") from error
    if not isinstance(content, dict):
        raise PluginError(f"{place}: expected a mapping of keys, found {_found(content)}")
    return {str(key): value for key, value in content.items()}


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _dataclass(cls: Any, values: Any, reference: str, key: str) -> Any:
    """Return ``values`` as an instance of a dataclass, its fields checked."""
    if not isinstance(values, Mapping):
        raise _wrong(reference, key, "a mapping of keys", values)
    prefix = f"{key}." if key else ""
    hints, place = _hints(cls), written(reference)
    for name in values:
        if name not in hints:
            raise PluginError(f"{place}: unknown key '{prefix}{name}'; known: {', '.join(hints)}")
    for field in fields(cls):
        required = field.default is MISSING and field.default_factory is MISSING
        if required and field.name not in values:
            expected = _expected(hints[field.name])
            raise PluginError(f"{place}: {prefix}{field.name} is missing; expected {expected}")
    return cls(**{n: _converted(hints[n], v, reference, f"{prefix}{n}") for n, v in values.items()})


def _converted(hint: Any, value: Any, reference: str, key: str) -> Any:
    """Return a YAML value as a field's type has it."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        if value is None and type(None) in typing.get_args(hint):
            return None
        (hint,) = (a for a in typing.get_args(hint) if a is not type(None))
    if is_dataclass(hint):
        return _dataclass(hint, value, reference, key)
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)
        if not isinstance(value, list) or (inner[-1] is not Ellipsis and len(inner) != len(value)):
            raise _wrong(reference, key, _expected(hint), value)
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(
            _converted(kind, v, reference, f"{key}[{i}]")
            for i, (kind, v) in enumerate(zip(kinds, value, strict=True))
        )
    if typing.get_origin(hint) is Literal:
        if value not in typing.get_args(hint):
            raise _wrong(reference, key, _expected(hint), value)
        return value
    if type(value) is not hint:
        raise _wrong(reference, key, _expected(hint), value)
    return value


def _expected(hint: Any) -> str:
    """Return a field's type as a reader of YAML would name it."""
    names = {str: "text", int: "a whole number", bool: "true or false", type(None): "null"}
    if hint in names:
        return names[hint]
    if typing.get_origin(hint) is Literal:
        return f"one of {', '.join(typing.get_args(hint))}"
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)
        if inner[-1] is Ellipsis:
            return f"a list, each {_expected(inner[0])}"
        return f"a list of {len(inner)}: {', '.join(map(_expected, inner))}"
    if is_dataclass(hint):
        return f"a mapping with {', '.join(f.name for f in fields(hint))}"
    return " or ".join(map(_expected, typing.get_args(hint)))


def _wrong(reference: str, key: str, expected: str, value: Any) -> PluginError:
    return PluginError(f"{written(reference)}: {key}: expected {expected}, found {_found(value)}")


def _found(value: Any) -> str:
    return "nothing" if value is None else f"{value!r} ({type(value).__name__})"
