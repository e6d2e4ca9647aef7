"""Which twin a request takes: 1 + the training seed, or the one that is asked for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness import paths
from harness.cli import cli
from harness.data.locate import FIRST_TWIN, find_store, make_twin, twin_seed_for
from harness.errors import UsageError
from harness.launch.plan import read_plan, requests_of
from harness.plugins import load
from harness.records.predictions import read_predictions
from harness.records.record import RunRecord
from harness.records.request import command_of
from harness.records.store import RunStore
from tests.unit.engine.twin_plugin import FILE

TOY = str(Path(__file__).with_name("toy_plugin.py"))
SEEDED = str(Path(__file__).with_name("twin_plugin.py"))
FILES = ("--plugin", TOY, "--plugin", SEEDED)
SEEDS = st.integers(0, 2**31)


@pytest.fixture(autouse=True)
def only_these(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")


def run(seeds: Any = 0, dataset: str = "seeded-twin", **options: Any) -> list[RunRecord]:
    given = {"device": "cpu", "plugins": (TOY, SEEDED), "overrides": ["training.epochs=1"]}
    return list(harness.run("toy", dataset, seeds, **{**given, **options}))


def asked(*words: str) -> Result:
    return CliRunner().invoke(cli, [*words, *FILES])


def twin_of(record: RunRecord) -> Any:
    return record.dataset["twin"]["seed"]


def real_data() -> None:
    path = paths.data_root() / FILE
    path.parent.mkdir(parents=True)
    path.write_text("99", "utf-8")


@given(seed=SEEDS, other=SEEDS, fixed=SEEDS)
def test_no_training_takes_twin_0_and_no_two_seeds_share_one(
    seed: int, other: int, fixed: int
) -> None:
    assert twin_seed_for(seed) == 1 + seed > 0
    assert (twin_seed_for(seed) == twin_seed_for(other)) == (seed == other)
    assert twin_seed_for(seed, fixed) == twin_seed_for(None, fixed) == fixed
    assert twin_seed_for() == FIRST_TWIN == twin_seed_for(0)


@given(seed=st.integers(max_value=-1))
def test_negative_seeds_are_refused(seed: int) -> None:
    for wrong in ({"training_seed": seed}, {"asked": seed}):
        with pytest.raises(UsageError, match=rf"{seed} is negative"):
            twin_seed_for(**wrong)


@pytest.mark.parametrize("dataset", ["seeded", "seeded-twin"])
def test_each_seed_is_trained_on_a_twin_of_its_own(dataset: str) -> None:
    told: list[str] = []
    records = run([0, 1, 2], dataset, references=False, notify=told.append)
    assert [twin_of(r) for r in records] == [1, 2, 3]
    assert records[0].dataset["twin"] == {"version": 3, "seed": 1, "size": "default"}
    hashes = [r.dataset["content_hash"] for r in records]
    assert len(set(hashes)) == 3 and [r.trained_on["content_hash"] for r in records] == hashes
    assert [p.name for p in sorted(paths.stores_dir().iterdir()) if p.is_dir()] == [
        f"seeded-twin-seed{seed}" for seed in (1, 2, 3)
    ]
    assert [line for line in told if "twin seed" in line] == [
        f"seeded-twin, twin seed {k}: data {digest[:12]}."
        for k, digest in zip((1, 2, 3), hashes, strict=True)
    ]
    assert sum("Real seeded files not found" in line for line in told) == (dataset == "seeded")
    assert [r.id for r in run([0, 1, 2], dataset, references=False)] == [r.id for r in records]


def test_a_twin_seed_holds_for_every_seed_and_is_in_the_command() -> None:
    records = run([0, 4], twin_seed=0, references=False)
    assert [twin_of(r) for r in records] == [0, 0]
    assert records[1].request["twin_seed"] == 0 and "--twin-seed 0" in records[1].command
    own = run(0, references=False)[0]
    assert own.request["twin_seed"] is None and "twin-seed" not in own.command
    assert own.id not in {r.id for r in records}
    del own.request["twin_seed"]  # as in older records
    assert command_of(own.request) == own.command


def test_references_are_made_once_a_twin_that_was_trained_on() -> None:
    run([0, 1])
    run([0, 7], overrides=["training.epochs=2"], twin_seed=2)
    run(0, twin_seed=0)
    found = Counter(
        (r.role, r.seed, twin_of(r), r.request["twin_seed"])
        for r in RunStore().all() if r.role in ("trivial", "ceiling")
    )  # fmt: skip
    assert found == Counter(
        {(role, *of): 1 for role in ("trivial", "ceiling")
         for of in ((0, 1, None), (1, 2, None), (0, 0, 0))}
    )  # fmt: skip
    bounds = {twin_of(r): r for r in RunStore().all() if r.role == "ceiling"}
    for record in RunStore().all():  # what last bits depend on
        machine = record.provenance
        assert machine["processor"] and machine["blas"] and machine["cpu_capability"]
    assert bounds[2].trained_on is None and bounds[2].dataset["twin"]["version"] == 3


def test_further_protocols_and_repeats_keep_to_the_run_s_twin() -> None:
    before = run(1, references=False)[0]
    more = run(1, references=False, dropout="drop-t@1")[0]
    assert (more.id, twin_of(more)) == (before.id, 2) and "drop-t@1" in more.metrics
    again = run(1, references=False, rerun=True)[0]
    assert (again.id, twin_of(again)) == (before.id, 2) and "drop-t@1" in again.metrics
    assert again.tested_before == 0


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_processes_of_a_grid_take_the_same_twins(jobs: str) -> None:
    words = ("--seeds", "0,1", "--jobs", jobs, "--json", "--set", "training.epochs=1")
    result = asked("run", "--model", "toy", "--dataset", "seeded", *words)
    assert result.exit_code == 0, result.output
    assert [r["dataset"]["twin"]["seed"] for r in json.loads(result.stdout)] == [1, 2]
    told = result.stderr
    assert "] toy on seeded-twin, seed 1: " in told and "toy on seeded," not in told, told
    others = [r for r in RunStore().all() if r.role != "model"]
    assert sorted((r.role, r.seed, twin_of(r)) for r in others) == [
        (role, seed, seed + 1) for role in ("ceiling", "trivial") for seed in (0, 1)
    ]


def test_what_has_no_training_seed_takes_twin_1_or_the_one_asked_for() -> None:
    first = harness.dataset("seeded", plugins=(SEEDED,))
    other = harness.dataset("seeded", twin_seed=5, plugins=(SEEDED,))
    assert first.content_hash != other.content_hash
    for words in (("data", "stats", "seeded"), ("check", "--dataset", "seeded")):
        for seed, data in ((), first), (("--twin-seed", "5"), other):
            result = asked(*words, *seed, "--json")
            assert json.loads(result.stdout)["content_hash"] == data.content_hash
    assert json.loads(asked("data", "verify", "seeded-twin", "--json").stdout)["twin"]["seed"] == 1
    absent = asked("data", "verify", "seeded-twin", "--twin-seed", "9")
    assert absent.exit_code == 3 and "data prepare seeded-twin --twin-seed 9" in absent.stderr
    assert "seeded-twin-seed9" in asked("data", "twin", "seeded", "--seed", "9").stdout
    assert asked("data", "verify", "seeded-twin", "--twin-seed", "9").exit_code == 0


def test_predictions_are_of_the_twin_of_the_run(tmp_path: Path) -> None:
    record = run(2, references=False)[0]
    out = tmp_path / "scores.parquet"
    result = asked("predict", record.id, "--out", str(out))
    assert result.exit_code == 0, result.output
    mine = RunStore().parts(record, only=("test", "full@1"))[0]
    part = read_predictions(out)[1][0]
    assert (part.truth == mine.truth).all() and (part.scores == mine.scores).all()
    asked("predict", record.id, "--out", str(out), "--twin-seed", "1")
    assert (read_predictions(out)[1][0].truth != mine.truth).any()


def test_predictions_of_other_code_are_scored_on_the_twin_of_their_seed(tmp_path: Path) -> None:
    file = tmp_path / "other.csv"
    split = harness.dataset("seeded", twin_seed=4, plugins=(SEEDED,))["test"]
    lines = ["id,score:x,score:y,score:z"]
    for name, row in zip(split.ids, split.labels, strict=True):
        lines.append(",".join([name, *map(str, row)]))
    file.write_text("\n".join(lines), "utf-8")
    words = ("score", str(file), "--dataset", "seeded", "--json")
    for more, own in (("--seed", "3"), 1.0), (("--twin-seed", "4"), 1.0), (("--seed", "1"), None):
        found = json.loads(asked(*words, *more).stdout)
        perfect = found["metrics"]["full@1"]["test"]["declared"]["micro_f1"] == 1.0
        assert perfect == (own is not None)
        assert ("--twin-seed 4" in found["command"]) == ("--twin-seed" in more)


def test_a_twin_seed_that_would_have_no_effect_is_refused() -> None:
    registry = load((SEEDED, TOY))
    with pytest.raises(UsageError, match="toy has no twin"):
        find_store(registry.dataset("toy"), twin_seed=1)
    spec = registry.dataset("seeded")
    with pytest.raises(UsageError, match="--real takes no twin"):
        find_store(spec, real=True, twin_seed=1)
    real_data()
    result = asked("run", "--model", "toy", "--dataset", "seeded", "--twin-seed", "2")
    assert result.exit_code == 2 and "name the twin, seeded-twin" in result.stderr
    assert not find_store(spec, seed=3).is_twin
    assert find_store(registry.dataset("seeded-twin"), seed=3).card["twin"]["seed"] == 4
    records = run([0, 1], "seeded", references=True)
    assert {r.dataset["content_hash"] for r in records} == {find_store(spec).content_hash}
    assert records[0].dataset["twin"] is None and records[0].request["twin_seed"] is None
    assert Counter(r.role for r in RunStore().all()) == Counter(model=2, trivial=1)


def test_the_size_of_a_twin_is_said_and_recorded() -> None:
    make_twin(load((SEEDED,)).dataset("seeded"), seed=1, size="full")
    told: list[str] = []
    record = run(references=False, notify=told.append)[0]
    assert record.dataset["twin"]["size"] == "full"
    assert sum("seeded-twin, twin seed 1, size full: data " in line for line in told) == 1


def test_a_negative_twin_seed_is_refused_before_anything_is_made() -> None:
    for seed in ({"seeds": -1}, {"twin_seed": -1}):
        with pytest.raises(UsageError, match="-1 is negative"):
            run(**seed)
    assert asked("data", "twin", "seeded", "--seed", "-1").exit_code == 2
    assert not paths.stores_dir().exists()


def test_a_damaged_twin_names_the_command_that_makes_it_again() -> None:
    store = make_twin(load((SEEDED,)).dataset("seeded"), seed=6)
    (store.path / "card.json").write_text("{", "utf-8")
    result = asked("data", "verify", "seeded-twin", "--twin-seed", "6")
    assert "harness data twin seeded-twin --seed 6" in result.stderr
    assert asked("data", "twin", "seeded-twin", "--seed", "6").exit_code == 0
    assert asked("data", "verify", "seeded-twin", "--twin-seed", "6").exit_code == 0


def test_a_plan_fixes_twin_and_split(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "models: [toy]\ndatasets: [seeded-twin]\nseeds: [0, 1]\ntwin_seed: 0\nsplit: valid\n",
        "utf-8",
    )
    requests = requests_of(read_plan(plan), load((SEEDED, TOY)))
    assert [(r.seed, r.twin_seed, r.split) for r in requests] == [(0, 0, "valid"), (1, 0, "valid")]
    for wrong in ("twin_seed: -1", "twin_seed: [0, 1]", "split: train"):
        plan.write_text(f"models: [toy]\ndatasets: [seeded-twin]\n{wrong}\n", "utf-8")
        with pytest.raises(UsageError, match=wrong.partition(":")[0]):
            read_plan(plan)
