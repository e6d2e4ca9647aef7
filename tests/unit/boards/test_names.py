"""Names of models and data sets as people write them find the rows that are meant."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from harness.boards.selecting import Wanted, board_meant, select
from harness.cli import cli
from harness.errors import UnknownNameError
from harness.records.predictions import write_predictions
from harness.records.store import RunStore
from tests.unit import pages


def test_the_twin_is_meant_where_it_alone_has_runs_and_that_is_said() -> None:
    twin = [pages.record("one", 0, 0.5, dataset="fake-twin")]
    assert board_meant(twin, "fake-twin") == ("fake-twin", "")
    name, told = board_meant(twin, "Fake")
    assert name == "fake-twin" and "no runs on Fake" in told and "generated data" in told
    both = [*twin, pages.record("one", 0, 0.5, dataset="fake")]
    assert board_meant(both, "fake") == board_meant(both, "FAKE") == ("fake", "")
    assert board_meant(both, "other") == ("other", "")
    trial = [pages.record("one", 0, 0.5, dataset="fake", role="trial")]
    assert board_meant([*twin, *trial], "fake")[0] == "fake-twin"


def test_models_are_found_as_people_write_them() -> None:
    runs = [pages.record(name, 0, 0.5) for name in ("ramer-public", "MulT", "mult")]

    def found(name: str) -> str:
        return select(runs, [name], Wanted("fake"), {})[0].row.model

    assert found("RAMer_Public") == found("ramer public") == "ramer-public"
    assert found("mult") == "mult" and found("MulT") == "MulT"  # exactly so, where there is one
    with pytest.raises(UnknownNameError, match="Did you mean 'ramer-public'"):
        found("ramer-publik")


def test_compare_says_that_it_compares_on_the_twin() -> None:
    for run in pages.small()[1]:
        if run.dataset["name"] == "fake-twin":
            RunStore().write(run)
            part = pages.predictions(run, "full@1", "test")
            write_predictions(RunStore().predictions(run.id), [part], run.dataset["labels"])
    words = ["compare", "One", "TWO", "--dataset", "fake", "--metric", "micro_f1"]
    done = CliRunner().invoke(cli, [*words, "--resamples", "100", "--permutations", "99"])
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("There are no runs on fake; this is its twin, fake-twin")
    assert "micro_f1 on fake-twin, full@1" in done.stdout and "told apart" in done.stdout
