"""Embeddings: which points are drawn, how apart they are said to be, and the command."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import harness
from harness.cli import cli
from harness.errors import UsageError
from harness.figures.embedding_points import (
    Points,
    draw_points,
    label_axes,
    parts_of,
    project,
    separations,
)
from tests.unit.figures.made import numbers, run, store

PLUGIN = str(Path(__file__).with_name("known_plugin.py"))


def points(vectors: np.ndarray, classes: np.ndarray, groups: list[str] | None = None) -> Points:
    names = [str(i // 2) for i in range(len(vectors))] if groups is None else groups
    zeros = np.zeros(len(vectors), dtype=np.int64)
    return Points(vectors.astype(np.float32), zeros, classes, zeros, np.array(names))


def test_tensors_are_brought_to_one_order_of_axes() -> None:
    by_label = np.arange(2 * 3 * 2 * 4, dtype=np.float32).reshape(2, 3, 2, 4)
    np.testing.assert_array_equal(label_axes(by_label, 3, 2), by_label)
    np.testing.assert_array_equal(label_axes(by_label.transpose(0, 2, 1, 3), 3, 2), by_label)
    assert label_axes(by_label[:, 0], 3, 2).shape == (2, 1, 2, 4)
    with pytest.raises(UsageError, match=r"\[2, 3, 2, 4\] has no modality axis of 5"):
        label_axes(by_label, 3, 5)


def test_declared_axes_tell_labels_from_modalities_of_the_same_number() -> None:
    by_label = np.arange(2 * 3 * 3 * 4, dtype=np.float32).reshape(2, 3, 3, 4)
    np.testing.assert_array_equal(label_axes(by_label, 3, 3, "BLMH"), by_label)
    by_modality = by_label.transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(label_axes(by_modality, 3, 3, "BMLH"), by_label)
    with pytest.raises(UsageError, match="as many labels as modalities"):
        label_axes(by_label, 3, 3)
    assert label_axes(by_label[:, 0], 3, 3, "BMH").shape == (2, 1, 3, 4)
    # As many positions as labels: sizes alone would take positions for labels.
    with pytest.raises(UsageError, match="axes B M T H has no vector per modality"):
        label_axes(by_label[:, :2], 3, 2, "BMTH")
    with pytest.raises(UsageError, match="B L H"):
        label_axes(by_label[:, 0], 3, 3, "BLH")


def test_points_are_labels_and_modalities_that_are_there() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random((30, 4)) < 0.4).astype(int)
    available = rng.random((30, 2)) < 0.7
    where = np.stack(np.meshgrid(*map(np.arange, (30, 4, 2)), indexing="ij"), axis=-1)
    first, second = where.astype(np.float32), where.astype(np.float32) + 100
    groups = [f"g{i}" for i in range(30)]
    drawn = draw_points([first, second], truth, available, groups, 60, seed=3)
    assert len(drawn) == 60
    one, two = drawn.of(0), drawn.of(1)
    np.testing.assert_array_equal(one.vectors + 100, two.vectors)
    sample, label, modality = one.vectors.astype(int).T
    np.testing.assert_array_equal((label, modality), (one.label, one.modality))
    assert truth[sample, label].all() and available[sample, modality].all()
    assert one.groups.tolist() == [groups[i] for i in sample]
    assert len({tuple(v) for v in one.vectors.tolist()}) == 30
    again = draw_points([first, second], truth, available, groups, 60, seed=3)
    other = draw_points([first, second], truth, available, groups, 60, seed=4)
    np.testing.assert_array_equal(again.vectors, drawn.vectors)
    assert not np.array_equal(other.vectors, drawn.vectors)
    every = draw_points([first], truth, available, groups, 10_000, seed=0)
    assert len(every) == int((truth.sum(axis=1) * available.sum(axis=1)).sum())


def test_nothing_to_draw_is_refused() -> None:
    x = np.zeros((3, 2, 2, 4), dtype=np.float32)
    with pytest.raises(UsageError, match="no sample"):
        draw_points([x], np.zeros((3, 2), int), np.ones((3, 2), bool), ["g"] * 3, 9, 0)
    with pytest.raises(UsageError, match="different shapes"):
        draw_points([x, x[..., :1]], np.ones((3, 2), int), np.ones((3, 2), bool), ["g"] * 3, 9, 0)


def test_separations_of_what_is_apart_and_of_what_is_not() -> None:
    rng = np.random.default_rng(0)
    classes = np.arange(120) % 3
    noise = rng.standard_normal((120, 6))
    apart, _ = separations(points(noise + 20 * np.eye(3, 6)[classes], classes), ["x"])
    assert apart.silhouette > 0.8 and apart.probe == 1.0 and apart.chance == pytest.approx(1 / 3)
    alike, one_class = separations(points(noise, classes), ["x"])
    assert abs(alike.silhouette) < 0.05 and alike.probe < 0.5
    assert math.isnan(one_class.silhouette) and math.isnan(one_class.probe)


def test_the_probe_sees_nothing_of_the_groups_it_is_tested_on() -> None:
    # Each group has a place of its own and a class drawn at random: only a leak could tell it.
    rng = np.random.default_rng(1)
    of_group = rng.integers(0, 2, size=40)
    group = np.repeat(np.arange(40), 4)
    vectors = np.eye(40)[group] * 10 + 0.01 * rng.standard_normal((160, 40))
    found = separations(points(vectors, of_group[group], [f"g{g}" for g in group]), ["x"])[0]
    assert found.probe < 0.65


def test_the_plane_depends_on_the_seed_only() -> None:
    rng = np.random.default_rng(0)
    drawn = points(rng.standard_normal((30, 5)), np.arange(30) % 2)
    plane = project(drawn, 0)
    assert plane.shape == (30, 2) and np.isfinite(plane).all()
    np.testing.assert_array_equal(plane, project(drawn, 0))
    with pytest.raises(UsageError, match="at least 5 points"):
        project(points(np.zeros((4, 2)), np.zeros(4, int)), 0)


def test_names_of_tensors() -> None:
    given = ["specificity", "X_gamma", "a-b"]
    assert parts_of("a-b", given) == ("a-b",)
    assert parts_of("specificity-X_gamma", given) == ("specificity", "X_gamma")
    with pytest.raises(UsageError, match="no 'commonality'; it gives: specificity, X_gamma, a-b"):
        parts_of("specificity-commonality", given)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose specificity is apart, one where it is mixed, and a model without analysis."""
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    options = {"device": "cpu", "references": False, "plugins": (PLUGIN,)}
    harness.run("best", "known-twin", (0,), **options)
    harness.run("best", "known-twin", (0,), overrides=("model.ablate=[mixed]",), **options)
    harness.run("silent", "known-twin", (0,), **options)


BEST = ["best", "--dataset", "known-twin"]
SILENT = ["silent", "--dataset", "known-twin"]


def call(*words: str) -> Result:
    fixed = ["--plugin", PLUGIN, "--device", "cpu", "--formats", "svg", "--points", "80"]
    return CliRunner().invoke(cli, ["figure", "embeddings", *words, *fixed])


@pytest.mark.usefixtures("trained")
def test_a_run_with_and_without_a_part(tmp_path: Path) -> None:
    where = ("best", "--dataset", "known-twin", "--out", str(tmp_path))
    done = call(*where, "--without", "mixed", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["separations"]
    whole, mixed = (r for r in found if (r["of"], r["by"]) == ("specificity", "modality"))
    assert whole["run"] != mixed["run"] and whole["points"] == 40
    assert whole["silhouette"] > 0.5 > mixed["silhouette"]
    stem = "known-twin-embeddings-best-specificity-commonality"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"{stem}-points.csv", f"{stem}.csv", f"{stem}.svg",
    ]  # fmt: skip
    rows = numbers(tmp_path / f"{stem}-points.csv")
    assert len(rows) == 160 and {r["part"] for r in rows} == {"specificity", "commonality"}
    pair = (whole["run"], "--against", mixed["run"], "--of", "commonality")
    alone = call(*pair, "--out", str(tmp_path))
    assert alone.exit_code == 0, alone.output
    rows = numbers(tmp_path / "known-twin-embeddings-best-commonality.csv")
    assert {r["by"] for r in rows} == {"modality", "label"}


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["best"], 2, "'best' is a model: say on which data, with --dataset."),
        ([*BEST, "--seed", "4"], 2, "there are seeds 0"),
        ([*BEST, "--of", "X_gamma"], 2, "it gives: available"),
        ([*BEST, "--of", "flat"], 2, "choose another with --of"),
        (SILENT, 2, "it gives: nothing"),
        ([*SILENT, "--without", "x"], 3, "--set 'model.ablate=[x]'"),
        (["best-known-twin-s7-0123"], 2, "unknown run 'best-known-twin-s7-0123'. Did you mean"),
    ],
)  # fmt: skip
def test_mistakes_end_in_one_line(arguments: list[str], code: int, text: str) -> None:
    done = call(*arguments)
    assert done.exit_code == code and text in done.output, done.output
    assert done.output.splitlines()[-1].startswith("Error: ")


def test_without_scikit_learn_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store(run())
    monkeypatch.setitem(sys.modules, "sklearn", None)
    done = call("best", "--dataset", "known-twin")
    assert done.exit_code == 2 and "pip install 'emotion-harness[cc]'" in done.output
