"""Data sets have the content that the committed records were trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.locate import find_store
from harness.plugins import load
from harness.records.committed import CommittedRecords
from harness.records.legacy import SUPERSEDED

RECORDS = Path(__file__).parents[3] / "leaderboards" / "records"
SHIPPED = "mosi"


def committed() -> dict[tuple[str, int | None], set[str]]:
    """Return the content hashes of the committed records by data set and twin seed.

    Twins of records that do not say which are of a recipe that is not installed any more.
    """
    found: dict[tuple[str, int | None], set[str]] = {}
    for record in CommittedRecords(RECORDS).all():
        about = record.dataset
        name = about["id"] if about["id"] in SUPERSEDED else about["name"]
        twin = about.get("twin")
        if about["source"] == "twin" and twin is None:
            continue
        seed = None if twin is None else twin["seed"]
        found.setdefault((name, seed), set()).add(about["content_hash"])
    return found


def test_the_committed_records_agree_on_the_content_of_each_data_set() -> None:
    hashes = committed()
    assert (SHIPPED, None) in hashes
    assert all(len(known) == 1 for known in hashes.values())


@pytest.mark.parametrize(
    ("name", "twin_seed"),
    [
        pytest.param(name, seed, marks=() if name == SHIPPED else pytest.mark.full)
        for name, seed in sorted(committed(), key=str)
    ],
)
def test_what_is_prepared_now_has_the_committed_hash(
    name: str, twin_seed: int | None, roots: Path
) -> None:
    store = find_store(load().dataset(name), twin_seed=twin_seed)
    assert {store.content_hash} == committed()[name, twin_seed]
    assert store.recompute_hash() == store.content_hash
