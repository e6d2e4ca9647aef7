"""Strict reading of values and text tables: what is not as documented is named, never guessed.

Every function takes ``where``, the place in the file as a reader of the message finds it
(``train/tgt[0]``, ``line 26, Dialogue_ID``), and raises a `DataFormatError` of one form:
"FILE, WHERE: expected ..., found ...".
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.documents import fail as fail
from harness.documents import read_json as read_json
from harness.documents import read_json_object as read_json_object
from harness.documents import read_text as read_text
from harness.documents import shown as shown
from harness.errors import DataFormatError

# The largest cell of a table, in characters: the csv module's own limit, kept where it is.
MAX_CELL = 131_072
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)


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
    header = _next(path, rows)
    if header is None:
        raise fail(path, "header", f"columns {', '.join(columns)}", "an empty file")
    for column in columns:
        if column not in header:
            raise fail(path, "header", f"a column {column!r}", ", ".join(map(repr, header)))
    for column in header:
        if header.count(column) > 1:
            raise fail(path, "header", f"the column {column!r} once", "it twice")
    while (cells := _next(path, rows)) is not None:
        if not cells:
            continue
        if len(cells) != len(header):
            raise DataFormatError(
                f"{path}, line {rows.line_num}: {len(cells)} cells, the header has {len(header)}."
            )
        yield rows.line_num, dict(zip(header, cells, strict=True))


def read_header(path: Path, text: str) -> list[str]:
    """Return the columns that the text of a CSV file names; empty: it has no line."""
    return _next(path, csv.reader(io.StringIO(text, newline=""))) or []


def _next(path: Path, rows: Any) -> list[str] | None:
    """Return the next row of a CSV reader, None at the end."""
    try:
        found: list[str] | None = next(rows, None)
    except csv.Error as error:
        reason = (
            f"a field of more than {MAX_CELL} characters" if "field larger" in str(error)
            else str(error)
        )  # fmt: skip
        raise DataFormatError(f"{path}, line {max(rows.line_num, 1)}: {reason}.") from error
    return found
