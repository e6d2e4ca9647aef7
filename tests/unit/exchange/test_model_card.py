"""Runs as model cards: what Hugging Face's own reader finds in them is what the record says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import harness
from harness.cli import cli
from harness.errors import UsageError
from harness.exchange.model_card import model_card
from harness.plugins import load
from harness.records.record import RunRecord
from harness.records.store import RunStore
from tests.unit.boards.made import record

TOY = str(Path(__file__).parents[1] / "engine" / "toy_plugin.py")


@pytest.fixture(autouse=True)
def only_toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, ["export", *words])


def made(**changes: Any) -> RunRecord:
    return replace(
        record(tuned=0.625), artefacts={"checkpoint.safetensors": "blake2b:0"}, **changes
    )


def results(text: str) -> Iterator[Any]:
    """Yield the evaluation results as Hugging Face's library reads them."""
    from huggingface_hub import ModelCard

    found: Any = ModelCard(text).data
    yield from found.eval_results


def test_a_run_is_described_and_read_back(tmp_path: Path) -> None:
    sets = ("training.epochs=1", "training.batch_size=16")
    (run,) = harness.run("toy", "toy", overrides=sets, device="cpu", plugins=(TOY,),
                         dropout="only-t@1", references=False)  # fmt: skip
    to = tmp_path / "README.md"
    done = call(run.id, "--format", "model-card", "--to", str(to), "--plugin", TOY)
    assert done.exit_code == 0, done.output
    text = to.read_text("utf-8")
    found = [*results(text)]
    scored = {r.dataset_config for r in found}
    assert scored == {"full@1", "only-t@1"} == run.metrics.keys()
    for one in found:
        kind = (one.metric_args or {"kind": "declared"})["kind"]
        figures = run.metrics[one.dataset_config]["test"][kind]
        assert one.metric_value == figures[one.metric_type], one
        if one.metric_args:
            assert one.metric_args["threshold"] == run.threshold[kind]
        assert one.dataset_revision == run.dataset["content_hash"]
        assert (one.dataset_split, one.source_url) == ("test", "record.json")
        assert one.task_type == "multi-label-classification"
    whole = {(r.metric_type, (r.metric_args or {}).get("kind")) for r in found
             if r.dataset_config == "full@1"}  # fmt: skip
    assert {("micro_f1", "tuned"), ("micro_f1", "declared"), ("macro_ap", None)} <= whole
    assert run.command in text
    assert "harness predict FOLDER --split test --out scores.csv --plugin toy_plugin.py\n" in text
    assert "To bring, unchanged, from where the run was made: `toy_plugin.py`" in text
    assert all(f"| {n}" in text and v in text for n, v in run.provenance["packages"].items())
    assert "Generated data" not in text
    exported = tmp_path / "elsewhere"
    out = CliRunner().invoke(cli, ["runs", "export", run.id, "--to", str(exported)])
    assert out.exit_code == 0, out.output
    again = call(str(exported), "--format", "model-card", "--plugin", TOY)
    assert again.stdout == text, "a folder gives the card of its run"


def test_a_run_on_a_twin_says_so_at_the_top() -> None:
    twin = made()
    twin = replace(twin, dataset=twin.dataset | {"name": "fake-twin", "source": "twin",
                   "twin": {"version": 3, "seed": 1, "size": "default"}})  # fmt: skip
    text = model_card(twin, load())
    body = text.split("---\n", 2)[2]
    assert "**Generated data.**" in body.split("## ")[0]
    assert "nothing about the real `fake`" in body and "recipe 3, seed 1, size default" in body
    (first, *_) = results(text)
    assert first.dataset_name == "fake@1 (generated)" and "generated-data" in text


def test_a_cross_corpus_run_names_both_data_sets() -> None:
    told = "trained on a, tested on b"
    where = {"content_hash": "aaa"}
    same, other = ({"dataset": name, **where} for name in ("a", "b"))
    assert told in model_card(made(trained_on=same, tested_on=other), load())
    for one in ({"trained_on": same, "tested_on": same}, {"trained_on": None, "tested_on": other}):
        assert "different data" not in model_card(made(**one), load())


def test_single_labels_have_no_threshold() -> None:
    run = made(threshold={"declared": 0.5, "tuned": None})
    run = replace(run, dataset=run.dataset | {"label_kind": "singlelabel"})
    found = {r.metric_name: r for r in results(model_card(run, load()))}
    assert found["accuracy"].metric_value == 0.5
    assert found["accuracy"].task_type == "multi-class-classification"
    assert "Threshold `" not in model_card(run, load())


def test_data_whose_terms_are_closed_and_older_code_are_limits() -> None:
    run = made(result_version=1)
    run = replace(run, dataset=run.dataset | {"redistribute": False})
    limits = model_card(run, load()).split("## Limits")[1].split("## ")[0]
    assert "do not let its samples be passed on" in limits
    assert "result version 1" in limits
    plain = model_card(made(), load())
    assert "passed on" not in plain and "older code" not in plain


def test_runs_that_cannot_be_described_are_refused() -> None:
    for run, told in (
        (record(), "has no checkpoint"),
        (made(status="failed"), "status failed"),
        (made(metrics={"full@1": {"valid": {"declared": {"micro_f1": 0.5}}}}), "was not scored"),
    ):
        with pytest.raises(UsageError, match=told):
            model_card(run, load())


def test_what_is_no_run_is_one_message(tmp_path: Path) -> None:
    store = RunStore()
    kept = store.write(record())
    for words, told in (
        (("nobody",), "unknown run 'nobody'"),
        ((str(tmp_path),), "no run is in this folder"),
        ((kept.id,), "has no checkpoint"),
    ):
        to = tmp_path / "card.md"
        ended = call(*words, "--format", "model-card", "--to", str(to))
        assert ended.exit_code in (2, 3) and told in ended.stderr, ended.output
        assert "Traceback" not in ended.stderr and not to.exists()
