"""Development on validation: no test score is computed until it is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import harness
from harness.boards.frame import Key
from harness.cli import cli
from harness.data.store import Store
from harness.engine import loop
from harness.errors import NoValidationError, UsageError
from harness.records.record import RunRecord
from harness.records.scorings import counted
from harness.records.store import RunStore

TOY = str(Path(__file__).with_name("toy_plugin.py"))
SHORT = ("training.epochs=2", "training.batch_size=16")
ONE = ("--jobs", "1", "--device", "cpu", "--plugin", TOY, "--set", "training.epochs=2")


@pytest.fixture(autouse=True)
def only_the_toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")


@pytest.fixture
def no_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make opening the test split an error."""
    opened = Store.split

    def split(self: Store, name: str) -> Any:
        assert name != "test", "the test split was opened"
        return opened(self, name)

    monkeypatch.setattr(Store, "split", split)


def run(*sets: str, model: str = "toy", dataset: str = "toy", **options: Any) -> RunRecord:
    options = {"device": "cpu", "references": False, "plugins": (TOY,), **options}
    (record,) = harness.run(model, dataset, overrides=(*SHORT, *sets), **options)
    return record


def asked(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def test_validation_alone_is_scored(no_test_split: None) -> None:
    record = run(split="valid", dropout="core@1", references=True)
    assert {s for splits in record.metrics.values() for s in splits} == {"valid"}
    assert len(record.metrics) == 12 and record.tested_on is None
    assert record.request["split"] == "valid" and "--split valid" in record.command
    assert record.tested_before is None
    parts = RunStore().parts(record)
    assert {part.split for part in parts} == {"valid"}
    # The reference rows beside it neither.
    (prior,) = [r for r in RunStore().all() if r.role == "trivial"]
    assert set(prior.metrics["full@1"]) == {"valid"}


def test_test_is_added_from_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(rerun=True)
    before = run("model.width=4", split="valid")
    told: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "run", lambda self: pytest.fail("trained again"))
        after = run("model.width=4", notify=told.append)
        assert run("model.width=4", split="valid") == after
    assert (
        after.id == before.id
        and after.metrics["full@1"]["valid"] == (before.metrics["full@1"]["valid"])
    )
    assert any("scoring the test split" in line for line in told)
    assert set(after.metrics["full@1"]) == {"valid", "test"}
    assert after.request["split"] is None and "--split" not in after.command
    assert after.tested_on == after.trained_on and RunStore().find(after.id) == after
    # It is what a run made with test at once would be.
    again = run("model.width=4", rerun=True)
    assert again.metrics == after.metrics and again.request == after.request
    assert whole.id != after.id


def test_a_repeated_run_keeps_the_splits_it_had(no_test_split: None) -> None:
    first = run(split="valid", dropout="drop-t@1")
    again = run(split="valid", rerun=True)
    assert again.metrics == first.metrics


def test_settings_that_were_tested_before_are_counted() -> None:
    assert run().tested_before == 0
    assert run(seeds=1).tested_before == 0  # another seed is no other setting
    run("training.lr=0.5", split="valid")
    assert run("training.lr=0.1").tested_before == 1
    assert run("training.lr=0.5").tested_before == 2
    assert run("training.lr=0.5", dropout="drop-t@1").tested_before == 2
    assert run("training.lr=0.1", seeds=1).tested_before == 2
    assert run(dataset="toy-single").tested_before == 0  # other data
    assert run(model="toy-manual").tested_before == 0  # another model
    store = RunStore()
    record = run("training.lr=0.1")
    for other in store.of_model("toy"):
        if other.config["training"]["lr"] == 0.5:
            document = other.as_dict() | {"role": "trial"}
            store.write(RunRecord.from_dict(document))
    assert counted(store, record).tested_before == 1  # trials are not counted


def test_a_record_without_the_field_is_read() -> None:
    document = run().as_dict()
    del document["tested_before"], document["request"]["split"]
    assert RunRecord.from_dict(document).tested_before is None


@pytest.mark.parametrize("verb", ["run", "compare", "ablate", "leaderboard"])
def test_data_without_validation_is_refused(verb: str) -> None:
    run(dataset="toy-two-splits")
    words = {
        "run": ("run", "--model", "toy", *ONE),
        "ablate": ("ablate", "--model", "toy", *ONE),
        "compare": ("compare", "toy", "toy", "--plugin", TOY),
        "leaderboard": ("leaderboard", "--plugin", TOY),
    }[verb]
    refused = asked(*words, "--dataset", "toy-two-splits", "--split", "valid")
    assert refused.exit_code == 2 and "needs a validation split" in refused.stderr
    with pytest.raises(NoValidationError):
        run(dataset="toy-two-splits", split="valid")


def test_authors_rules_and_other_splits_are_refused() -> None:
    with pytest.raises(UsageError, match="--compat"):
        run(model="toy-plain", split="valid", compat=True)
    with pytest.raises(UsageError, match="train"):
        run(split="train")


def test_run_prints_validation_beside_test() -> None:
    words = ("run", "--model", "toy", "--dataset", "toy", *ONE)
    alone = asked(*words, "--split", "valid").output
    assert "on valid (30 samples)" in alone and "test (" not in alone
    assert "Test is not scored" in alone
    both = asked(*words).output
    (record,) = RunStore().of("toy", "toy", 0)
    figures = record.metrics["full@1"]
    heads = next(line for line in both.splitlines() if line.startswith("model "))
    row = next(line for line in both.splitlines() if line.startswith("toy  "))
    at = heads.index("micro-F1 tuned valid")
    assert row[at : at + 6] == f"{figures['valid']['tuned']['micro_f1']:.4f}"
    assert f"{figures['test']['tuned']['micro_f1']:.4f}" in row


def test_boards_of_validation(tmp_path: Path) -> None:
    for seed in range(3):
        run(seeds=seed)
        run("training.lr=0.1", seeds=seed, split="valid")
    out = ("--plugin", TOY, "--out", str(tmp_path))
    assert asked("leaderboard", *out, "--split", "valid").exit_code == 0
    assert not list(tmp_path.glob("*.*"))
    grids = json.loads((tmp_path / "valid" / "toy.json").read_text())["grids"]
    rows = [row for row in grids[0]["rows"] if row["row_role"] == "model"]
    assert {row["n"] for row in rows} == {3} and len(rows) == 2
    assert grids[0]["facts"]["split"] == "valid"
    assert all(row["tuned_micro_f1_samples"] for row in rows)
    assert "for development" in (tmp_path / "valid" / "toy.md").read_text()
    check = ("--split", "valid", "--check", "--records", str(RunStore().root))
    assert asked("leaderboard", *out, *check).exit_code == 0

    assert asked("leaderboard", *out).exit_code == 0
    (tested,) = json.loads((tmp_path / "toy.json").read_text())["grids"][0]["rows"]
    assert tested["tested_before"] == 0
    assert "tested_before" in (tmp_path / "toy.csv").read_text()
    assert '"tested":0' in (tmp_path / "toy.js").read_text()
    words = ("--split", "valid", "--export", str(tmp_path / "records"))
    assert "--export" in asked("leaderboard", *out, *words).stderr


def test_rows_are_compared_on_validation() -> None:
    for seed in range(3):
        run(seeds=seed, split="valid")
        run(model="toy-manual", seeds=seed, split="valid")
    words = ("compare", "toy", "toy-manual", "--dataset", "toy", "--plugin", TOY)
    found = json.loads(asked(*words, "--split", "valid", "--json").output)
    assert found["split"] == "valid" and found["models"][0]["n_samples"] == 30
    figures = [r.metrics["full@1"]["valid"]["tuned"] for r in RunStore().of_model("toy")]
    mean = sum(one["micro_f1"] for one in figures) / len(figures)
    assert found["models"][0]["mean"] == pytest.approx(mean)
    assert "30 valid samples" in asked(*words, "--split", "valid").output
    missing = asked(*words)
    assert missing.exit_code == 3 and "full@1 on test" in missing.stderr


def test_a_row_has_its_figures_on_validation() -> None:
    from harness.boards.rows import tables

    record = run()
    (table,) = tables([record])
    found = table.rows[0].on("valid", Key("micro_f1"))
    assert found is not None
    assert found.mean == record.metrics["full@1"]["valid"]["declared"]["micro_f1"]
