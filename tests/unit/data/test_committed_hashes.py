"""Data sets have the content that the committed records were trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.data.locate import find_store
from harness.plugins import load
from harness.records.legacy import SUPERSEDED

RECORDS = Path(__file__).parents[3] / "leaderboards" / "records"
SHIPPED = "mosi@1"


def committed() -> dict[str, set[str]]:
    """Return the content hashes of the committed records by data set."""
    found: dict[str, set[str]] = {}
    for path in sorted(RECORDS.glob("*.json")):
        about = json.loads(path.read_text("utf-8"))["dataset"]
        name = about["id"] if about["id"] in SUPERSEDED else about["name"]
        found.setdefault(name, set()).add(about["content_hash"])
    return found


def test_the_committed_records_agree_on_the_content_of_each_data_set() -> None:
    hashes = committed()
    assert SHIPPED in hashes and sum(name.endswith("-twin") for name in hashes) >= 5
    assert all(len(known) == 1 for known in hashes.values())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == SHIPPED else pytest.mark.full)
        for name in sorted(committed())
    ],
)
def test_what_is_prepared_now_has_the_committed_hash(name: str, roots: Path) -> None:
    store = find_store(load().dataset(name))
    assert {store.content_hash} == committed()[name]
    assert store.recompute_hash() == store.content_hash
