"""The launcher ``ray``: a grid over two local nodes of which one is killed in the middle."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness import paths
from harness.cli import cli
from harness.errors import UsageError
from harness.launch.ray import make
from harness.records.store import RunStore
from tests.unit.engine.test_run import TOY
from tests.unit.launch.test_slurm import assert_same

RUNS = 20
PLAN = f"""
models: [toy]
datasets: [toy]
seeds: {[*range(RUNS)]}
set: [[training.epochs=1]]
"""


def grid(plan: Path, home: Path, *more: str) -> Result:
    words = ["grid", str(plan), "--plugin", TOY, "--home", str(home), *more]
    return CliRunner().invoke(cli, words)


@pytest.mark.parametrize("option", ["gpus=-1", "gpus=1.5", "gpus=half", "cpus=0", "jobs=x"])
def test_values_that_do_not_fit_are_refused(option: str) -> None:
    key, _, value = option.partition("=")
    with pytest.raises(UsageError, match=option):
        make({key: value})


@pytest.mark.full
def test_a_grid_outlives_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)
    assert grid(plan, tmp_path / "serial").exit_code == 0
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    other = cluster.add_node(num_cpus=1)
    records = tmp_path / "ray" / "runs"
    killed = threading.Event()

    def kill() -> None:
        while not killed.is_set():
            if len(list(records.glob("*/record.json"))) >= RUNS // 4:
                cluster.remove_node(other, allow_graceful=False)
                killed.set()
            killed.wait(0.2)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        result = grid(
            plan, tmp_path / "ray", "--launcher", "ray",
            "--launcher-option", f"address={cluster.address}",
        )  # fmt: skip
    finally:
        hit = killed.is_set()
        killed.set()
        killer.join()
        ray.shutdown()
        cluster.shutdown()
    assert result.exit_code == 0, result.output
    assert hit, "the node was not killed before the grid ended"
    with paths.using_home(tmp_path / "ray"):
        found = Counter(r.seed for r in RunStore().all() if r.role == "model")
    assert found == dict.fromkeys(range(RUNS), 1)
    assert_same(tmp_path / "serial", tmp_path / "ray", RUNS)
