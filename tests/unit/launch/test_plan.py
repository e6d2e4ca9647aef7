"""`harness grid`: plans multiply, doubles fall together, shards share the runs, epochs are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli import cli
from harness.errors import UsageError
from harness.launch.plan import KEYS, LIMITS, read_plan, requests_of, shard_of
from harness.plugins import load

PLAN = """
models: [cc, logistic]
datasets: [mosi, mosi@1]
seeds: [0, 1]
set: [[], [model.c=0.5], [model.c=1.0]]
presets: [paper]
limits: {jobs: 1, threads: 1}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "plan.yaml"
    path.write_text(text, "utf-8")
    return path


def grid(*words: str) -> Result:
    return CliRunner().invoke(cli, ["grid", *words])


def test_the_plan_in_the_help_text_is_one_and_all_keys_are_named(tmp_path: Path) -> None:
    said = grid("--help").output
    shown = said.partition("A plan (")[2].partition("\n")[2].partition("\n\n")[0]
    plan = read_plan(written(tmp_path, shown))
    assert len(requests_of(plan, load())) == 2 * 1 * 3 * 2 and plan.dropout == ("core@1",)
    assert all(key in said for key in (*KEYS, *LIMITS))


def test_lists_multiply_and_equal_configurations_are_one_run(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, PLAN))
    requests = requests_of(plan, load())
    keys = [(r.model, r.dataset, r.seed, r.overrides) for r in requests]
    assert len(keys) == len(set(keys))
    # cc's c is 1 by default, so that model.c=1.0 is no further run; logistic's on mosi is not.
    assert sum(model == "cc" for model, *_ in keys) == 2 * 2 * 2
    assert sum(model == "logistic" for model, *_ in keys) == 2 * 2 * 3
    assert [seed for *_, seed, _ in keys[:2]] == [0, 1]
    assert not any(r.diagnose for r in requests)
    asked = requests_of(read_plan(written(tmp_path, PLAN + "diagnose: true\n")), load())
    assert len(asked) == len(requests) and all(r.diagnose for r in asked)


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_shards_share_the_runs_without_overlap(parts: int, tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, PLAN))
    whole = requests_of(plan, load())
    shared = [
        request
        for part in range(1, parts + 1)
        for request in requests_of(plan, load(), shard=(part, parts))
    ]
    assert len(shared) == len(whole) and {repr(r) for r in shared} == {repr(r) for r in whole}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("models: [cc]", "datasets"),
        ("models: [cc]\ndatasets: [mosi]\ndiagnose: often", "diagnose"),
        ("models: [cc]\ndatasets: [mosi]\nseed: [0]", "'seed'. Did you mean 'seeds'?"),
        ("models: [cc]\ndatasets: [mosi]\nseeds: [-1]", "seeds"),
        ("models: [cc]\ndatasets: [mosi]\nset: [c]", "key=value"),
        ("models: [cc]\ndatasets: [mosi]\nlimits: {cores: 2}", "limits 'cores'."),
        ("models: [cc]\ndatasets: [mosi]\nlimits: {hour: 2}", "'hour'. Did you mean 'hours'?"),
        ("models: [cc]\ndatasets: [mosi]\nlimits: 2", "limits: expected the keys jobs"),
        ("models: [cc]\ndatasets: [mosi]\nlimits: {hours: 0}", "hours"),
        ("[", "YAML"),
        ("models: [no-such]\ndatasets: [mosi]", "no-such"),
        ("models: [cc]\ndatasets: [mosi]\nset: [[model.d=1]]", "model.d"),
    ],
)
def test_what_is_wrong_with_a_plan_is_named_and_ends_with_2(
    text: str, told: str, tmp_path: Path
) -> None:
    done = grid(str(written(tmp_path, text)), "--dry-run")
    assert done.exit_code == 2 and told in done.output, done.output


def test_a_shard_is_a_part_of_parts() -> None:
    assert shard_of("2/8") == (2, 8)
    for text in ("0/2", "3/2", "2", "a/b", "1/0"):
        with pytest.raises(UsageError, match="--shard"):
            shard_of(text)


def test_a_plan_runs_is_resumed_estimated_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    text = """
models: [misa]
datasets: [mosi]
seeds: [0, 1]
presets: [quick]
set: [[training.epochs=2]]
"""
    plan = str(written(tmp_path, text))
    assert "2 runs of unknown length" in grid(plan, "--dry-run").output
    done = grid(plan, "--log", "csv")
    assert done.exit_code == 0, done.output
    logs = [path.read_text() for path in (tmp_path / "home/logs").glob("*.csv")]
    assert sum(",loss," in text for text in logs) == 2  # reference rows have no epochs
    log = (tmp_path / "home/grids/plan.log").read_text("utf-8")
    for seed in (0, 1):
        for epoch in (1, 2):
            assert f"misa on mosi, seed {seed}, epoch {epoch}: loss " in log
    assert "2 of 2 runs done" in log and "valid tuned_micro_f1" in log
    again = grid(plan)
    assert again.exit_code == 0 and "already done" in again.output
    assert "unknown length" not in grid(plan, "--dry-run").output
    few = json.loads(grid(plan, "--dry-run", "--json").stdout)["seconds"]
    written(tmp_path, text.replace("epochs=2", "epochs=200"))
    many = json.loads(grid(plan, "--dry-run", "--json").stdout)["seconds"]
    assert many == pytest.approx(100 * few, rel=0.01), "an estimate follows the steps"
    # Without presets a plan means the data set's default, and is estimated by that.
    assert grid(str(written(tmp_path, "models: [cc]\ndatasets: [mosi]"))).exit_code == 0
    both = str(written(tmp_path, "models: [cc, misa]\ndatasets: [mosi]"))
    assert "1 runs of unknown length" in grid(both, "--dry-run").output


def test_a_failed_run_ends_the_grid_unless_it_keeps_going(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    text = """
models: [misa, cc]
datasets: [mosi]
presets: [quick]
set: [[training.epochs=1, training.lr=1e30]]
"""
    text = text.replace("models: [misa, cc]", "models: [misa]").replace(
        "set:", "seeds: [0, 1]\nset:"
    )
    plan = str(written(tmp_path, text))
    first, both = grid(plan), grid(plan, "--keep-going")
    assert first.exit_code == 1 and "1 of 2 runs failed" in first.output
    assert both.exit_code == 1 and "2 of 2 runs failed" in both.output
