"""``--log``: what trackers write, that they are no part of a run, and the documented plugins."""

from __future__ import annotations

import csv
import importlib
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import harness
from harness import paths
from harness.cli import cli
from harness.engine import trackers
from harness.records.store import RunStore

TOY = str(Path(__file__).with_name("toy_plugin.py"))
PAGE = Path(__file__).parents[3] / "docs" / "trackers.md"
SETS = ("training.epochs=2", "training.batch_size=16")


@pytest.fixture(autouse=True)
def toy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    monkeypatch.delenv("HARNESS_LOG", raising=False)


def run(plugins: tuple[str, ...] = (TOY,), **options: Any) -> Any:
    (made,) = harness.run("toy", "toy", overrides=SETS, device="cpu", plugins=plugins,
                          references=False, **options)  # fmt: skip
    return made


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def test_csv_holds_each_epoch_and_changes_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run()
    assert not (paths.home() / "logs").exists(), "nothing is written that was not asked for"
    logged = run(rerun=True, log="csv")
    assert logged.id == plain.id and logged.metrics == plain.metrics
    assert logged.request == plain.request and logged.command == plain.command
    with (paths.home() / "logs" / f"{logged.id}.csv").open() as stream:
        rows = [r for r in csv.DictReader(stream) if r["metric"] == "loss"]
    assert [int(r["epoch"]) for r in rows] == [0, 1]
    assert [float(r["value"]) for r in rows] == [e["loss"] for e in logged.epochs]
    monkeypatch.setenv("HARNESS_LOG", "csv")
    run(rerun=True)
    text = (paths.home() / "logs" / f"{logged.id}.csv").read_text()
    assert text.count(",loss,") == 2, "a run that is repeated begins anew"


def test_tensorboard_reads_back_what_was_logged() -> None:
    pytest.importorskip("tensorboard")
    made = run(log="csv,tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(paths.home() / "logs" / "tensorboard" / made.id))
    events.Reload()
    losses = events.Scalars("loss")
    assert [s.step for s in losses] == [0, 1]
    assert [s.value for s in losses] == pytest.approx([e["loss"] for e in made.epochs])
    tested = made.metrics["full@1"]["test"]["declared"]["micro_f1"]
    assert events.Scalars("test/micro_f1")[0].value == pytest.approx(tested)


def test_a_missing_package_and_a_wrong_name_are_said_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    words = ("run", "--model", "toy", "--dataset", "toy", "--plugin", TOY, "--no-reference",
             "--jobs", "1")  # fmt: skip
    done = call(*words, "--log", "tensorboard")
    assert done.exit_code == 2 and "emotion-harness[tensorboard]" in done.output, done.output
    wrong = call(*words, "--log", "cvs")
    assert wrong.exit_code == 2 and "Did you mean 'csv'" in wrong.output
    assert RunStore().names() == []


def test_a_tracker_that_cannot_write_ends_no_training(tmp_path: Path) -> None:
    (paths.home()).mkdir(parents=True)
    (paths.home() / "logs").write_text("a file in the way")
    said: list[str] = []
    made = run(log="csv", notify=said.append)
    assert made.status == "ok" and any("goes on without it" in line for line in said)


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)


class Fake(types.ModuleType):
    """Stands for wandb or mlflow: every call is kept, nothing is sent."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def called(*args: Any, **options: Any) -> Fake:
            self.calls.append((name, args, options))
            return self

        return called

    def of(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(args, options) for n, args, options in self.calls if n == name]


@pytest.fixture(params=["wandb", "mlflow"])
def fake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    made = Fake(request.param)
    monkeypatch.setitem(sys.modules, request.param, made)
    yield made
    importlib.invalidate_caches()


def test_the_documented_plugins_send_epochs_and_results_where_they_are_configured(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = (b for b in blocks() if f"import {fake.__name__}" in b)
    path = tmp_path / f"{fake.__name__}_tracker.py"
    path.write_text(code)
    variable = {"wandb": "WANDB_PROJECT", "mlflow": "MLFLOW_TRACKING_URI"}[fake.__name__]
    monkeypatch.delenv(variable, raising=False)
    run((TOY, str(path)))
    assert fake.calls == [], "nothing is sent unless it is configured"
    monkeypatch.setenv(variable, "mine")
    made = run((TOY, str(path)), rerun=True)
    figure = made.metrics["full@1"]["test"]["declared"]["micro_f1"]
    log = "log" if fake.__name__ == "wandb" else "log_metrics"
    steps = [options["step"] for _, options in fake.of(log) if "step" in options]
    assert steps[:2] == [0, 1]
    assert fake.of(log)[0][0][0]["loss"] == made.epochs[0]["loss"]
    assert any(figure in (args[0] if args else {}).values() for args, _ in fake.of(log))
    ended = "finish" if fake.__name__ == "wandb" else "end_run"
    assert len(fake.of(ended)) == 1


def test_every_tracker_is_in_the_documentation() -> None:
    assert all(f"`{name}`" in PAGE.read_text("utf-8") for name in trackers.TRACKERS)
