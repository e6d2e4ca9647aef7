"""Strict reading of values and text tables: what is not as documented is named, never guessed.

Every function takes ``where``, the place in the file as a reader of the message finds it
(``train/tgt[0]``, ``line 26, Dialogue_ID``), and raises a `DataFormatError` of one form:
"FILE, WHERE: expected ..., found ...".
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import DataFormatError
from harness.paths import storage_errors

# The largest cell of a table, in characters: the csv module's own limit, kept where it is.
MAX_CELL = 131_072
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_SHOWN = 60


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
    if isinstance(value, int | float | complex | np.generic):
        return str(value)[:_SHOWN]
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array of shape {value.shape}"
    kind = type(value).__name__
    if isinstance(value, list | tuple | dict | set | frozenset) and not value:
        return "nothing"
    return f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind}"


def whole(path: Path, where: str, value: Any, what: str = "whole numbers") -> int:
    """Return a number that is whole, an integer or a float such as 4.0; a boolean is none."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return int(value)
    raise fail(path, where, what, shown(value))


def name(path: Path, where: str, value: Any, what: str = "a name") -> str:
    """Return a name: text that is not blank, or a whole number (as its digits)."""
    if isinstance(value, bytes | np.bytes_):
        try:
            value = bytes(value).decode()
        except UnicodeDecodeError:
            raise fail(path, where, what, shown(value)) from None
    if isinstance(value, str) and value.strip():
        return str(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_):
        return str(int(value))
    blank = isinstance(value, str) and not value.strip()
    raise fail(path, where, what, "nothing" if blank else shown(value))


def number(path: Path, where: str, text: str | None, what: str = "a number") -> float:
    """Return the finite number that a cell of a table holds, written as decimals."""
    plain = (text or "").strip()
    if _NUMBER.fullmatch(plain):
        value = float(plain)
        if math.isfinite(value):
            return value
    raise fail(path, where, what, shown(plain))


def whole_text(path: Path, where: str, text: str | None, what: str = "a whole number") -> int:
    """Return the whole number that a cell of a table holds, as digits (or ``4.0``)."""
    plain = (text or "").strip()
    if _WHOLE.fullmatch(plain):
        return int(plain)
    if _NUMBER.fullmatch(plain) and float(plain).is_integer() and abs(float(plain)) < 2**53:
        return int(float(plain))
    raise fail(path, where, what, shown(plain))


def read_text(path: Path) -> str:
    """Return a file's UTF-8 text, without a byte order mark.

    Raises:
        DataFormatError: it is no UTF-8; names the place of the byte.
        StorageError: it cannot be read.
    """
    with storage_errors(path):
        content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise fail(path, "", "UTF-8 text", "UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise fail(
            path, f"line {line}", "UTF-8 text", f"byte {content[error.start]:#04x}"
        ) from None


def read_table(
    path: Path, columns: Sequence[str] = (), text: str | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and the cells by column of each row of a CSV file.

    Args:
        path: the file.
        columns: columns that must be there.
        text: the file's text where it has been read; None: it is read.

    Raises:
        DataFormatError: no header, a column that is not there or there twice, a row with more or
            fewer cells than the header, a cell that is too long; names the line.
    """
    rows = csv.reader(io.StringIO(read_text(path) if text is None else text, newline=""))
    try:
        header = next(rows, None)
        if header is None:
            raise fail(path, "header", f"columns {', '.join(columns)}", "an empty file")
        for column in columns:
            if column not in header:
                raise fail(path, "header", f"a column {column!r}", ", ".join(map(repr, header)))
        for column in header:
            if header.count(column) > 1:
                raise fail(path, "header", f"the column {column!r} once", "it twice")
        for cells in rows:
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataFormatError(
                    f"{path}, line {rows.line_num}: {len(cells)} cells, the header has "
                    f"{len(header)}."
                )
            yield rows.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        reason = (
            f"a field of more than {MAX_CELL} characters" if "field larger" in str(error)
            else str(error)
        )  # fmt: skip
        raise DataFormatError(f"{path}, line {max(rows.line_num, 1)}: {reason}.") from error


def read_json(path: Path, remedy: str = "") -> Any:
    """Return what a JSON file holds.

    Args:
        path: the file.
        remedy: what to do about a damaged file, as a sentence; it ends the message.

    Raises:
        DataFormatError: no UTF-8, no JSON, NaN or Infinity, a number of thousands of digits, or
            nested too deeply.
        StorageError: it cannot be read.
    """
    text = read_text(path)
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        ending = f" {remedy}" if remedy else ""
        raise DataFormatError(f"{path} is no JSON document ({reason}).{ending}") from error


def read_json_object(path: Path, remedy: str = "") -> dict[str, Any]:
    """Return the object that a JSON file holds; arguments and errors as of `read_json`."""
    found = read_json(path, remedy)
    if not isinstance(found, Mapping):
        ending = f" {remedy}" if remedy else ""
        raise DataFormatError(f"{path}: expected an object, found {shown(found)}.{ending}")
    return dict(found)


def _no_constant(text: str) -> Any:
    raise ValueError(f"it holds {text}, which is no JSON number")
