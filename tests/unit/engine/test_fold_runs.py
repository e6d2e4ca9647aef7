"""`--folds`: a run a fold, every sample tested once, one record and one row of all folds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness.boards.frame import place_of
from harness.cli import cli
from harness.data.folds import folds_of
from harness.data.store import spec_from_json, spec_to_json
from harness.engine import execute
from harness.engine.folds import MIDDLE, expanded, moved
from harness.engine.request import RunRequest
from harness.errors import DataMissingError, UsageError
from harness.plugins import load
from harness.protocols.thresholds import apply
from harness.records.record import RunRecord

TOY = Path(__file__).parent / "toy_plugin.py"
CROSS = Path(__file__).parent / "cross_plugin.py"
SHORT = {"training.epochs": 2, "training.batch_size": 16}
NAME = "here-3folds"
full = pytest.mark.full


@pytest.fixture(autouse=True)
def plugins_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_PLUGINS", "")
        harness.run("toy", "here", folds=3, dropout="only-t@1", overrides=SHORT, device="cpu",
                    plugins=[TOY, CROSS], home=folder)  # fmt: skip
    return folder


def call(*words: object) -> Result:
    given = [*map(str, words), "--plugin", str(TOY), "--plugin", str(CROSS)]
    return CliRunner().invoke(cli, given)


def whole(home: Path, model: str = "toy") -> tuple[harness.Runs, RunRecord]:
    runs = harness.runs(dataset=NAME, model=model, plugins=[TOY, CROSS], home=home)
    (record,) = [*runs]
    return runs, record


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30),
    st.one_of(st.sampled_from([0.0, 1.0, 0.5]), st.floats(0, 1)),
)
def test_moved_scores_decide_as_before_and_keep_their_order(
    values: list[float], threshold: float
) -> None:
    scores = np.array(values, np.float32)[:, None]
    there = moved(scores, threshold)
    assert there.dtype == np.float32 and ((there >= 0) & (there <= 1)).all()
    assert np.array_equal(apply(there, MIDDLE), apply(scores, threshold))
    order = np.argsort(scores[:, 0], kind="stable")
    assert (np.diff(there[order, 0]) >= 0).all()
    assert moved(scores, None) is scores


def test_a_request_of_folds_is_a_request_a_fold(tmp_path: Path) -> None:
    registry = load((str(TOY), str(CROSS)))
    request = RunRequest("toy", "here", folds="3")
    assert request == RunRequest("toy", NAME)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_HOME", str(tmp_path))
        names = [r.dataset for r in expanded([request, RunRequest("toy", "there")], registry)]
        expanded([RunRequest("toy", "here", folds="20", notify=said.append)], registry)
        each = expanded([RunRequest("toy", "here", folds="speaker")], registry)
    assert names == [f"{NAME}.1", f"{NAME}.2", f"{NAME}.3", "there"]
    assert said == ["here-20folds: 20 folds of 31 groups, each prepared once."]
    assert [r.dataset for r in each] == [f"here-by-speaker.{n}" for n in range(1, 32)]
    spec = registry.dataset(f"{NAME}.2")
    assert spec.id == "here@1-3folds/folds@1" == registry.dataset(NAME).id
    assert spec_from_json(spec_to_json(spec)) == spec


@pytest.mark.parametrize(
    ("dataset", "folds", "said"),
    [
        ("again", "3", "it says nothing of groups"),
        ("here", "video", "its groups are 'speaker', not 'video'"),
        ("here", "1", "give at least 2 folds"),
        ("grids", "3", "persons x segments"),
        ("here-on-there", "3", "made of other data sets itself"),
        ("here-3folds", "3", "made of other data sets itself"),
    ],
)
def test_what_cannot_be_divided_is_refused_with_the_reason(
    dataset: str, folds: str, said: str
) -> None:
    done = call("run", "--model", "toy", "--dataset", dataset, "--folds", folds)
    assert done.exit_code == 2 and said in done.output, done.output


@pytest.mark.parametrize("jobs", [1, 2])
def test_more_folds_than_groups_are_refused_before_one_is_prepared(
    jobs: int, tmp_path: Path
) -> None:
    done = call("run", "--model", "toy", "--dataset", "here", "--folds", "5000", "--jobs", jobs,
                "--home", tmp_path)  # fmt: skip
    assert done.exit_code == 2
    assert done.stderr == "Error: 5000 folds need at least 5000 groups, the data has 31.\n"
    made = [p.name for p in (tmp_path / "stores").iterdir() if not p.name.startswith(".")]
    assert made == ["here"]


def test_folds_of_data_that_is_not_here_are_planned_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARNESS_PLUGINS")
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    each = expanded([RunRequest("misa", "mosei-aligned", folds="2")], load())
    assert [r.dataset for r in each] == ["mosei-aligned-2folds.1", "mosei-aligned-2folds.2"]
    with pytest.raises(DataMissingError):
        expanded([RunRequest("misa", "mosei-aligned", folds="video")], load())


def test_what_takes_long_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    assert [*execute.counted([1, 2, 3], said.append, "data sets are prepared")] == [1, 2, 3]
    assert said == []  # nothing where it does not
    monkeypatch.setattr(execute, "PAUSE_S", 0.0)
    assert [*execute.counted([1, 2], said.append, "data sets are prepared")] == [1, 2]
    assert said == ["0 of 2 data sets are prepared.", "1 of 2 data sets are prepared."]


def test_other_refusals(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave --test-on out"):
        RunRequest("toy", "here", folds="3", test_on="there")
    registry = load((str(TOY), str(CROSS)))
    with pytest.raises(UsageError, match="--compat"):
        expanded([RunRequest("toy", NAME, compat=True)], registry)
    done = call("ablate", "--model", "toy", "--dataset", NAME)
    assert done.exit_code == 2 and "name one: here-3folds.1" in done.output
    with pytest.raises(UsageError, match="has the folds 1 to 3: name one"):
        harness.dataset(NAME, plugins=CROSS, home=tmp_path)
    with pytest.raises(UsageError, match="at least 40 groups, the data has 31"):
        harness.dataset("here-40folds.1", plugins=CROSS, home=tmp_path)


@full
def test_each_fold_holds_whole_groups_and_is_learned_of_alone(home: Path) -> None:
    base = harness.dataset("here", plugins=CROSS, home=home)
    groups = {g for split in base.values() for g in split.groups}
    expected = folds_of("here@1-3folds/folds@1", groups, 3)
    tested: list[str] = []
    for number, fold in enumerate(expected, start=1):
        made = harness.dataset(f"{NAME}.{number}", plugins=CROSS, home=home)
        for name in ("train", "valid", "test"):
            assert {*made[name].groups} == getattr(fold, name)
        tested += made["test"].ids
    assert sorted(tested) == sorted(i for split in base.values() for i in split.ids)


@full
def test_the_row_is_over_pooled_predictions_at_each_folds_own_threshold(home: Path) -> None:
    runs, record = whole(home)
    folds = {r.id: r for r in runs.store.all() if r.role == "fold" and r.model["name"] == "toy"}
    assert record.role == "model" and [*folds] == sorted(record.facts["folds"])
    told = sorted((r.facts["fold"]["number"], r.facts["fold"]["of"]) for r in folds.values())
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert {r.facts["fold"]["protocol"] for r in folds.values()} == {"folds@1"}
    for protocol in ("full@1", "only-t@1"):
        right = decided = true = 0
        ids: list[str] = []
        for fold in folds.values():
            (part,) = (
                p for p in runs.store.parts(fold) if (p.split, p.protocol) == ("test", protocol)
            )
            chosen = apply(part.scores, fold.threshold["tuned"])
            right += int((chosen & part.truth).sum())
            decided, true = decided + int(chosen.sum()), true + int(part.truth.sum())
            ids += part.ids
        assert len(ids) == len({*ids}) == 90
        found = record.metrics[protocol]["test"]["declared"]["micro_f1"]
        assert found == pytest.approx(2 * right / (decided + true))
    assert record.dataset["splits"] == {"test": 90}
    assert f"--dataset {NAME}" in record.command


@full
def test_folds_stand_on_one_board_with_rows_of_all_of_them(home: Path, tmp_path: Path) -> None:
    _, record = whole(home)
    assert place_of(record, "full@1").board == NAME
    assert whole(home, "toy-prior")[1].role == "trivial"
    done = call("leaderboard", "--home", home, "--out", tmp_path, "--export", tmp_path / "records")
    assert done.exit_code == 0, done.output
    pages = {p.name for p in tmp_path.glob("here-*.md")}
    assert pages == {f"{NAME}.md", f"{NAME}-robustness.md"}
    rows = json.loads((tmp_path / f"{NAME}.json").read_text())
    assert "each speaker tested once" in (tmp_path / f"{NAME}.md").read_text()
    assert {"toy", "toy-prior"} <= {*json.dumps(rows).replace('"', " ").split()}
    done = call("leaderboard", "--home", home, "--out", tmp_path, "--check")
    assert done.exit_code == 0, done.output
    done = call("runs", "verify", record.id, "--home", home)
    assert done.exit_code == 0, done.output


@full
def test_what_is_there_is_found_again_and_further_protocols_reach_the_row(home: Path) -> None:
    words = ["run", "--model", "toy", "--dataset", "here", "--folds", "3", "--device", "cpu"]
    words += [w for k, v in SHORT.items() for w in ("--set", f"{k}={v}")]
    before = whole(home)[1]
    done = call(*words, "--home", home, "--dropout", "only-a@1")
    assert done.exit_code == 0 and before.id in done.output, done.output
    after = whole(home)[1]
    assert {*after.metrics} == {*before.metrics, "only-a@1"}
    assert after.metrics["full@1"] == before.metrics["full@1"]
    done = call("runs", "rerun", after.id, "--home", home)
    assert done.exit_code == 2 and after.facts["folds"][0] in done.output


@full
def test_validation_alone_gives_no_row_until_test_is_scored(home: Path, tmp_path: Path) -> None:
    asked = {"overrides": SHORT, "device": "cpu", "plugins": [TOY, CROSS], "home": tmp_path}
    first = harness.run("toy", NAME, split="valid", references=False, **asked)  # type: ignore[arg-type]
    assert [r.role for r in first] == ["fold"] * 3
    second = harness.run("toy", NAME, references=False, **asked)  # type: ignore[arg-type]
    assert [(r.role, r.dataset["name"]) for r in second] == [("model", NAME)]
    assert next(iter(second)).metrics["full@1"] == whole(home)[1].metrics["full@1"]
