"""Figures computed a second time with torchmetrics, and records older than a metric."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import harness
from harness.cli import cli
from harness.engine.evaluate import leaves, metrics_at
from harness.engine.second_opinion import REFERENCES, metrics_by_torchmetrics
from harness.protocols.metrics import METRICS
from harness.protocols.metrics.definitions import BUILTIN
from harness.records.record import RunRecord
from harness.records.store import RunStore

TOY = str(Path(__file__).with_name("toy_plugin.py"))
NEW = """
from harness import Metric, hookimpl
from harness.protocols.metrics import ratio

def sums(truth, decided):
    return (truth & decided).sum(-1, keepdims=True), (truth | decided).sum(-1, keepdims=True)

@hookimpl
def harness_metrics():
    return [Metric("micro_jaccard", "micro-Jaccard", "made", sums, lambda n, d: ratio(n, d)[..., 0],
                   columns={"multilabel": 25})]
"""


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[RunRecord]:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    sets = ("training.epochs=1", "training.batch_size=16")
    return harness.run("toy", "toy", (0, 1, 2), overrides=sets, device="cpu", plugins=(TOY,),
                       dropout=("only-t@1",), references=False)  # fmt: skip


@pytest.fixture
def new_metric(tmp_path: Path) -> Any:
    before, path = dict(METRICS), tmp_path / "new_metric.py"
    path.write_text(NEW)
    yield str(path)
    METRICS.clear()
    METRICS.update(before)


@settings(max_examples=40)
@given(st.data(), st.tuples(st.integers(1, 20), st.integers(1, 4)), st.booleans())
def test_torchmetrics_gives_every_figure(data: Any, shape: tuple[int, int], single: bool) -> None:
    few = st.sampled_from([0.0, 0.2, 0.25, 0.5, 0.9, 1.0])
    scores = data.draw(hnp.arrays(np.float32, shape, elements=few))
    truth = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 1)))
    kind = "singlelabel" if single else "multilabel"
    if single:
        truth = np.eye(shape[1], dtype=np.uint8)[truth.sum(axis=1) % shape[1]]
    names = [f"label{i}" for i in range(shape[1])]
    for ranked in (True, False):
        want = dict(leaves(metrics_at(scores, truth, names, kind, 0.25, ranked=ranked)))
        found = metrics_by_torchmetrics(scores, truth, names, kind, 0.25, ranked=ranked)
        assert dict(leaves(found)) == pytest.approx(want, abs=1e-6)


def test_no_counterpart_is_of_a_metric_that_is_gone() -> None:
    assert REFERENCES.keys() <= {m.name for m in BUILTIN} and len(REFERENCES) >= 19


def test_verify_passes_and_names_a_figure_that_does_not_follow(runs: list[RunRecord]) -> None:
    done = call("runs", "verify")
    assert done.exit_code == 0, done.output
    assert "of 3 runs computed again: none differs" in done.output
    metrics = json.loads(json.dumps(runs[0].metrics))
    metrics["only-t@1"]["test"]["declared"]["hamming"] += 2e-6
    RunStore().write(replace(runs[0], metrics=metrics))
    done = call("runs", "verify", "--json")
    assert done.exit_code == 1 and "harness rescore" in done.stderr
    (wrong,) = json.loads(done.stdout)["differences"]
    place = ("run", "protocol", "split", "threshold", "metric")
    assert [wrong[k] for k in place] == [runs[0].id, "only-t@1", "test", "declared", "hamming"]
    assert wrong["recorded"] - wrong["torchmetrics"] == pytest.approx(2e-6, rel=0.1)
    assert call("runs", "verify", runs[1].id).exit_code == 0
    assert call("runs", "verify", "no-such-run").exit_code == 2


def change_jaccard(path: Path, run: str) -> None:
    """Write a board's file anew with another Jaccard of one run."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    lines = [json.loads(line) for line in members["records.jsonl"].splitlines()]
    (document,) = (line for line in lines if line["id"] == run)
    document["metrics"]["full@1"]["test"]["declared"]["jaccard"] += 5e-6
    members["records.jsonl"] = "".join(json.dumps(line) + "\n" for line in lines).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_records_stay_valid_when_a_metric_is_added(
    runs: list[RunRecord], new_metric: str, tmp_path: Path
) -> None:
    out = tmp_path / "boards"
    done = call("leaderboard", "--out", str(out), "--export", str(out / "records"))
    assert done.exit_code == 0
    assert call("leaderboard", "--check", "--out", str(out)).exit_code == 0
    twice = ("leaderboard", "--check", "--no-cache", "--out", str(out))
    assert call(*twice).exit_code == 0
    path = out / "records" / "toy.records.zip"
    whole = path.read_bytes()
    change_jaccard(path, runs[0].id)
    done = call(*twice)
    assert done.exit_code == 1 and f"{runs[0].id}, full@1 test declared jaccard: " in done.stderr
    assert "by torchmetrics" in done.stderr
    path.write_bytes(whole)
    # A metric without a column changes no file.
    plain = tmp_path / "plain.py"
    plain.write_text(NEW.replace('columns={"multilabel": 25}', "columns={}"))
    assert call("leaderboard", "--check", "--out", str(out), "--plugin", str(plain)).exit_code == 0
    # Boards have a column of the new metric: empty, for the records lack it; they are still valid.
    done = call("leaderboard", "--records", str(out / "records"), "--out", str(tmp_path / "new"),
                "--plugin", new_metric)  # fmt: skip
    assert done.exit_code == 0
    page = (tmp_path / "new" / "toy.json").read_text()
    assert "micro-Jaccard" in page
    assert call("runs", "verify", "--plugin", new_metric).exit_code == 0
    again = call("leaderboard", "--check", "--out", str(tmp_path / "new"), "--records",
                 str(out / "records"), "--plugin", new_metric)  # fmt: skip
    assert again.exit_code == 0, again.output
    # Asked for, it is computed from their predictions.
    harness.run("toy-manual", "toy", (0, 1, 2), device="cpu", plugins=(TOY,), references=False,
                overrides=("training.epochs=1",))  # fmt: skip
    words = ("toy", "toy-manual", "--dataset", "toy", "--metric", "micro_jaccard", "--json")
    fast = ("--permutations", "99", "--resamples", "100")
    done = call("compare", *words, *fast, "--plugin", new_metric, "--plugin", TOY)
    figures = [r.metrics["full@1"]["test"]["declared"] for r in runs]
    assert all("micro_jaccard" not in f for f in figures)
    want = np.mean([f["micro_f1"] / (2 - f["micro_f1"]) for f in figures])  # J = F / (2 - F)
    assert json.loads(done.stdout)["models"][0]["mean"] == pytest.approx(want)
    done = call("rescore", "--plugin", new_metric, "--json")
    report = json.loads(done.stdout)
    assert report["changes"] == []
    assert {a["figure"].rpartition("/")[2] for a in report["added"]} == {"micro_jaccard"}
    found = RunStore().find(runs[0].id)
    assert found is not None
    at = found.metrics["full@1"]["test"]["declared"]
    assert at["micro_jaccard"] == pytest.approx(at["micro_f1"] / (2 - at["micro_f1"]))
    assert call("rescore", "--plugin", new_metric).output.count("0 figures changed.") == 1
