"""Diagnostics of mechanisms: known numbers, from validation alone, beside an unchanged run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import harness
from harness.boards.board import build_boards, views
from harness.boards.grid import Statistic
from harness.boards.views.mechanisms import TITLES, over_seeds
from harness.cli import cli
from harness.conformance import CheckFailedError, check_diagnostics, check_loss_terms
from harness.data.batch import Batch
from harness.data.store import Store
from harness.engine.diagnose import _Level
from harness.errors import NoValidationError, RunFailedError, UsageError
from harness.model import Diagnostics, ModelPlugin
from harness.records.record import RunRecord
from harness.records.store import RunStore
from harness.specs import ModalitySpec, TaskInfo
from tests.unit.figures.made import numbers

PLUGINS = tuple(str(Path(__file__).with_name(f"{n}_plugin.py")) for n in ("toy", "open"))
SHORT = ("training.epochs=2", "training.batch_size=8")


@pytest.fixture(autouse=True)
def only_these(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")


@pytest.fixture
def no_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Store.split

    def split(self: Store, name: str) -> Any:
        assert name != "test", "the test split was opened"
        return opened(self, name)

    monkeypatch.setattr(Store, "split", split)


def run(model: str = "open", *sets: str, dataset: str = "toy", **options: Any) -> RunRecord:
    options = {"device": "cpu", "references": False, "plugins": PLUGINS, **options}
    (record,) = harness.run(model, dataset, overrides=(*SHORT, *sets), **options)
    return record


def asked(*words: str) -> Result:
    plugins = [w for path in PLUGINS for w in ("--plugin", path)]
    return CliRunner().invoke(cli, [*words, *plugins])


def test_known_gradients_probes_and_reconstructions(no_test_split: None) -> None:
    found = run(diagnose=True, split="valid").facts["diagnostics"]
    assert (found["split"], found["samples"]) == ("valid", 30)
    gradient = found["gradient"]
    assert (gradient["batches"], gradient["batch_size"]) == (3, 8)
    shown = {
        name: tuple(None if v is None else round(v, 6) for v in term.values())
        for name, term in gradient["terms"].items()
    }
    assert shown == {
        "three": (3.0, round(3 / 7, 6), 0.6), "four": (4.0, round(4 / 7, 6), 0.8),
        "apart": (0.0, 0.0, None),
    }  # fmt: skip
    assert found["probe"]["told"] == {"accuracy": 1.0, "chance": 0.5, "vectors": 30 * 2 * 3}
    assert abs(found["probe"]["hidden"]["accuracy"] - 0.5) < 0.1
    assert found["reconstruction"]["exact"]["r2"] == 1.0
    half = found["reconstruction"]["half"]
    assert half["r2"] < 0 and set(half["by_modality"]) == {"text", "audio"}


def test_r2_is_against_the_mean_of_every_entry_over_valid_samples() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(3.0, 1.0, (20, 2, 3, 4)) + 5 * np.arange(3)[:, None]
    made = target + 0.3 * rng.standard_normal(target.shape)
    valid = rng.random((20, 2, 3)) < 0.7
    level = _Level()
    for part in (slice(0, 12), slice(12, 20)):
        tensors = (torch.tensor(x[part]) for x in (np.where(valid[..., None], made, np.nan),
                                                   target, valid))  # fmt: skip
        level.add(*tensors)
    missed = around = 0.0
    for m in range(2):
        for k in range(3):
            x, y = target[valid[:, m, k], m, k], made[valid[:, m, k], m, k]
            missed += ((x - y) ** 2).sum()
            around += ((x - x.mean(0)) ** 2).sum()
    found = level.result(["text", "audio"])
    assert found["r2"] == pytest.approx(1 - missed / around, abs=1e-9)
    assert 0.8 < found["by_modality"]["text"] < 1


def test_a_run_is_the_same_with_and_without_and_is_completed_later(tmp_path: Path) -> None:
    plain = run()
    assert "diagnostics" not in plain.facts
    tensors = (RunStore().folder(plain.id) / "checkpoint.safetensors").read_bytes()
    later = run(diagnose=True)
    again = run(diagnose=True, home=tmp_path / "other")
    assert plain.id == later.id == again.id and plain.metrics == later.metrics == again.metrics
    assert later.facts["diagnostics"] == again.facts["diagnostics"]
    assert RunStore().find(plain.id) == later and not RunStore().faults(later)
    assert (RunStore().folder(plain.id) / "checkpoint.safetensors").read_bytes() == tensors
    done = asked("runs", "diagnose", plain.id, "--json", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)[0]["diagnostics"] == later.facts["diagnostics"]


def test_models_without_diagnostics_and_data_without_validation_say_so() -> None:
    told: list[str] = []
    record = run("toy", diagnose=True, notify=told.append)
    assert "diagnostics" not in record.facts
    assert "toy on toy, seed 0: the model offers no diagnostics." in told
    refused = asked("runs", "diagnose", record.id)
    assert refused.exit_code == 2 and "neither loss_terms nor diagnostics" in refused.stderr
    with pytest.raises(NoValidationError, match="toy-two-splits has none"):
        run(dataset="toy-two-splits", diagnose=True)
    assert set(run("half-open", diagnose=True).facts["diagnostics"]) == {
        "split", "samples", "probe", "reconstruction",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "said"),
    [("terms", "the terms of Open.loss_terms add up to"), ("shape", r"parts\['told'\] has the")],
)
def test_what_breaks_the_contract_is_named_and_the_run_is_kept(fault: str, said: str) -> None:
    with pytest.raises((RunFailedError, UsageError), match=said):
        run("open", f"model.fault={fault}", diagnose=True)
    kept = run("open", f"model.fault={fault}")
    assert kept.status == "ok" and "diagnostics" not in kept.facts


class Shapes(ModelPlugin):
    """A model for the checks alone."""


def test_checks_of_the_contract() -> None:
    task = TaskInfo("made", (ModalitySpec("text", "t", 3, 4),) * 2, ("a", "b"))
    model = Shapes(None, task)
    there = torch.ones(5, 2, dtype=torch.bool)
    batch = Batch({}, {}, there, there, tuple("vwxyz"))
    x = torch.zeros(5, 2, 3, 4)
    good = Diagnostics(there, {"x": x}, {"x": (x, x)})
    assert check_diagnostics(model, good, batch) is good
    assert check_diagnostics(model, None, batch) is None
    by_position = Diagnostics(there[..., None].expand(-1, -1, 3), {"x": x})
    assert check_diagnostics(model, by_position, batch) is by_position
    for wrong, said in (
        ({"x": x}, "expected Diagnostics"),
        (replace(good, valid=there.float()), "valid must be a bool tensor"),
        (replace(by_position, parts={"x": x[:, :, :2]}), r"parts\['x'\] has the shape"),
        (replace(good, parts={"x": x[:, 0]}), r"begin with \[5, 2\]"),
        (replace(good, parts={"x": x / 0}), "is not finite"),
        (replace(good, levels={"x": (x, x[:, :, :1])}), r"its target \[5, 2, 1, 4\]"),
    ):
        with pytest.raises(CheckFailedError, match=said):
            check_diagnostics(model, wrong, batch)
    one = torch.ones(())
    assert check_loss_terms(model, {"a": one, "b": one}, 2 * one) == {"a": one, "b": one}
    for terms in ({"a": one}, {"a": torch.ones(2)}, [one]):
        with pytest.raises(CheckFailedError):
            check_loss_terms(model, terms, 2 * one)


def test_figure_table_and_view_come_from_records_alone(tmp_path: Path) -> None:
    records = [run(seeds=seed, diagnose=True) for seed in (0, 1)]
    missing = asked("figure", "mechanisms", "half-open", "--dataset", "toy", "--out", str(tmp_path))
    assert missing.exit_code == 2 and "half-open" in missing.stderr
    run("half-open")
    missing = asked("figure", "mechanisms", "half-open", "--dataset", "toy", "--out", str(tmp_path))
    assert missing.exit_code == 3 and "harness runs diagnose half-open-toy-s0-" in missing.stderr
    for record in records:
        (RunStore().folder(record.id) / "checkpoint.safetensors").unlink()
    drawn = asked("figure", "mechanisms", "open", "--dataset", "toy", "--out", str(tmp_path))
    assert drawn.exit_code == 0, drawn.output
    assert "gradient_share" in drawn.output and "0.571" in drawn.output
    rows = numbers(tmp_path / "toy-mechanisms-open.csv")
    share = {r["of"]: r for r in rows if r["measure"] == "gradient_share"}
    assert share["three"]["mean"] == f"{3 / 7:.6f}" and share["three"]["n"] == "2"
    told = next(r for r in rows if r["of"] == "told")
    assert (told["measure"], told["mean"], told["reference"]) == (
        "probe_accuracy", "1.000000", "0.500000",
    )  # fmt: skip
    exact = [r["modality"] for r in rows if r["of"] == "exact"]
    assert exact == ["", "text", "audio"] or exact == ["", "audio", "text"]
    assert (tmp_path / "toy-mechanisms-open.svg").is_file()

    (board,) = build_boards(records)
    (view,) = [v for v in views(board) if v.name == "mechanisms"]
    assert [grid.title for grid in view.grids] == list(TITLES.values())
    cells = {row.cells["of"]: row.cells for row in view.grids[0].rows}
    value = cells["four"]["gradient_share"]
    assert isinstance(value, Statistic) and (round(value.mean, 4), value.n) == (0.5714, 2)
    assert {m.of for m in over_seeds(records) if m.reference is not None} == {"told", "hidden"}
    bare = [replace(r, facts={}) for r in records]
    assert "mechanisms" not in [v.name for v in views(build_boards(bare)[0])]
