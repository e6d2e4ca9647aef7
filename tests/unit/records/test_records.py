"""Records: schema, round trip, store, fingerprint, predictions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DataFormatError, DataMissingError, StorageError
from harness.records import provenance
from harness.records.fingerprint import canonical_json, fingerprint, run_id
from harness.records.predictions import Predictions, read_predictions, write_predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore

DIGEST = "0123456789abcdef" * 4


def make_record(**changes: Any) -> RunRecord:
    record = RunRecord(
        id=run_id("toy", "made", 0, DIGEST),
        fingerprint=DIGEST,
        status="ok",
        role="model",
        model={
            "name": "toy", "version": "1", "variant": "", "reported_as": None, "plugin": "p",
            "distribution": "d", "distribution_version": "0",
        },
        dataset={
            "name": "made", "base_name": "made", "id": "made@1", "source": "real",
            "content_hash": "h", "mask": "ones", "layout": "sequence", "label_kind": "multilabel",
            "labels": ["a"], "group_key": "video", "modalities": ["text"], "splits": {"test": 2},
        },
        config={"preset": "quick", "threshold": 0.5, "model": {}, "training": {}},
        seed=0,
        device="cpu",
        precision="fp32",
        protocols={
            "dataset": "made@1", "train_dropout": "full@1", "selection_metric": "micro_f1",
            "dropout": {"full@1": {"test": {"eta_hat": 0.0, "digest": "d", "seed": 0}}},
        },
        parameters=3,
        epochs=[{"epoch": 0, "loss": 1.0, "terms": {}, "valid": None, "seconds": 0.1}],
        selection=None,
        threshold={"declared": 0.5, "tuned": None},
        metrics={"full@1": {"test": {"declared": {"micro_f1": 0.5}, "tuned": None}}},
        timings={"train_s": 1.0, "predict_s_per_sample": 0.1, "epochs": 1},
        provenance={},
        facts={},
        command="harness run",
        created="2026-01-01T00:00:00Z",
    )  # fmt: skip
    return replace(record, **changes)


def test_round_trip_keeps_every_field() -> None:
    record = make_record()
    assert RunRecord.from_json(record.to_json()) == record


def test_nan_becomes_null_and_the_document_stays_json() -> None:
    record = make_record(
        failure={"reason": "loss", "terms": {"bce": float("nan")}}, status="failed"
    )
    document = json.loads(record.to_json(), parse_constant=lambda c: pytest.fail(c))
    assert document["failure"]["terms"] == {"bce": None}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"status": "fine"}, "status"),
        ({"seed": -1}, "seed"),
        ({"schema_version": 3}, "schema_version"),
        ({"epochs": [{"epoch": 0}]}, "epochs.0"),
        ({"metrics": {"full@1": {"test": {"declared": {}}}}}, "metrics.full@1.test"),
    ],
)
def test_schema_refuses_and_names_the_key(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(DataFormatError, match=f"{key}: "):
        make_record(**changes).to_json()


def test_store_finds_lists_and_reports_broken(tmp_path: Path) -> None:
    runs = RunStore(tmp_path)
    first = make_record()
    second = make_record(id=run_id("toy", "made", 1, DIGEST), seed=1)
    assert runs.find(first.id) is None and runs.all() == []
    runs.write(second)
    runs.write(first)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "record.json").write_text("{")
    assert runs.all() == [first, second]
    assert [b.path.parent.name for b in runs.broken] == ["broken"]
    assert "no JSON document" in runs.broken[0].reason


def test_a_bad_record_leaves_the_good_one(tmp_path: Path) -> None:
    runs = RunStore(tmp_path)
    record = make_record()
    runs.write(record)
    with pytest.raises(DataFormatError):
        runs.write(replace(record, seed=-1))
    assert runs.find(record.id) == record
    assert [p.name for p in runs.folder(record.id).iterdir()] == ["record.json"]


def test_a_path_that_cannot_be_used_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot use"):
        RunStore(tmp_path / "file").write(make_record())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=3), json_values, max_size=4))
def test_fingerprint_ignores_key_order_only(value: dict[str, Any]) -> None:
    turned = dict(reversed(list(value.items())))
    assert fingerprint(value) == fingerprint(turned)
    assert fingerprint({**value, "other": 1}) != fingerprint(value) or "other" in value
    assert json.loads(canonical_json(value)) == value


def test_canonical_json_refuses_nan() -> None:
    with pytest.raises(ValueError):
        canonical_json({"x": float("nan")})


def part(split: str, protocol: str, n: int = 3) -> Predictions:
    rng = np.random.default_rng(n)
    return Predictions(
        split,
        protocol,
        tuple(f"{split}{i}" for i in range(n)),
        tuple("g" for _ in range(n)),
        rng.random((n, 2), dtype=np.float32),
        rng.integers(0, 2, (n, 2)).astype(np.int8),
    )


def test_predictions_round_trip_to_the_bit(tmp_path: Path) -> None:
    parts = [part("valid", "full@1"), part("test", "full@1", 4), part("test", "only-t@1", 4)]
    path = tmp_path / "run" / "predictions.parquet"
    write_predictions(path, parts, ("joy: much", "b"))
    labels, read = read_predictions(path)
    assert labels == ("joy: much", "b")
    assert [(p.split, p.protocol, p.ids, p.groups) for p in read] == [
        (p.split, p.protocol, p.ids, p.groups) for p in parts
    ]
    for a, b in zip(parts, read, strict=True):
        assert b.scores.dtype == np.float32 and b.truth.dtype == np.int8
        np.testing.assert_array_equal(a.scores, b.scores)
        np.testing.assert_array_equal(a.truth, b.truth)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_slices_are_kept_where_every_part_has_them(tmp_path: Path) -> None:
    marks = [np.array([True, False, True]), np.array([False, False, True, True])]
    parts = [part("valid", "full@1"), part("test", "full@1", 4)]
    sliced = [replace(p, slices={"seen": m}) for p, m in zip(parts, marks, strict=True)]
    write_predictions(tmp_path / "all.parquet", sliced, ("a", "b"))
    read = read_predictions(tmp_path / "all.parquet")[1]
    for found, wanted in zip(read, marks, strict=True):
        np.testing.assert_array_equal(found.slices["seen"], wanted)
    write_predictions(tmp_path / "some.parquet", [sliced[0], parts[1]], ("a", "b"))
    assert not any(p.slices for p in read_predictions(tmp_path / "some.parquet")[1])


def test_predictions_missing_and_broken(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError, match="--rerun"):
        read_predictions(tmp_path / "predictions.parquet")
    (tmp_path / "predictions.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataFormatError, match="parquet"):
        read_predictions(tmp_path / "predictions.parquet")


def test_provenance_names_no_machine() -> None:
    import getpass
    import socket

    text = json.dumps(provenance.collect(threads=1))
    assert "torch" in text
    for secret in (str(Path.home()), socket.gethostname(), f'"{getpass.getuser()}"'):
        assert secret not in text


def test_commit_of_no_repository_is_none(tmp_path: Path) -> None:
    assert provenance.commit(tmp_path) is None
