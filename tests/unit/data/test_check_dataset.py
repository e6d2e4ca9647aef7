"""`harness check --dataset`: each check finds the data set that breaks it, and no other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.data.pairing import Rows, alike, fits, shuffled
from harness.data.soundness import ADVICE, repaired
from tests.unit.data.faulty_sets import FAULTS

FILE = str(Path(__file__).with_name("faulty_sets.py"))
QUICK = ("shuffled",)


def checked(name: str) -> tuple[int, list[dict[str, str]]]:
    words = ["check", "--dataset", name, "--plugin", FILE, "--json"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code in (0, 1), done.output
    return done.exit_code, json.loads(done.stdout[: done.stdout.rindex("}") + 1])["findings"]


def test_nothing_is_found_on_sound_data() -> None:
    assert checked("sound") == (0, [])


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.full) for n in FAULTS]
)
def test_each_fault_is_found_by_its_check_alone_with_advice(name: str) -> None:
    code, found = checked(name)
    assert code == 1 and {f["check"] for f in found} == {FAULTS[name][0]}, found
    for finding in found:
        assert len(finding["text"]) > 20
        assert finding["contract"].endswith(".") and finding["remedy"].endswith(".")


def test_every_check_has_a_fault() -> None:
    assert {check for check, _ in FAULTS.values()} == {*ADVICE}


def test_what_was_repaired_is_a_note() -> None:
    found = repaired({"train": {"gaze:nan-or-inf": 3, "padded": 2}, "test": {"audio:-inf": 0}})
    assert [(f.check, f.harmful) for f in found] == [("finite", False)]
    assert "train: 3 values" in found[0].text


def test_features_without_order_are_told_from_features_that_say_nothing() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(50), 4)
    labels = rng.integers(0, 2, (200, 2)).astype(np.float64)
    who = rng.normal(size=(50, 5))[group]
    good = labels @ rng.normal(size=(2, 5)) + who + rng.normal(size=(200, 5))
    # It says nothing of the labels, but rows of one group are alike: they are in order.
    silent = rng.normal(size=(50, 5))[group] + rng.normal(size=(200, 5))
    rows = Rows(
        [f"s{i}" for i in range(200)], [f"g{g}" for g in group], labels,
        {"good": good, "silent": silent, "mixed": good[rng.permutation(200)],
         "still": np.ones((200, 2))},
    )  # fmt: skip
    assert shuffled(rows, fits(rows)) == ["mixed"]
    grouped = alike(rows)
    assert grouped["silent"] > 5 > abs(grouped["mixed"]) and np.isnan(grouped["still"])
