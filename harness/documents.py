"""Text, JSON and YAML, read strictly: what is not as documented is one message, never a guess."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import DataFormatError, UsageError
from harness.paths import storage_errors

_SHOWN = 60
# Digits of the largest whole number that is a float: longer ones overflow where figures are used.
_DIGITS = 300


def fail(path: Path, where: str, expected: str, found: str) -> DataFormatError:
    """Return the error that says what is not as documented."""
    place = f"{path}, {where}" if where else str(path)
    return DataFormatError(f"{place}: expected {expected}, found {found}.")


def shown(value: Any) -> str:
    """Return a value as a message shows it: short, with the type of what is no plain value."""
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, str | bytes):
        return repr(value[:_SHOWN]) if len(value) else "nothing"
    if isinstance(value, int | float | complex):
        return str(value)[:_SHOWN]
    if type(value).__module__.partition(".")[0] == "numpy":
        import numpy as np

        if isinstance(value, np.generic):
            return str(value)[:_SHOWN]
        if isinstance(value, np.ndarray):
            return f"{value.dtype} array of shape {value.shape}"
    kind = type(value).__name__
    if isinstance(value, list | tuple | dict | set | frozenset) and not value:
        return "nothing"
    return f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind}"


def comma_list(text: str, name: str = "") -> list[str]:
    """Return the parts of a comma list, each once; of blank text there are none.

    Args:
        text: as it was given.
        name: of the option, for the message.

    Raises:
        UsageError: a part is empty.
    """
    parts = [part.strip() for part in text.split(",")]
    if parts == [""]:
        return []
    if "" in parts:
        told = f"{name} {text!r}".strip()
        raise UsageError(f"{told}: a value is missing beside a comma; give it, or no comma.")
    return list(dict.fromkeys(parts))


def read_text(path: Path) -> str:
    """Return a file's UTF-8 text, without a byte order mark.

    Raises:
        DataFormatError: it is no UTF-8; names the place of the byte.
        StorageError: it cannot be read.
    """
    with storage_errors(path):
        content = path.read_bytes()
    return text_of(content, path)


def text_of(content: bytes, path: Path) -> str:
    """Return bytes as UTF-8 text, without a byte order mark; raises as `read_text`."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise fail(path, "", "UTF-8 text", "UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise fail(
            path, f"line {line}", "UTF-8 text", f"byte {content[error.start]:#04x}"
        ) from None


def read_json(path: Path, remedy: str = "") -> Any:
    """Return what a JSON file holds.

    Args:
        path: the file.
        remedy: what to do about a damaged file, as a sentence; it ends the message.

    Raises:
        DataFormatError: no UTF-8, no JSON, NaN or Infinity, a number of hundreds of digits, or
            nested too deeply.
        StorageError: it cannot be read.
    """
    with storage_errors(path):
        content = path.read_bytes()
    return _json_of(content, path, remedy)


def read_json_object(path: Path, remedy: str = "") -> dict[str, Any]:
    """Return the object that a JSON file holds; arguments and errors as of `read_json`."""
    with storage_errors(path):
        content = path.read_bytes()
    return json_object(content, path, remedy)


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        StorageError: it cannot be read.
        DataFormatError: it is not YAML.
    """
    import yaml

    with storage_errors(path):
        content = path.read_bytes()
    try:
        return yaml.safe_load(content.decode("utf-8"))
    # ValueError: no UTF-8, or a number of thousands of digits.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataFormatError(f"{path} is not valid YAML: {yaml_fault(error)}.") from error


def yaml_fault(error: Exception) -> str:
    """Return what a reader of YAML found wrong, as a clause: line, column, what, inside of what."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or not problem:
        return first_line(error)
    said = f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
    context, began = getattr(error, "context", None), getattr(error, "context_mark", None)
    if not context:
        return said
    return f"{said}, {context}" + (f" that begins in line {began.line + 1}" if began else "")


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text, without a full stop."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def json_object(content: bytes, path: Path, remedy: str = "") -> dict[str, Any]:
    """Return the object that the bytes of a JSON file hold.

    Args:
        content: the bytes.
        path: the file as messages name it.
        remedy: as of `read_json`, whose errors it raises.
    """
    found = _json_of(content, path, remedy)
    if not isinstance(found, Mapping):
        ending = f" {remedy}" if remedy else ""
        raise DataFormatError(f"{path}: expected an object, found {shown(found)}.{ending}")
    return dict(found)


def _json_of(content: bytes, path: Path, remedy: str) -> Any:
    ending = f" {remedy}" if remedy else ""
    try:
        return json.loads(
            text_of(content, path),
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_not_endless,
        )
    except RecursionError:
        reason = "it is nested too deeply"
    except DataFormatError as error:
        reason = str(error).removeprefix(str(path)).strip(",: .")
    except ValueError as error:
        reason = str(error)
    raise DataFormatError(f"{path} is no JSON document ({reason}).{ending}")


def _no_constant(text: str) -> Any:
    raise ValueError(f"it holds {text}, which is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds {text[:_SHOWN]}, which is beyond every number")
    return value


def _not_endless(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"it holds a number of {len(text)} digits")
    return int(text)
