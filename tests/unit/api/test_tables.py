"""`harness.leaderboard` and `harness.compare` as frames of the figures that boards show."""

from __future__ import annotations

import functools
import shutil
import statistics
from pathlib import Path

import pytest

import harness
from harness.statistics.compare import Options

FEW = Options(resamples=200, permutations=199)


def test_leaderboard_is_a_row_an_entrant(made: harness.Runs, home: Path) -> None:
    board = harness.leaderboard("toy", home=home)
    scores = made.filter(model="toy").table().micro_f1.tolist()
    first = board.iloc[0]
    assert first.model == "toy" and first.seeds == (0, 1, 2) and first["rank"] == "a"
    assert first.micro_f1 == pytest.approx(statistics.fmean(scores))
    assert first.micro_f1_std == pytest.approx(statistics.stdev(scores))
    assert first.samples_interval[0] < first.tuned_micro_f1 < first.samples_interval[1]
    assert set(board.role) == {"model", "trivial"} and len(board) == 3
    alone = harness.leaderboard("toy", dropout="only-t@1", mask="ones", home=home)
    assert len(alone) == 3 and alone.micro_f1.tolist() != board.micro_f1.tolist()


def test_leaderboard_stands_in_the_order_of_the_tuned_column(made: harness.Runs) -> None:
    board = harness.leaderboard("toy", records=made)
    assert board.tuned_micro_f1.tolist() == sorted(board.tuned_micro_f1, reverse=True)
    assert set(board.model) == {"toy", "toy-plain"}, "the runs given, and no other of the home"


def test_runs_are_compared_though_the_home_has_other_settings_of_the_model(
    made: harness.Runs, toy: Path, home: Path, tmp_path: Path
) -> None:
    """`records=runs` means exactly these; by name alone a model of several rows is refused."""
    own = shutil.copytree(home, tmp_path / "home")
    other = {"training.epochs": 1, "training.batch_size": 16}
    harness.run("toy", "toy", overrides=other, device="cpu", plugins=toy, home=own)
    with pytest.raises(harness.UsageError, match="'toy' has several rows"):
        harness.compare(["toy", "toy-plain"], "toy", options=FEW, home=own)
    pairs = harness.compare(["toy", "toy-plain"], "toy", records=made, options=FEW)
    assert pairs.name.tolist() == ["toy"] and pairs.shared_seeds.tolist() == [(0, 1, 2)]


def test_leaderboard_says_what_is_not_there(home: Path, tmp_path: Path) -> None:
    with pytest.raises(harness.UnknownNameError, match="Did you mean 'toy'"):
        harness.leaderboard("toi", home=home)
    with pytest.raises(harness.DataMissingError, match="scored under only-a@1"):
        harness.leaderboard("toy", dropout="only-a@1", home=home)
    for wrong in ({"dropout": "nope@1"}, {"train_dropout": "nope@1"}):
        for ask in (harness.leaderboard, functools.partial(harness.compare, "toy,toy-plain")):
            with pytest.raises(harness.UnknownNameError, match="unknown dropout protocol 'nope@1'"):
                ask("toy", home=home, **wrong)
    with pytest.raises(harness.UnknownNameError, match="Known: none"):
        harness.leaderboard("toy", home=tmp_path)
    with pytest.raises(harness.UsageError, match="is no folder"):
        harness.leaderboard("toy", records=tmp_path / "x")


def test_compare_is_a_row_a_pair(made: harness.Runs, home: Path) -> None:
    pairs = harness.compare(["toy", "toy-plain"], "toy", options=FEW, home=home)
    (pair,) = pairs.itertuples()
    board = harness.leaderboard("toy", home=home).set_index("model").tuned_micro_f1
    assert (pair.name, pair.reference, pair.R) == ("toy", "toy-plain", 199)
    assert pair.delta == pytest.approx(board["toy"] - board["toy-plain"]) and pair.delta > 0
    assert pair.delta_ci[0] < pair.delta < pair.delta_ci[1] and 0 < pair.p_holm <= 1
    options = {"metric": "jaccard", "threshold": "tuned", "dropout": "only-t@1", "options": FEW}
    turned = harness.compare("toy", "toy", reference="toy-plain", home=home, **options)
    assert turned.name[0] == "toy" and turned.metric[0] == "jaccard"
    with pytest.raises(harness.UnknownNameError, match="Did you mean 'toy-plain'"):
        harness.compare("toy,toy-plian", "toy", home=home)
