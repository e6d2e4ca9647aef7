"""Record schema 2: conversion of schema 1, outline checks on reading, migration in place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.errors import DataFormatError
from harness.records.committed import CommittedRecords
from harness.records.record import RunRecord, validate
from harness.records.request import blank_request, command_of, override_text, settings
from harness.records.store import RunStore
from tests.unit.records.test_records import make_record

SCHEMA_2 = (
    "result_version", "request", "artefacts", "budget", "trained_on", "tested_on", "ablation",
)  # fmt: skip


def schema_1(command: str, **changes: Any) -> dict[str, Any]:
    """Return a document as the first harness wrote it."""
    document = make_record(command=command).as_dict()
    for key in SCHEMA_2:
        del document[key]
    model = {**document["model"], "name": "ramer", "distribution": "emotion-harness"}
    return {**document, "schema_version": 1, "model": model, **changes}


def test_a_record_of_schema_1_is_read_with_its_request() -> None:
    config = {
        "preset": "quick",
        "threshold": 0.5,
        "model": {"ablate": ["w/o-C"]},
        "training": {"lr": 0.003, "train_dropout": "train-mix@1"},
    }
    record = RunRecord.from_dict(
        schema_1(
            "harness run --model ramer --dataset made --seeds 0 --preset quick --mask ones "
            "--config mine.yaml --set training.lr=3e-3 --set 'model.ablate=[w/o-C]' "
            "--set training.train_dropout=train-mix@1 --threads 4 --compile --plugin toy.py",
            config=config,
        )
    )
    assert record.schema_version == 2 and record.result_version == 1
    assert record.request == blank_request(
        model="ramer", dataset="made", seed=0, mask="ones", train_dropout="train-mix@1",
        preset="quick", overrides={"training.lr": 0.003, "model.ablate": ["w/o-C"]},
        config_file={"name": "mine.yaml", "values": None}, device="cpu", precision="fp32",
        compile=True, threads=4, plugins=["toy.py"],
    )  # fmt: skip
    assert record.ablation is not None and record.ablation["names"] == ["w/o-C"]
    assert "no commonality" in record.ablation["removes"]["w/o-C"]
    assert record.trained_on == record.tested_on == {"dataset": "made", "content_hash": "h"}
    assert (record.budget["parameters"], record.budget["seconds"]) == (3, 1.0)
    validate(record.as_dict(), "converted")


def test_every_committed_record_converts_to_the_schema() -> None:
    committed = CommittedRecords(Path(__file__).parents[3] / "leaderboards/records")
    records = committed.all()
    assert records and committed.broken == []
    for record in records[::20]:
        validate(record.as_dict(), record.id)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"metrics": {"full@1": {"test": {"declared": {}}}}}, r"metrics\.full@1\.test: 'tuned'"),
        ({"seed": "0"}, "seed: '0' is not of type integer"),
        ({"role": "guest"}, "role: 'guest' is not one of"),
        ({"extra": 1}, "the document: the key 'extra' is unknown"),
        ({"schema_version": 3}, "schema_version: 2 was expected"),
        ({"schema_version": 1, "config": []}, "claims schema 1 and is not of it"),
    ],
)
def test_reading_refuses_what_readers_would_stumble_over(
    spoil: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataFormatError, match=message):
        RunRecord.from_dict({**make_record().as_dict(), **spoil})


@pytest.mark.parametrize("content", [b'{"seed": NaN}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_one_broken_record(tmp_path: Path, content: bytes) -> None:
    runs = RunStore(tmp_path)
    runs.folder("bad").mkdir()
    (runs.folder("bad") / "record.json").write_bytes(content)
    assert runs.all() == [] and "no JSON document" in runs.broken[0].reason


def test_migrate_rewrites_runs_and_committed_records_in_place(tmp_path: Path) -> None:
    run, flat = tmp_path / "runs/a", tmp_path / "flat"
    old = schema_1("harness run --model ramer --dataset made --seeds 0")
    run.mkdir(parents=True)
    flat.mkdir()
    (run / "record.json").write_text(json.dumps(old))
    (flat / "a.json").write_text(json.dumps(old))
    for folder, file in ((tmp_path / "runs", run / "record.json"), (flat, flat / "a.json")):
        ended = CliRunner().invoke(cli, ["runs", "migrate", str(folder)])
        assert ended.exit_code == 0 and "1 records rewritten, 0 as" in ended.output
        written = json.loads(file.read_text())
        assert written["schema_version"] == 2 and written["request"]["model"] == "ramer"
        assert RunRecord.from_dict(written) == RunRecord.from_dict(old)
        before = file.read_bytes()
        again = CliRunner().invoke(cli, ["runs", "migrate", str(folder)])
        assert "0 records rewritten, 1 as" in again.output and file.read_bytes() == before
    assert (flat / "a.json").read_text().count("\n") == 1


def test_migrate_leaves_a_broken_record_and_fails(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    ended = CliRunner().invoke(cli, ["runs", "migrate", str(tmp_path)])
    assert ended.exit_code == 1 and "a.json is no JSON document" in ended.output
    assert (tmp_path / "a.json").read_text() == "{"
    (tmp_path / "a.json").unlink()
    empty = CliRunner().invoke(cli, ["runs", "migrate", str(tmp_path)])
    assert empty.exit_code == 3 and "holds no records" in empty.output
    tmp_path.rmdir()
    gone = CliRunner().invoke(cli, ["runs", "migrate", str(tmp_path)])
    assert gone.exit_code == 2 and "there is no such folder" in gone.output


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3e-3, "k=0.003"),
        (True, "k=true"),
        (None, "k=null"),
        ("w/o-C", "k=w/o-C"),
        ("true", 'k="true"'),
        (["w/o-C", "order-vtaC"], "k=[w/o-C, order-vtaC]"),
        ({"text": 2}, "k={text: 2}"),
    ],
)
def test_a_setting_has_one_spelling_that_yaml_reads_back(value: object, text: str) -> None:
    import yaml

    assert override_text("k", value) == text
    assert yaml.safe_load(text.removeprefix("k=")) == value


def test_command_and_settings_of_a_request() -> None:
    request = blank_request(
        model="toy", dataset="made", seed=1, preset="quick", dropout=["only-t@1"],
        overrides={"model.width": 2, "model.ablate": ["a"]}, device="cpu", precision="bf16",
        config_file={"name": "mine.yaml", "values": {}}, threads=1, compat=True,
    )  # fmt: skip
    assert settings(request) == ["mine.yaml", "model.ablate=[a]", "model.width=2"]
    assert command_of(request) == (
        "harness run --model toy --dataset made --seeds 1 --preset quick --dropout only-t@1 "
        "--config mine.yaml --set model.width=2 --set 'model.ablate=[a]' --device cpu "
        "--precision bf16 --compat"
    )
    assert command_of(request, verb="ablate", seeds=[0, 1], without="model.ablate") == (
        "harness ablate --model toy --dataset made --seeds 0,1 --preset quick --config mine.yaml "
        "--set model.width=2 --device cpu --precision bf16"
    )
