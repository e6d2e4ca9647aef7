"""Boards gathered in ``next/``, switched and removed; exports that add rows to a board."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import harness
from harness.cli import cli
from harness.records import artefacts
from harness.records.committed import CommittedRecords, export
from harness.records.predictions import predictions_file, read_predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore
from tests.unit.records.archives import edited

TOY = str(Path(__file__).with_name("toy_plugin.py"))
OTHER = "other"
"""A second board: the toy's runs under another name of the data set."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, bytes]:
    """Return a run and the file of its predictions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("HARNESS_PLUGINS", "")
        (record,) = harness.run(
            "toy", "toy", (0,), device="cpu", references=False, plugins=(TOY,),
            overrides=("training.epochs=1", "training.batch_size=16"), dropout=("core@1",),
        )  # fmt: skip
        labels, parts = read_predictions(RunStore().predictions(record.id))
        return record, predictions_file(parts, labels)


class Home:
    """Runs made from one, a seed and a setting each, and a folder of boards."""

    def __init__(self, trained: tuple[RunRecord, bytes], out: Path) -> None:
        self.record, self.predictions = trained
        self.out, self.records, self.next = out, out / "records", out / "next"
        self.count = 0

    def run(
        self, seed: int, dataset: str = "toy", content_hash: str = "", **changes: Any
    ) -> RunRecord:
        """Return a run under ``tuned`` in the home's store; ``changes`` are fields of it."""
        self.count += 1
        about = self.record.dataset | {"name": dataset, "base_name": dataset}
        about |= {"content_hash": content_hash} if content_hash else {}
        known: dict[str, Any] = {
            "id": f"toy-{dataset}-s{seed}-{self.count:012x}",
            "fingerprint": f"{self.count:064x}", "seed": seed, "dataset": about,
            "config": self.record.config | {"preset": "tuned"},
            "request": self.record.request
            | {"seed": seed, "dataset": dataset, "preset": "tuned", "overrides": {}},
        }  # fmt: skip
        made = replace(self.record, **known | changes)
        return RunStore().write(made, {"predictions.parquet": self.predictions})

    def declare(self, seeds: str, dataset: str = "toy") -> None:
        self.out.mkdir(exist_ok=True)
        text = f"{dataset}: [{{models: [toy], preset: tuned, seeds: [{seeds}]}}]\n"
        (self.out / "entrants.yaml").write_text(text)

    def call(self, *words: str) -> Result:
        done = CliRunner().invoke(cli, ["leaderboard", "--out", str(self.out), *words])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    def gather(self, *runs: RunRecord) -> None:
        export(runs, RunStore(), self.next)

    def files(self) -> dict[str, bytes]:
        found = (p for p in sorted(self.out.rglob("*")) if p.is_file())
        return {p.relative_to(self.out).as_posix(): p.read_bytes() for p in found}

    def rows(self, folder: Path | None = None) -> list[str]:
        return CommittedRecords(folder or self.records).names()


@pytest.fixture
def home(
    trained: tuple[RunRecord, bytes], own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> Home:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    return Home(trained, own_folders / "boards")


def test_gathered_records_are_checked_and_on_no_board(home: Home) -> None:
    old = home.run(0)
    export([old], RunStore(), home.records)
    assert home.call("--records", str(home.records)).exit_code == 0
    before = home.files()
    new = home.run(1)
    done = home.call("--export", str(home.next), "--dataset", "toy")
    assert done.exit_code == 0 and home.rows(home.next) == sorted([old.id, new.id])
    assert {k: v for k, v in home.files().items() if not k.startswith("next/")} == before
    assert home.call("--check").exit_code == 0
    assert home.call("--records", str(home.records)).exit_code == 0
    assert {k: v for k, v in home.files().items() if not k.startswith("next/")} == before
    path = home.next / "toy.records.zip"
    with edited(path, new.id) as document:
        document["metrics"]["full@1"]["test"]["tuned"]["micro_f1"] += 0.01
    done = home.call("--check")
    assert done.exit_code == 1 and f"next/{new.id}: the predictions do not give" in done.output
    path.rename(home.next / "wrong.records.zip")
    assert f"next/wrong.records.zip: {new.id} is of toy" in home.call("--check").output
    (home.next / "wrong.records.zip").write_bytes(b"PK")
    done = home.call("--check")
    assert done.exit_code != 0 and "wrong.records.zip is damaged" in done.output


def test_runs_on_several_contents_make_no_board(home: Home) -> None:
    export([home.run(0)], RunStore(), home.records)
    assert home.call("--records", str(home.records)).exit_code == 0
    home.gather(home.run(1), home.run(2, content_hash="f" * 64))
    done = home.call("--check")
    assert done.exit_code == 1 and "several contents of the data" in done.output
    home.declare("1, 2")
    assert home.call("--switch", "toy").exit_code == 2


def test_a_switch_takes_the_place_of_a_board_as_a_whole(home: Home) -> None:
    old, beside = home.run(0), home.run(0, OTHER)
    export([old, beside], RunStore(), home.records)
    assert home.call("--records", str(home.records)).exit_code == 0
    (home.out / "toy-old.md").write_text("a view that the new board does not have")
    (home.out / "kept.md").write_text("of someone else")
    home.declare("1, 2")
    before = home.files()
    new = [home.run(1)]
    home.gather(*new)
    gathered = home.files()
    done = home.call("--switch", "toy")
    assert done.exit_code == 2 and "lacks toy, seed 2" in done.output
    assert home.files() == gathered
    assert "Did you mean" in home.call("--switch", "toi").output
    new.append(home.run(2))
    home.gather(*new)
    done = home.call("--switch", "toy")
    assert done.exit_code == 0, done.output
    assert home.rows() == sorted([beside.id, *(r.id for r in new)]) and not home.next.exists()
    after = home.files()
    assert "toy-old.md" not in after and after["kept.md"] == before["kept.md"]
    assert after["other.csv"] == before["other.csv"] and after["toy.csv"] != before["toy.csv"]
    (home.out / "kept.md").unlink()
    assert home.call("--check").exit_code == 0


def test_an_incomplete_or_undeclared_board_is_switched_only_by_name(home: Home) -> None:
    home.gather(home.run(1))
    done = home.call("--switch", "toy")
    assert done.exit_code == 2 and "declares no entrants" in done.output
    assert home.call("--switch", "toy", "--incomplete").exit_code == 0
    assert len(home.rows()) == 1 and home.call("--check").exit_code == 0


@pytest.mark.parametrize("decided", [False, True])
def test_a_killed_switch_leaves_either_state(
    home: Home, monkeypatch: pytest.MonkeyPatch, decided: bool
) -> None:
    old = home.run(0)
    export([old], RunStore(), home.records)
    home.declare("1")
    assert home.call("--records", str(home.records)).exit_code == 0
    new = home.run(1)
    home.gather(new)
    before = home.files()
    with monkeypatch.context() as patch:

        def die(*words: object) -> None:
            raise SystemExit(137)

        if decided:
            patch.setattr(artefacts, "_complete", die)
        else:
            patch.setattr(artefacts, "_sync", die)
        assert home.call("--switch", "toy").exit_code == 137
    if not decided:
        assert home.files() == before
    assert home.call("--check").exit_code == 0
    assert home.rows() == [new.id if decided else old.id]
    assert not [name for name in home.files() if ".new." in name or ".commit" in name]


def test_remove_takes_a_board_with_records_and_pictures(home: Home) -> None:
    old, beside = home.run(0), home.run(0, OTHER)
    export([beside], RunStore(), home.records)
    flat = home.records / f"{old.id}.json"
    flat.write_text(old.to_json())
    export([home.run(5, OTHER)], RunStore(), home.records)
    home.records.joinpath(f"{old.id}.parquet").write_bytes(b"")
    figures = home.out / "figures"
    figures.mkdir()
    for name in ("toy-labels.png", "other-labels.png"):
        (figures / name).write_bytes(b"png")
    done = home.call("--remove", "gone")
    assert done.exit_code == 2 and "other" in done.output and "toy" in done.output
    done = home.call("--remove", "toy", "--json")
    assert done.exit_code == 0, done.output
    removed = {Path(name).name for name in json.loads(done.stdout)["removed"]}
    assert removed == {flat.name, f"{old.id}.parquet", "toy-labels.png"}
    assert home.call("--check").exit_code == 0 and len(home.rows()) == 2
    assert (figures / "other-labels.png").exists() and (home.out / "other.csv").exists()
    assert home.call("--remove", "other").exit_code == 0
    assert not (home.out / "other.csv").exists() and home.rows() == []


def test_an_export_of_some_models_adds_rows_and_takes_the_place_of_the_same_request(
    home: Home,
) -> None:
    code = home.record.model | {"code": "b" * 64}
    first, stays = home.run(0), home.run(1)
    export([first, stays], RunStore(), home.records)
    again = home.run(0, model=code)  # the model's code and with it the run's name changed
    added = home.run(2)
    export([again, added], RunStore(), home.records)
    assert home.rows() == sorted([stays.id, again.id, added.id])
    other = home.run(1, request=stays.request | {"overrides": {"training.lr": 0.1}})
    export([other], RunStore(), home.records)
    assert home.rows() == sorted([stays.id, again.id, added.id, other.id])


def test_a_committed_run_stays_where_it_was_scored_under_more(home: Home) -> None:
    run = home.run(0)
    export([run], RunStore(), home.records)
    fewer = replace(run, metrics={"full@1": run.metrics["full@1"]})
    RunStore().write(fewer, {"predictions.parquet": home.predictions})
    export([fewer], RunStore(), home.records)
    (found,) = CommittedRecords(home.records).all()
    assert set(found.metrics) == set(run.metrics)
    newer = replace(fewer, model=run.model | {"code": "b" * 64})
    RunStore().write(newer, {"predictions.parquet": home.predictions})
    export([newer], RunStore(), home.records)
    (found,) = CommittedRecords(home.records).all()
    assert set(found.metrics) == {"full@1"}


@pytest.mark.parametrize(
    "words",
    [("--switch", "toy", "--check"), ("--remove", "toy", "--switch", "toy"), ("--incomplete",),
     ("--remove", "toy", "--split", "valid")],
)  # fmt: skip
def test_options_that_do_not_go_together(home: Home, words: tuple[str, ...]) -> None:
    done = home.call(*words)
    assert done.exit_code == 2 and "--" in done.output and not home.out.exists()
