"""Values and tables are read strictly: each fault names file, place, expected and found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.values import (
    name,
    number,
    read_json,
    read_json_object,
    read_table,
    shown,
    whole,
    whole_text,
)
from harness.errors import DataFormatError

FILE = Path("x.csv")


@pytest.mark.parametrize("value", [4, np.int8(4), 4.0, np.float32(4)])
def test_whole_numbers(value: Any) -> None:
    assert whole(FILE, "tgt[0]", value) == 4


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (4.99, "4.99"), ("4", "'4'"), (None, "None"), (True, "True"), ([2], "a list"),
        (float("nan"), "nan"), ("", "nothing"), (np.zeros(2), "float64 array"),
    ],
)  # fmt: skip
def test_what_is_no_whole_number(value: Any, said: str) -> None:
    with pytest.raises(
        DataFormatError, match=r"x\.csv, tgt\[0\]: expected whole numbers, found "
    ) as e:
        whole(FILE, "tgt[0]", value)
    assert said in str(e.value)


def test_names() -> None:
    assert [name(FILE, "id", v) for v in ("a", b"b", 7, np.str_("c"))] == ["a", "b", "7", "c"]
    for value in ("", "  ", None, [], b"\xff", 1.5, True):
        with pytest.raises(DataFormatError, match="expected a name, found "):
            name(FILE, "id", value)


@pytest.mark.parametrize("text", ["1", " -1.5e-3 ", ".5", "5."])
def test_numbers_of_tables(text: str) -> None:
    assert number(FILE, "line 2", text) == float(text)


@pytest.mark.parametrize(
    "text", ["", None, "nan", "inf", "1_000", "0x10", "1e999", "1,5", "1e", "one", "١"]
)
def test_what_is_no_number_of_a_table(text: str | None) -> None:
    for read in (number, whole_text):
        with pytest.raises(DataFormatError, match="line 2: expected a"):
            read(FILE, "line 2", text)


@given(st.integers(-(10**15), 10**15))
def test_whole_numbers_of_tables_round_trip(value: int) -> None:
    assert whole_text(FILE, "", str(value)) == value
    assert whole_text(FILE, "", f"{value}.0") == value


def test_a_table_gives_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes('\ufeffa,b\r\n1,"two\nlines"\r\n\r\n3,é\r\n'.encode())
    assert list(read_table(path, ("a",))) == [
        (3, {"a": "1", "b": "two\nlines"}),
        (5, {"a": "3", "b": "é"}),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty file"),
        (b"a\n1\n", "header: expected a column 'b'"),
        (b"a,b,b\n1,2,3\n", "'b' once"),
        (b"a,b\n1,2,3\n", "line 2: 3 cells, the header has 2"),
        (b"a,b\n1,2\n1\n", "line 3: 1 cells, the header has 2"),
        (b"a,b\n" + b"x" * 140_000 + b",1\n", "line 2: a field of more than 131072 characters"),
        (b"a,b\n1,\xff\n", "line 2: expected UTF-8 text, found byte 0xff"),
        (b"\xff\xfea\x00", "UTF-16"),
    ],
)
def test_broken_tables(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_bytes(content)
    with pytest.raises(DataFormatError, match=r"own\.csv") as caught:
        list(read_table(path, ("a", "b")))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"{", b'{"a": NaN}', b'{"a": \xff}', b"[" * 100_000, b"1" * 5000, b"\xff\xfe{\x00", b""],
)
@pytest.mark.parametrize("read", [read_json, read_json_object])
def test_broken_json(content: bytes, read: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(content)
    with pytest.raises(DataFormatError, match=r"card\.json"):
        read(path, "Prepare again.")


def test_a_json_object_is_demanded(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text("[1]")
    assert read_json(path) == [1]
    with pytest.raises(DataFormatError, match=r"expected an object, found a list\. Prepare again"):
        read_json_object(path, "Prepare again.")


def test_values_are_shown_short() -> None:
    assert shown("x" * 500) == repr("x" * 60)
    assert [shown(v) for v in ({}, {1: 2}, (1,), 2.5)] == ["nothing", "a dict", "a tuple", "2.5"]
