"""A grid of 60 quick runs on each engine: 60 records, and the boards of a serial run."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import paths
from harness.cli import cli
from harness.records.store import RunStore
from tests.unit.engine.test_run import TOY
from tests.unit.launch.test_slurm import assert_same

MODELS = ("toy", "toy-manual", "toy-plain", "toy-first", "toy-last", "toy-metric")
SEEDS = range(10)
RUNS = len(MODELS) * len(SEEDS)
PLAN = f"""
models: [{", ".join(MODELS)}]
datasets: [toy]
seeds: {[*SEEDS]}
set: [[training.epochs=1]]
"""

pytestmark = pytest.mark.full


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the plan; the home ``serial`` beside it has its runs, made one after the other."""
    path = tmp_path_factory.mktemp("clusters") / "plan.yaml"
    path.write_text(PLAN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_PLUGINS", "")
        grid(path, "serial")
    return path


def grid(plan: Path, home: str, *options: str) -> None:
    words = ["grid", str(plan), "--plugin", TOY, "--home", str(plan.parent / home)]
    result = CliRunner().invoke(cli, [*words, *options])
    assert result.exit_code == 0, result.output
    assert f"{RUNS} of {RUNS} runs done" in result.output
    with paths.using_home(plan.parent / home):
        made = [r for r in RunStore().all() if r.role == "model"]
    found = Counter((r.model["name"], r.seed) for r in made)
    assert found == dict.fromkeys(itertools.product(MODELS, SEEDS), 1)


def test_jobs_of_submitit(plan: Path) -> None:
    pytest.importorskip("submitit")
    options = ("cluster=local", "parallel=2", "per_job=10")
    settings = [word for option in options for word in ("--launcher-option", option)]
    grid(plan, "slurm", "--launcher", "slurm", *settings)
    assert_same(plan.parent / "serial", plan.parent / "slurm", RUNS)


def test_two_nodes_of_ray_of_which_one_is_killed(plan: Path) -> None:
    ray = pytest.importorskip("ray")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    other = cluster.add_node(num_cpus=1)
    records, ended, killed = plan.parent / "ray" / "runs", threading.Event(), threading.Event()

    def kill() -> None:
        while not ended.wait(0.2):
            if len(list(records.glob("*/record.json"))) >= RUNS // 4:
                cluster.remove_node(other, allow_graceful=False)
                killed.set()
                return

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        grid(plan, "ray", "--launcher", "ray", "--launcher-option", f"address={cluster.address}")
    finally:
        ended.set()
        killer.join()
        ray.shutdown()
        cluster.shutdown()
    assert killed.is_set(), "the node was not killed before the grid ended"
    assert_same(plan.parent / "serial", plan.parent / "ray", RUNS)
