"""Broken YAML is one sentence wherever it is read: file, line, column, and what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness
from harness import config, documents
from harness.config.reading import read_yaml as read_config
from harness.documents import read_yaml, yaml_fault
from harness.errors import HarnessError
from harness.launch.plan import read_plan
from harness.plugins.cards import content_of

READERS: dict[str, Callable[[Path], Any]] = {
    "document": read_yaml,
    "configuration": read_config,
    "plan": read_plan,
    "card": lambda path: content_of(path.read_bytes(), str(path)),
}
# Text, and the line where it breaks: an open mapping, a bad indent, a tab, a key without a value.
BROKEN = {
    "a: {b: 1]": 1, "a:\n  b: [1, 2\nc: 3": 3, "a: 1\n b: 2": 2, "a:\n\tb: 1": 2,
    "models: [cc]\ndatasets: {mosi: 1,\nseeds: ]": 3,
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", BROKEN)
def test_file_line_and_column_in_one_line(reader: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(HarnessError) as caught:
        READERS[reader](path)
    said = str(caught.value)
    found = re.match(re.escape(f"{path} is not valid YAML: line ") + r"(\d+), column \d+: \S", said)
    assert found is not None, said
    assert int(found[1]) == BROKEN[text] and "\n" not in said and "string>" not in said


def test_what_has_no_place_is_its_first_line() -> None:
    assert yaml_fault(ValueError("too long.\nand more")) == "too long"
    assert yaml_fault(RecursionError()) == "RecursionError"


def test_every_reader_says_it_so() -> None:
    """Where an error of YAML is caught, `yaml_fault` words it."""
    root = Path(str(harness.__file__)).parent
    catching = [p for p in root.rglob("*.py") if "except (yaml.YAMLError" in p.read_text()]
    assert {Path(config.__file__).parent / "reading.py", Path(documents.__file__)} <= set(catching)
    assert [path.name for path in catching if "yaml_fault(error)" not in path.read_text()] == []
