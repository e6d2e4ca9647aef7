"""`harness tune`: the same points, equal steps, the worse half stops, the better half goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import harness
from harness import paths
from harness.boards.rows import tables
from harness.cli import cli
from harness.config import TUNED, default_preset, resolve_config
from harness.config.search import Space, read_space
from harness.engine.plan import misfit
from harness.errors import ConfigError
from harness.launch.points import ROUND, propose, sobol
from harness.launch.tune import SearchRequest, requests_of, space_of
from harness.plugins import load
from harness.records.record import RunRecord
from harness.records.store import RunStore
from tests.unit.engine.test_run import TOY, same_result, tensors

CARD = """
name: sought
factory: tests.unit.engine.toy_plugin:Toy
summary: A model with a search space
presets:
  tuned:    # kept
    model: {width: 8}
    training: {steps: 12, batch_size: 16, lr: 0.02}
space:
  rate: {training.lr: [0.005, 0.5]}
  width: {model.width: [4, 8, 16]}
threshold: 0.5
"""
POINTS = [[0.96141, 0.027396, 0.193917], [0.46141, 0.527396, 0.693917]]
PLUGIN = """
from harness import hookimpl, read_card

@hookimpl
def harness_models():
    return [read_card(f"{__name__}:sought.yaml")]
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    (tmp_path / "sought.yaml").write_text(CARD)
    (tmp_path / "sought.py").write_text(PLUGIN)
    return str(tmp_path / "sought.py")


def tune(plugin: str, *more: str, model: str = "sought") -> Result:
    words = ["tune", model, "--dataset", "toy", "--points", "4", "--device", "cpu"]
    return CliRunner().invoke(cli, [*words, "--plugin", plugin, "--plugin", TOY, *more])


def trials() -> dict[int, RunRecord]:
    return {r.trial["point"]: r for r in RunStore().all() if r.trial is not None}


def test_points_are_fixed_numbers() -> None:
    points = sobol(8)
    assert (sobol(3) == points[:3]).all() and points.shape == (8, 3)
    # One in each eighth of every axis: what makes the sequence better than chance.
    assert (np.sort((points * 8).astype(int), axis=0) == np.arange(8)[:, None]).all()
    assert np.round(points[:2], 6).tolist() == POINTS


def test_samplers_propose_by_what_was_tried() -> None:
    tried = [([x, 0.5, 0.5], -((x - 0.3) ** 2)) for x in (0.1, 0.25, 0.35, 0.6, 0.8, 0.95)]
    for name in ("random", "tpe"):
        found = propose(name, 3, tried, ["rate", "dropout"], first=8)
        again = propose(name, 3, tried, ["rate", "dropout"], first=8)
        assert found.shape == (3, 3) and (found == again).all(), name
        assert (found[:, 2] == 0.5).all() and (found >= 0).all() and (found < 1).all(), name
    turned = [(point, -score) for point, score in tried]
    one, other = (propose("tpe", 16, told, ["rate"])[:, 0].mean() for told in (tried, turned))
    # The best of the one is at 0.3, of the other at 0.95.
    assert one < other
    assert (propose("sobol", 3, [], first=5) == sobol(8)[5:]).all()


def test_a_space_gives_values_their_point_back() -> None:
    space = read_space(
        {"space": {"rate": {"a": [1e-4, 1e-1]}, "dropout": {"b": [0.0, 0.5]},
                   "width": {"c": [4, 8, 16]}}}, "here",
    )  # fmt: skip
    assert space is not None
    values = space.values([0.41, 0.62, 0.9])
    point = space.point(values)
    assert point is not None and space.values(point) == values
    assert space.point({**values, "a": 1.0}) is None and space.point({**values, "c": 5}) is None


def test_a_search_by_a_sampler_is_found_again(plugin: str) -> None:
    sampler = "tpe"
    words = ("--sampler", sampler, "--points", str(ROUND + 2), "--steps", "4", "--json")
    result = tune(plugin, *words, "--log", "csv")
    assert result.exit_code == 0, result.output
    logged = {path.stem for path in (paths.home() / "logs").glob("*.csv")}
    assert logged == {r.id for r in trials().values()}
    (found,) = json.loads(result.stdout)
    made = trials()
    assert found["sampler"] == sampler and {t["point"] for t in found["trials"]} == set(made)
    assert all(r.role == "trial" and r.tested_on is None for r in made.values())
    later = [t["values"] for t in found["trials"] if t["point"] >= ROUND]
    fixed = [read_space_of(plugin).values(p) for p in sobol(ROUND + 2).tolist()]
    assert later and not any(values in fixed for values in later)
    again = tune(plugin, *words)
    assert json.loads(again.stdout)[0]["trials"] == found["trials"] and "epoch" not in again.stderr
    assert {p: r.created for p, r in trials().items()} == {p: r.created for p, r in made.items()}


def test_a_launcher_makes_the_trials_of_a_search_here(plugin: str, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    words = ("--points", "2", "--steps", "4", "--json")
    here = tune(plugin, *words, "--home", str(tmp_path / "here"))
    there = tune(
        plugin, *words, "--launcher", "slurm", "--launcher-option", "cluster=debug",
        "--per-job", "2", "--home", str(tmp_path / "there"),
    )  # fmt: skip
    assert here.exit_code == there.exit_code == 0, there.output
    assert len(list((tmp_path / "there/grids/jobs").rglob("ended-*.json"))) >= 2
    found = [json.loads(result.stdout)[0]["trials"] for result in (here, there)]
    for trial in (*found[0], *found[1]):
        trial.pop("seconds")
    assert found[0] == found[1] and len(found[0]) == 2


def test_a_sampler_without_optuna_says_what_to_install(
    plugin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = tune(plugin, "--sampler", "tpe")
    assert result.exit_code == 2 and "emotion-harness[tune]" in result.output
    assert not trials()


def read_space_of(plugin: str) -> Space:
    return space_of(load([plugin, TOY]).model("sought"))


def test_the_better_half_goes_on_to_the_bits_of_a_run_in_one_go(plugin: str) -> None:
    result = tune(plugin, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)[0]
    made = trials()
    # 4 steps an epoch: the first epoch to reach 6 steps ends at 8.
    assert sorted(r.budget["steps"] for r in made.values()) == [8, 8, 12, 12]
    halves = {p: r.trial["half"]["score"] for p, r in made.items() if r.trial}
    order = sorted(made, key=lambda p: (-halves[p], p))
    assert {p for p, r in made.items() if r.trial and r.trial["stopped"]} == set(order[2:])
    assert found["point"] == max(
        order[:2], key=lambda p: made[p].metrics["full@1"]["valid"]["tuned"]["micro_f1"]
    )
    for record in made.values():
        assert (record.role, record.tested_on, list(record.metrics)) == ("trial", None, ["full@1"])
        assert list(record.metrics["full@1"]) == ["valid"]
        assert not (RunStore().folder(record.id) / "resume").exists()
    assert tables(made.values(), split="valid") == []
    gone_on = made[order[0]]
    assert [len(r.epochs) for r in made.values() if r.budget["steps"] == 12] == [3, 3]
    (whole,) = harness.run(
        "sought", "toy", preset=TUNED, overrides=gone_on.request["overrides"], split="valid",
        device="cpu", plugins=(plugin, TOY),
    )  # fmt: skip
    assert whole.role == "model" and whole.id != gone_on.id
    assert same_result(whole, gone_on) and tensors(whole) == tensors(gone_on)


def test_a_search_is_found_again_and_written(plugin: str, tmp_path: Path) -> None:
    assert tune(plugin).exit_code == 0
    before = {p: r.created for p, r in trials().items()}
    again = tune(plugin, "--write")
    assert again.exit_code == 0, again.output
    assert {p: r.created for p, r in trials().items()} == before
    text = (tmp_path / "sought.yaml").read_text()
    assert text.startswith(CARD.rstrip()) and "# kept" in text
    registry = load([plugin, TOY])
    spec, toy = registry.model("sought"), registry.dataset("toy")
    chosen = resolve_config(spec, toy, TUNED)
    best = max(
        (r for r in trials().values() if r.trial and not r.trial["stopped"]),
        key=lambda r: (r.metrics["full@1"]["valid"]["tuned"]["micro_f1"], -r.trial["point"]),
    )
    assert chosen.as_dict()["model"] == best.config["model"]
    assert chosen.training.lr == best.config["training"]["lr"]
    # A fifth of the steps, and where the user counts epochs, epochs.
    assert resolve_config(spec, toy, "quick").training.steps == 2
    assert resolve_config(spec, toy, TUNED, None, ["training.epochs=3"]).training.steps == 0
    # The next search starts from the card's own values, not from what was found.
    assert tune(plugin, "--write").exit_code == 0
    assert {p: r.created for p, r in trials().items()} == before
    assert (tmp_path / "sought.yaml").read_text() == text
    shown = CliRunner().invoke(cli, ["show", "sought", "--plugin", plugin])
    assert "search:" in shown.output and "content_hash" in shown.output


def test_an_interrupted_search_trains_nothing_twice(
    plugin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SLEEP", "0")
    assert tune(plugin, "--points", "2", "--steps", "8").exit_code == 0
    half = {p: r.budget["steps"] for p, r in trials().items()}
    assert sorted(half.values()) == [4, 8]
    more = tune(plugin, "--points", "4", "--steps", "8")
    assert more.exit_code == 0 and more.output.count("epoch 1:") == 2


@pytest.mark.parametrize(
    ("changes", "words", "message"),
    [
        ({}, {"model": "toy"}, "has nothing to search"),
        ({"steps: 12": "epochs: 2"}, {}, "counts epochs"),
        ({"[0.005, 0.5]": "[0.5, 0.005]"}, {}, "the lower one first"),
        ({"model.width: [4": "model.depth: [4"}, {}, "has no 'model.depth'"),
        ({"  tuned:": "  paper:"}, {}, "no preset 'tuned'"),
    ],
)
def test_what_cannot_be_searched_is_said(
    plugin: str, tmp_path: Path, changes: dict[str, str], words: dict[str, Any], message: str
) -> None:
    text = CARD
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "sought.yaml").write_text(text)
    result = tune(plugin, **words)
    assert result.exit_code == 2 and message in result.output, result.output
    assert not trials()


def test_widths_of_unequal_number_are_refused() -> None:
    with pytest.raises(ConfigError, match="equally many"):
        read_space({"space": {"width": {"model.a": [1, 2], "model.b": [1]}}}, "here")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in ("ramer", "cc", "amer") else pytest.mark.full)
     for n, e in load().models.items() if e.spec.role == "model" and e.distribution],
)  # fmt: skip
def test_every_model_of_the_harness_has_equal_steps_and_a_space(name: str) -> None:
    registry = load()
    spec = registry.model(name)
    twin, grid = (registry.dataset(f"{n}-twin") for n in ("mosei-aligned", "memor-primary"))
    assert default_preset(spec, twin) == TUNED
    for data in (d for d in (twin, grid) if not misfit(spec, d)):
        asked = requests_of(SearchRequest(name), registry, spec, data, space_of(spec))
        assert len(asked) == 8
        steps = resolve_config(spec, data, TUNED).training.steps
        assert steps == (0 if name in ("logistic", "cc") else 1200)
