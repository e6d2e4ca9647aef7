"""One registry of metrics: a plugin's metric is listed, computed, resampled, tested and shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import fbeta_score

from harness.boards.frame import Key
from harness.boards.views.columns import heading, keys
from harness.cli import cli
from harness.errors import PluginError, UnknownNameError
from harness.plugins import load
from harness.protocols.metrics import METRICS, Metric, metric, multilabel_metrics, register
from harness.protocols.metrics.definitions import BUILTIN
from harness.statistics.bootstrap import resample_weights, resampled
from harness.statistics.compare import Options, compare
from harness.statistics.entrants import Entrant

PLUGIN = """
from harness import Metric, hookimpl
from harness.protocols.metrics import ratio

def sums(truth, decided):
    hits = (truth & decided).sum(axis=-1, keepdims=True)
    return 5 * hits, 4 * truth.sum(axis=-1, keepdims=True) + decided.sum(axis=-1, keepdims=True)

def wrong(truth, decided):
    return truth != decided, truth | True

@hookimpl
def harness_metrics():
    return [
        Metric("micro_f2", "micro-F2", "F-beta of 2 over all decisions", sums,
               lambda n, d: ratio(n, d)[..., 0], columns={"multilabel": 15}),
        Metric("label_hamming", "Hamming", "share of wrong decisions on a label", wrong, ratio,
               lower_is_better=True, per_label=True),
        Metric("top", "top", "largest score", from_scores=lambda s: s.scores.max(),
               label_kinds=("multilabel",)),
    ]
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    before = dict(METRICS)
    path = tmp_path / "my_metrics.py"
    path.write_text(PLUGIN)
    yield str(path)
    METRICS.clear()
    METRICS.update(before)


def test_a_metric_of_a_plugin_is_one_definition(plugin: str) -> None:
    result = CliRunner().invoke(cli, ["list", "metrics", "--json", "--plugin", plugin])
    listed = {m["name"]: m for m in json.loads(result.stdout)["metrics"]}
    assert listed["micro_f2"]["meaning"] == "F-beta of 2 over all decisions"
    assert (listed["top"]["of"], listed["label_hamming"]["better"]) == ("scores", "lower")

    rng = np.random.default_rng(0)
    y, p = (rng.random((2, 90, 3)) < 0.4).astype(np.int8)
    scores = rng.random((90, 3))
    found = multilabel_metrics(y, p, scores, list("abc"))
    assert found["micro_f2"] == pytest.approx(fbeta_score(y, p, beta=2, average="micro"))
    assert found["top"] == np.float32(scores.max())
    assert found["per_label"]["b"]["label_hamming"] == pytest.approx((y != p)[:, 1].mean())
    assert "top" not in multilabel_metrics(y, p, None, list("abc"))

    groups = tuple(f"g{i % 30:02d}" for i in range(90))
    ids, seeds = tuple(f"{i:02d}" for i in range(90)), (0, 1, 2)
    made = [
        Entrant(name, seeds, ids, groups, ("a", "b", "c"), "", "video", y, np.stack([d] * 3))
        for name, d in (("right", y), ("wrong", p))
    ]
    whole = resampled(made[1].sums("micro_f2"), np.ones((1, 30)))
    assert whole == pytest.approx([found["micro_f2"]])
    spread = resampled(made[1].sums("micro_f2"), resample_weights(30, 50))
    assert spread.min() < found["micro_f2"] < spread.max()
    best, other = compare(made, "wrong", "micro_f2", Options(100, 199))
    assert (best.mean, other.mean) == (1.0, pytest.approx(found["micro_f2"]))
    assert best.told_apart and best.p_perm == 1 / 200

    assert [key.metric for key in keys("multilabel")][:3] == ["micro_f1", "micro_f2", "jaccard"]
    assert Key("micro_f2") not in keys("singlelabel")
    assert heading(Key("micro_f2")) == "micro-F2"


def test_the_better_model_of_a_loss_is_the_lower_one() -> None:
    y = (np.random.default_rng(1).random((60, 2)) < 0.5).astype(np.int8)
    ids = tuple(f"{i:02d}" for i in range(60))
    bad = np.stack([np.roll(y, k, axis=0) for k in range(1, 6)])
    good, worse = (
        Entrant(name, tuple(range(5)), ids, ids, ("a", "b"), "", "clip", y, decided)
        for name, decided in (("good", np.stack([y] * 5)), ("worse", bad))
    )
    block = compare([good, worse], "worse", "hamming", Options(100, 199))[0]
    assert block.delta is not None and block.delta < 0
    assert (block.p_improve, block.aso_eps_min) == (1.0, 0.0)


def test_names_of_the_harness_are_taken_and_unknown_ones_refused(plugin: str) -> None:
    Path(plugin).write_text(PLUGIN.replace("micro_f2", "micro_f1"))
    with pytest.raises(PluginError, match=r"'micro_f1' is one of the harness's own metrics"):
        load([plugin])
    with pytest.raises(PluginError, match="harness's own"):
        register(Metric("jaccard", "", "", from_scores=lambda s: 0.0))
    with pytest.raises(UnknownNameError, match="Did you mean 'micro_f1'"):
        metric("micr_f1")


def test_the_page_of_metrics_follows_from_the_registry() -> None:
    heads = ("metric", "column", "labels", "computed from", "better", "meaning")
    rows = [
        (
            f"`{m.name}`" + (" (per label)" if m.per_label else ""),
            m.heading if m.columns else "",
            "both" if len(m.label_kinds) > 1 else m.label_kinds[0],
            "scores" if m.from_scores else "decisions",
            "lower" if m.lower_is_better else "higher",
            m.doc,
        )
        for m in BUILTIN
    ]
    lines = ["| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows)]
    page = Path(__file__).parents[3] / "docs" / "metrics.md"
    expected = [line.replace("|y∧p| / |y∨p|", r"\|y∧p\| / \|y∨p\|") for line in lines]
    found = [line for line in page.read_text("utf-8").splitlines() if line.startswith("|")]
    assert found == expected, "docs/metrics.md: the table is\n" + "\n".join(expected)


@pytest.mark.parametrize(
    "fields", [{}, {"sums": max}, {"value": max}, {"sums": max, "value": max, "from_scores": max}]
)
def test_a_metric_is_of_decisions_or_of_scores(fields: dict[str, object]) -> None:
    with pytest.raises(PluginError, match="'x': give either sums and value, or from_scores"):
        Metric("x", "X", "made", **fields)  # type: ignore[arg-type]
