"""The pairing check: planted faults are named, and correctly paired data is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from harness.data.pairing import Rows, better_pairings, natural
from harness.data.soundness import constants, duplicates, given_away, odd_labels, shared_groups

COUNT, PERSONS = 300, 10
LABELS = ("joy", "fear", "calm")


def made(seed: int = 0, noise: float = 1.0) -> Rows:
    """Return a set whose two views both tell something of the labels, correctly paired."""
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((COUNT, 3))
    views = {
        name: hidden @ rng.standard_normal((3, d)) + noise * rng.standard_normal((COUNT, d))
        for name, d in (("audio", 8), ("pulse", 20))
    }
    labels = hidden + rng.standard_normal((COUNT, 3)) > 0.3
    return Rows(
        ids=[f"track-{i + 1}" for i in range(COUNT)],
        groups=[f"g{i // 5}" for i in range(COUNT)],
        labels=labels.astype(np.float64),
        features=views,
        columns={"person": [f"p{i // (COUNT // PERSONS)}" for i in range(COUNT)]},
    )


def listing(rows: Rows) -> Rows:
    """Give a view the order of a file listing: track 1, 10, 100, 101, ..."""
    order = sorted(range(COUNT), key=lambda i: rows.ids[i])
    return replace(rows, features={**rows.features, "pulse": rows.features["pulse"][order]})


def next_rows(rows: Rows) -> Rows:
    """Give a view the next row's features."""
    return replace(
        rows, features={**rows.features, "pulse": np.roll(rows.features["pulse"], -1, axis=0)}
    )


def late_inside_person(rows: Rows) -> Rows:
    """Put each person's answers one row late."""
    labels = rows.labels.copy()
    for person in set(rows.columns["person"]):
        own = np.flatnonzero(np.array(rows.columns["person"]) == person)
        labels[own] = np.roll(labels[own], 1, axis=0)
    return replace(rows, labels=labels)


@pytest.mark.parametrize(
    ("fault", "modality", "named"),
    [
        (listing, "pulse", "the order of a file listing"),
        (next_rows, "pulse", "1 row"),
        (late_inside_person, "audio", "1 row late"),
    ],
)
def test_a_wrong_pairing_is_named(fault: Callable[[Rows], Rows], modality: str, named: str) -> None:
    found = {fit.modality: fit for fit in better_pairings(fault(made()))}
    assert named in found[modality].pairing
    assert found[modality].found > 0.3 > abs(found[modality].stated)
    if modality == "pulse":
        assert "audio" not in found  # the view that is paired correctly


def test_the_right_pairing_raises_no_alarm_however_weak_the_features() -> None:
    alarms = [
        seed for seed in range(20) if better_pairings(made(seed, noise=1.0 + 2.0 * (seed % 5)))
    ]
    assert alarms == []


def test_groups_of_equal_rows_raise_no_alarm() -> None:
    rows = made()
    view = np.repeat(rows.features["audio"][::5], 5, axis=0)
    labels = np.repeat(rows.labels[::5], 5, axis=0)
    assert better_pairings(replace(rows, labels=labels, features={"audio": view})) == []
    assert duplicates(replace(rows, features={"audio": view})) == []


def test_a_recording_that_is_there_twice_does_harm_and_one_silent_row_does_not() -> None:
    rows = made()
    twice = {name: x.copy() for name, x in rows.features.items()}
    for view in twice.values():
        view[200:203] = view[100:103]
    found = duplicates(replace(rows, features=twice))
    assert [finding.harmful for finding in found] == [True, True]
    assert "track-101" in found[0].text and "track-201" in found[0].text
    once = {**rows.features, "pulse": twice["pulse"]}
    assert [f.harmful for f in duplicates(replace(rows, features=once))] == [False]
    assert duplicates(rows) == []


def test_a_column_that_holds_the_label_gives_it_away() -> None:
    rows = made()
    leaky = rows.features["pulse"].copy()
    leaky[:, 4] = -rows.labels[:, 1] + 0.001 * leaky[:, 4]
    found = given_away(replace(rows, features={**rows.features, "pulse": leaky}), LABELS)
    assert len(found) == 1 and "column 4 alone gives fear away" in found[0]
    assert given_away(rows, LABELS) == []


def test_constants_groups_on_two_sides_and_labels_that_never_occur_are_named() -> None:
    rows = made()
    still = rows.features["audio"].copy()
    still[:, 2] = 7.0
    assert (
        "1 of 8 columns are constant (2)"
        in constants(replace(rows, features={"audio": still}))[0].text
    )
    assert constants(replace(rows, features={"audio": np.ones((COUNT, 4))}))[0].harmful
    assert constants(rows) == []
    splits = ["train"] * 202 + ["test"] * 98
    assert shared_groups(rows, splits, "video") == ["1 groups (video) stand in test and train"]
    absent = rows.labels.copy()
    absent[202:, 0] = 0
    assert odd_labels(replace(rows, labels=absent), splits, LABELS) == ["joy never occurs in test"]
    assert odd_labels(rows, splits, LABELS) == []


def test_numbers_in_names_sort_by_value() -> None:
    names = ["a10", "a2", "a1", "b1", "10", "9"]
    assert sorted(names, key=natural) == ["a1", "a2", "a10", "b1", "9", "10"]


def test_missing_rows_take_no_part() -> None:
    rows = late_inside_person(made())
    view = rows.features["audio"].copy()
    view[::3] = np.nan
    found = better_pairings(replace(rows, features={"audio": view}))
    assert found and "1 row late" in found[0].pairing
