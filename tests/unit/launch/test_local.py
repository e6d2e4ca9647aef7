"""A grid in worker processes gives what one process gives, and says what failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import harness
from harness.cli import cli
from harness.engine.request import RunRequest
from harness.errors import RunFailedError, UnknownNameError
from harness.launch.grid import run_grid
from harness.launch.processes import workers_for
from harness.plugins import load
from harness.records.store import RunStore

TOY = str(Path(__file__).parents[1] / "engine" / "toy_plugin.py")
TOY_RUN = RunRequest("toy", "toy", plugins=(TOY,), device="cpu", overrides=("training.epochs=2",))


def test_workers_are_shared_out_by_device_and_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 2, 4, 6}, raising=False)
    assert workers_for(9, 0, "cpu") == 4
    assert workers_for(3, 0, "cpu") == 3
    assert workers_for(9, 0, "cuda") == 1
    assert workers_for(9, 2, "cuda") == 2
    assert workers_for(0, 0, "cpu") == 1
    assert workers_for(9, 0, "cpu", threads=2) == 2


def test_workers_give_the_records_of_one_process_and_errors_of_their_own() -> None:
    told: list[str] = []
    first = replace(TOY_RUN, notify=told.append)
    requests = [first, replace(TOY_RUN, model="no-such-model"), replace(TOY_RUN, seed=1)]
    done = run_grid(requests, load((TOY,)), jobs=2, references=False)
    assert any(line.startswith("toy on toy") and "seed 1" in line for line in told), told
    assert [(r.model["name"], r.seed) for r in done.records] == [("toy", 0), ("toy", 1)]
    ((what, error),) = done.errors.items()
    assert what == "no-such-model on toy" and "no-such-model" in str(error)
    assert error.exit_code == UnknownNameError.exit_code
    with pytest.raises(RunFailedError, match="1 of 3 runs failed") as failed:
        done.check()
    assert failed.value.exit_code == RunFailedError.exit_code
    for made in done.records:
        assert RunStore().find(made.id) == made
        (again,) = harness.run(
            "toy", "toy", seeds=(made.seed,), overrides=TOY_RUN.overrides, device="cpu",
            references=False, plugins=(TOY,), rerun=True,
        )  # fmt: skip
        assert again.metrics == made.metrics


def test_the_command_runs_seeds_side_by_side() -> None:
    result = CliRunner().invoke(
        cli,
        ["run", "--model", "toy", "--dataset", "toy", "--plugin", TOY, "--seeds", "0,1", "--set",
         "training.epochs=1", "--device", "cpu", "--jobs", "2", "--no-reference"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "2 runs, 2 at a time." in result.output and "[2/2] toy on toy" in result.output
    assert len(RunStore().all()) == 2


@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.full)])
def test_a_ceiling_that_fails_ends_no_other_run(jobs: str) -> None:
    result = CliRunner().invoke(
        cli,
        ["run", "--model", "toy", "--dataset", "toy-unknown-twin", "--plugin", TOY, "--seeds",
         "0,1", "--set", "training.epochs=1", "--device", "cpu", "--jobs", jobs],
    )  # fmt: skip
    assert result.exit_code == 1, result.output
    head, line = result.output.splitlines()[-2:]
    assert head == "Error: 1 of 3 runs failed:"
    assert line.startswith(
        "  ceiling of toy-unknown-twin: plugin 'toy_plugin', data set 'toy-unknown-twin': "
        "ZeroDivisionError in ceiling_scores: made to fail in ceiling_scores (toy_plugin.py, line "
    )
    done = [r for r in RunStore().all() if r.role == "model"]
    assert [r.status for r in done] == ["ok", "ok"]
    assert all(r.id in result.output for r in done)
