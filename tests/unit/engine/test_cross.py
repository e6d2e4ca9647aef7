"""`--test-on`: one data set is learned and selected on, another is tested on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import harness
from harness.boards.frame import place_of
from harness.cli import cli
from harness.data.store import spec_from_json, spec_to_json
from harness.engine.request import RunRequest
from harness.errors import UsageError
from harness.plugins import load
from harness.protocols.thresholds import apply, tune
from harness.specs import cross_spec

TOY = Path(__file__).parent / "toy_plugin.py"
CROSS = Path(__file__).parent / "cross_plugin.py"
SHORT = {"training.epochs": 2, "training.batch_size": 16}
NAME = "here-on-there"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cross")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_PLUGINS", "")
        harness.run("toy", "here", test_on="there", references=False, overrides=SHORT, device="cpu",
                    plugins=[TOY, CROSS], home=folder)  # fmt: skip
    return folder


@pytest.fixture(autouse=True)
def plugins_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, words), "--plugin", str(TOY), "--plugin", str(CROSS)])


def test_what_it_is_made_of(home: Path) -> None:
    made = harness.dataset(NAME, plugins=CROSS, home=home)
    here, there = (harness.dataset(n, plugins=CROSS, home=home) for n in ("here", "there"))
    assert made.labels == ("joy", "sad") and made.spec.id == "here@1-on-there@3/cross@1"
    for split in ("train", "valid"):
        assert made[split].ids == here[split].ids
        assert np.array_equal(made[split].labels, here[split].labels[:, :2])
    assert made["test"].ids == there["test"].ids
    assert np.array_equal(made["test"].labels, there["test"].labels[:, [1, 0]])
    for m in ("text", "audio"):
        long, own = (d["test"].numpy().features[m] for d in (made, there))
        assert np.array_equal(long[:, : own.shape[1]], own) and not long[:, own.shape[1] :].any()
    # The first data set's order of modalities, the longest of both; terms of the stricter.
    assert [(m.name, m.max_length) for m in made.spec.modalities] == [("text", 4), ("audio", 7)]
    assert not made.spec.redistribute and made.spec.group_key == "video"
    assert spec_from_json(spec_to_json(made.spec)) == made.spec
    assert "fear, there's other" in " ".join(made.spec.sentences())


def test_a_run_selects_on_the_one_and_is_scored_on_the_other(home: Path) -> None:
    runs = harness.runs(model="toy", dataset=NAME, plugins=[TOY, CROSS], home=home)
    (record,) = [*runs]
    assert record.trained_on is not None and record.tested_on is not None
    assert (record.trained_on["dataset"], record.tested_on["dataset"]) == ("here", "there")
    assert "--dataset here-on-there" in record.command
    assert record.protocols["dataset"] == "here@1-on-there@3/cross@1"
    # The threshold follows from the first's validation split, the figures from the second's test.
    parts = {p.split: p for p in runs.store.parts(record) if p.protocol == "full@1"}
    valid, test = parts["valid"], parts["test"]
    assert all(i.startswith("here-1") for i in valid.ids)
    assert all(i.startswith("there-2") for i in test.ids)
    threshold = tune(valid.scores, valid.truth.astype(np.uint8))
    assert record.threshold["tuned"] == threshold
    decided, truth = apply(test.scores, threshold), test.truth
    both = int((decided & truth).sum())
    expected = 2 * both / int(decided.sum() + truth.sum())
    assert record.metrics["full@1"]["test"]["tuned"]["micro_f1"] == pytest.approx(expected)


@pytest.mark.full
def test_it_has_a_board_of_its_own_with_its_own_references(home: Path, tmp_path: Path) -> None:
    again: dict[str, Any] = {
        "overrides": SHORT,
        "device": "cpu",
        "plugins": [TOY, CROSS],
        "home": home,
    }
    harness.run("toy", NAME, **again)
    harness.run("toy", ["here", "there"], references=False, **again)
    store = harness.runs(plugins=[TOY, CROSS], home=home)
    places = {(r.model["name"], place_of(r, "full@1").board) for r in store}
    assert places == {("toy", NAME), ("toy-prior", NAME), ("toy", "here"), ("toy", "there")}
    done = call("leaderboard", "--dataset", NAME, "--home", home, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    shown = (tmp_path / f"{NAME}.md").read_text()
    assert "trained and selected on here@1, tested on there@3" in shown
    assert "nothing about models that were trained on it" in shown
    assert "joy = happiness, sad = sadness (two names of one word)" in shown


@pytest.mark.full
def test_both_ways_of_asking_are_one_run(home: Path) -> None:
    assert RunRequest("toy", "here", test_on="there") == RunRequest("toy", NAME)
    words = ["run", "--model", "toy", "--no-reference", "--device", "cpu", "--home", home]
    words += [w for k, v in SHORT.items() for w in ("--set", f"{k}={v}")]
    done = call(*words, "--dataset", "here", "--test-on", "there")
    assert done.exit_code == 0 and "already done" in done.output, done.output
    (record,) = harness.runs(model="toy", dataset=NAME, home=home)
    scored = call("predict", record.id, "--home", home, "--out", home / "scores.csv")
    assert scored.exit_code == 0 and "30 samples of here-on-there" in scored.output


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("wide", "their widths are audio 2, text 3, and audio 2, text 9"),
        ("strange", "no label has a counterpart (joy, sad, fear; x, y, z)"),
        ("again", "names 'awe', which again has not"),
        ("grids", "grids is persons x segments"),
        ("open-end", "open-end has no test split"),
        ("single", "label_kind is 'multilabel', and 'singlelabel'"),
        ("here", "it is the same data set"),
        ("nowhere", "unknown data set"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(target: str, said: str) -> None:
    done = call("run", "--model", "toy", "--dataset", "here", "--test-on", target)
    assert done.exit_code == 2 and said in done.output, done.output


def test_other_refusals(tmp_path: Path) -> None:
    registry = load((str(CROSS),))
    with pytest.raises(UsageError, match="each label needs a counterpart"):
        registry.dataset("single-on-other-single")
    with pytest.raises(UsageError, match="made of two data sets itself"):
        cross_spec(registry.dataset(NAME), registry.dataset("there"))
    # The same samples under two names: training has seen what would be tested.
    with pytest.raises(harness.DataFormatError, match="is in train and in test"):
        harness.dataset("again-on-here", plugins=CROSS, home=tmp_path)
