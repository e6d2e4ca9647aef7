"""`harness.run`: what may be given as model, seeds, dropout and overrides; callbacks; the home."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

import harness
from harness import paths
from tests.unit.api.constant import Constant

SHORT = {"training": {"epochs": 2, "batch_size": 16}}


def run(toy: Path, model: Any = "toy", dataset: Any = "toy", **options: Any) -> harness.Runs:
    options = {"device": "cpu", "references": False, "plugins": toy, "overrides": SHORT, **options}
    return harness.run(model, dataset, **options)


def test_seeds_as_on_the_command_line(toy: Path) -> None:
    assert [r.seed for r in run(toy, seeds=3)] == [3]
    assert [r.seed for r in run(toy, seeds="3,1")] == [3, 1]
    assert [r.seed for r in run(toy, seeds=[1, 3, 1])] == [1, 3]
    for wrong in ("a", [], "1.5", [None]):
        with pytest.raises(harness.UsageError, match="seed"):
            run(toy, seeds=wrong)


def test_overrides_as_mapping_and_as_texts_are_one_run(toy: Path) -> None:
    nested = {"training": {"epochs": 2, "lr": 0.01}, "model.width": 4, "model.taps": (3, 4)}
    texts = ["training.epochs=2", "training.lr=0.01", "model.width=4", "model.taps=[3,4]"]
    (first,), (second,) = run(toy, overrides=nested), run(toy, overrides=texts)
    assert first.id == second.id and first.config["model"]["taps"] == [3, 4]
    with pytest.raises(harness.UsageError, match=r"'model.width' has a value of type object"):
        run(toy, overrides={"model.width": object()})
    with pytest.raises(harness.ConfigError, match="wdith"):
        run(toy, overrides={"model": {"wdith": 4}})


def test_dropout_mask_and_train_dropout_are_words(toy: Path) -> None:
    runs = run(toy, dropout="core@1", mask="ones", train_dropout="train-mix@1")
    assert len(runs[0].metrics) > 5 and "only-t@1" in runs[0].metrics
    assert runs[0].protocols["train_dropout"] == "train-mix@1"
    both = run(toy, dropout=["only-t@1", "only-a@1"])[0]
    assert {"full@1", "only-t@1", "only-a@1"} == set(both.metrics)


def test_several_models_and_data_sets_and_everything_is_checked_first(toy: Path) -> None:
    runs = run(toy, ["toy", "toy-manual"], "toy,toy-two-splits")
    assert [(r.model["name"], r.dataset["name"]) for r in runs] == [
        ("toy", "toy"), ("toy-manual", "toy"), ("toy", "toy-two-splits"),
        ("toy-manual", "toy-two-splits"),
    ]  # fmt: skip
    with pytest.raises(harness.UnknownNameError, match="Did you mean 'toy-manual'"):
        run(toy, ["toy", "toy-manuel"], seeds=7)
    assert 7 not in {r.seed for r in harness.runs()}
    with pytest.raises(harness.UsageError, match="at least one model"):
        run(toy, [])


def test_references_are_made_once_a_data_set(toy: Path) -> None:
    runs = run(toy, ["toy", "toy-manual"], references=True)
    assert [r.role for r in runs] == ["model", "model"]
    assert [r.model["name"] for r in harness.runs(role="trivial")] == ["toy-prior"]


def test_a_plugin_file_is_a_model_where_it_defines_one(toy: Path, tmp_path: Path) -> None:
    file = tmp_path / "single.py"
    file.write_text(
        "import harness\nfrom tests.unit.api.constant import Constant as Base\n"
        "class Own(Base):\n    pass\n"
        "@harness.hookimpl\ndef harness_models():\n"
        "    return [harness.ModelSpec('own', 'single:Own', '', '')]\n"
    )
    runs = run(toy, str(file))
    assert runs[0].model["name"] == "own" and runs[0].status == "ok"
    assert runs.load().predict(harness.dataset("toy", plugins=toy)["test"]).shape == (40, 4)
    with pytest.raises(harness.UsageError, match=r"defines the models toy, .*name one model"):
        run(toy, toy)


def test_a_class_and_a_spec_are_models_of_one_call(toy: Path) -> None:
    runs = run(toy, Constant)
    assert runs[0].model["name"] == "Constant" and runs[0].status == "ok"
    scores = runs.load().predict(harness.dataset("toy", plugins=toy)["test"])
    assert scores.shape == (40, 4) and (scores == scores[0]).all()
    with pytest.raises(harness.UnknownNameError):
        run(toy, "Constant")
    with pytest.raises(harness.UnknownNameError):
        harness.runs(model="Constant").load()
    assert harness.runs(model="Constant").load(model=Constant).task.num_labels == 4
    spec = harness.ModelSpec("named", f"{Constant.__module__}:Constant", "", "")
    assert run(toy, [spec, "toy"])[0].model["name"] == "named"
    with pytest.raises(harness.PluginError, match="has the name of a model of plugin 'toy_plugin'"):
        run(toy, harness.ModelSpec("toy", spec.factory, "", ""))
    with pytest.raises(harness.UsageError, match="not <class 'int'>"):
        run(toy, int)


def test_a_class_in_a_function_is_told_from_its_later_version(toy: Path) -> None:
    def first() -> type[harness.ModelPlugin]:
        class Local(Constant):
            start = 0.5

        return Local

    def second() -> type[harness.ModelPlugin]:
        class Local(Constant):
            start = 1.5

        return Local

    runs = [run(toy, make())[0] for make in (first, first, second)]
    assert runs[0].id == runs[1].id != runs[2].id
    assert {r.model["name"] for r in runs} == {"Local"}


def test_callbacks_are_called_and_what_they_raise_comes_back(toy: Path) -> None:
    seen: list[Any] = []
    run(
        toy,
        references=True,
        on_run_start=lambda request: seen.append(request["seed"]),
        on_epoch_end=lambda request, epoch, metrics: seen.append((epoch, "loss" in metrics)),
        on_run_end=lambda request, record: seen.append(record["status"]),
    )
    assert seen == [0, (0, True), (1, True), "ok"]

    def stop(request: Any, epoch: int, metrics: Any) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        run(toy, seeds=1, on_epoch_end=stop)
    assert 1 not in {r.seed for r in harness.runs()}
    told: list[str] = []
    assert run(toy, seeds=1, notify=told.append)[0].status == "ok"
    assert any("going on after epoch 1" in line for line in told)


def test_the_home_holds_for_the_call_only(toy: Path, tmp_path: Path) -> None:
    before, own = paths.home(), tmp_path / "own"
    runs = run(toy, home=own)
    assert paths.home() == before and not before.exists()
    assert runs.store.root == own / "runs" and len(runs.load().task.labels) == 4
    assert not len(harness.runs()) and len(harness.runs(home=own)) == 1
    with pytest.raises(harness.ConfigError):
        run(toy, home=own, overrides={"x": 1})
    assert paths.home() == before
    assert harness.rescore(runs, home=own)[0].metrics == runs[0].metrics


def test_a_class_of_a_script_is_told_by_the_script(toy: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    text = (
        "import harness\nfrom tests.unit.api.constant import Constant\n"
        "class Mine(Constant):\n    start = 0.5\n"
        f"runs = harness.run(Mine, 'toy', plugins={str(toy)!r}, references=False, device='cpu',\n"
        "    overrides={'training.epochs': 1})\n"
        "labels = runs.load().task.labels\n"
    )
    found = []
    for version in (text, text, text.replace("0.5", "1.5")):
        script.write_text(version)
        done = runpy.run_path(str(script), run_name="__main__")
        assert done["labels"] == ("a", "b", "c", "d")
        found.append(done["runs"][0].id)
    assert found[0] == found[1] != found[2] and found[0].startswith("Mine-toy-s0-")
