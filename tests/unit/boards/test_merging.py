"""Own records beside published ones: those stay as they are, and what is not comparable is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import harness
from harness.boards.merging import addable, apart, sentences
from harness.boards.official import Official, entrants_text, read_entrants
from harness.cli import cli
from harness.plugins import load
from harness.records.committed import CommittedRecords, export
from harness.records.record import RunRecord
from harness.records.store import RunStore
from tests.unit.boards.made import record

TOY = str(Path(__file__).parents[1] / "engine" / "toy_plugin.py")


def changed(run: RunRecord, **fields: Mapping[str, Any]) -> RunRecord:
    """Return a run with keys of some of its fields changed."""
    return replace(run, **{name: getattr(run, name) | {**new} for name, new in fields.items()})


def on_twin(run: RunRecord, seed: int) -> RunRecord:
    twin = {"version": 3, "seed": seed, "size": "default"}
    return changed(run, dataset={"twin": twin, "content_hash": f"{seed}" * 8})


def reasons(own: list[RunRecord], published: list[RunRecord]) -> list[str]:
    return [one.reason for one in apart(own, published, load())]


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")


def test_rows_that_share_a_table_have_no_reason() -> None:
    published = [record("one", s, 0.5) for s in range(2)]
    assert reasons([record("ours", s, 0.6) for s in range(2)], published) == []


@pytest.mark.parametrize(
    ("own", "told"),
    [
        (record("ours", content="bbb"), "other data: bbb, published: aaa"),
        (record("ours", mask="nonzero"), "mask nonzero, published: ones"),
        (
            record("ours", train_dropout="train-mix@1"),
            "trained under train-mix@1, published rows under full@1",
        ),
        (
            changed(record("ours"), protocols={"dataset": "fake@2"}),
            "protocol fake@2, published: fake@1",
        ),
        (
            replace(record("ours"), result_version=1),
            "by older code: result version 1, 3 is installed",
        ),
        (record("ours", f1=None), "the run failed: loss is NaN"),
        (
            replace(record("ours"), metrics={"full@1": {"valid": {"declared": {"micro_f1": 0.5}}}}),
            "not scored on the test split",
        ),
    ],
    ids=["data", "mask", "training", "protocol", "version", "failed", "valid"],
)
def test_one_difference_is_one_reason(own: RunRecord, told: str) -> None:
    assert reasons([own], [record("one")]) == [told]


def test_every_difference_is_told() -> None:
    own = record("ours", content="bbb", mask="nonzero")
    assert reasons([own], [record("one")]) == [
        "other data: bbb, published: aaa", "mask nonzero, published: ones",
    ]  # fmt: skip


def test_data_that_is_not_published_names_its_other_versions() -> None:
    own = changed(record("ours", dataset="fake@1"), dataset={"base_name": "fake"})
    (one,) = apart([own], [record("one"), record("two", dataset="else")], load())
    assert one.reason == "nothing is published of fake@1; there is fake"
    assert sentences([one]) == [f"not comparable: fake@1, every row: {one.reason}"]


def test_missing_twins_and_other_recipes() -> None:
    published = [on_twin(record("one", s, dataset="x-twin"), 1 + s) for s in range(3)]
    own = [on_twin(record("ours", s, dataset="x-twin"), 1 + s) for s in range(3)]
    assert reasons(own, published) == []
    assert reasons(own[:1], published) == ["1 of 3 twins: it has no rank and is not tested"]
    old = changed(own[0], dataset={"twin": {"version": 2, "seed": 1, "size": "default"}})
    assert reasons([old], published) == [
        "other data: recipe 2, default, published: recipe 3, default"
    ]


def test_protocols_of_a_suite_that_a_row_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_PLUGINS")
    from harness.protocols.dropout import Traits
    from harness.protocols.suites import members

    names = members("core@1", Traits(("t", "v", "a")))

    def scored(run: RunRecord, under: list[str]) -> RunRecord:
        place = run.metrics["full@1"]
        masks = {n: {"test": {"eta_hat": 0.3, "digest": n, "seed": 0}} for n in under}
        run = changed(
            run, metrics={n: place for n in under}, dataset={"modalities": ["t", "v", "a"]}
        )
        return changed(run, protocols={"dropout": run.protocols["dropout"] | masks})

    published, whole = (scored(record(n, dataset="mosi"), names) for n in ("one", "ours"))
    assert reasons([whole], [published]) == []
    (told,) = reasons([scored(record("ours", dataset="mosi"), names[:-2])], [published])
    assert told.startswith(f"not scored under 2 of {len(names)} protocols of core@1 (")
    assert told.endswith("run it again with --dropout core@1")
    assert names[-1] in told and names[-2] in told
    # Of several seeds it says which one lacks them.
    seeds = [scored(record("ours", seed, dataset="mosi"), names[: -2 * seed or None])
             for seed in (0, 1)]  # fmt: skip
    (one,) = reasons(seeds, [published])
    assert one.startswith(f"seed 1 is not scored under 2 of {len(names)} protocols of core@1 (")
    # One line a reason: rows that lack a suite alone stand on the main board, and it says so.
    two = [scored(record(n, dataset="mosi"), names[:-2]) for n in ("ours", "mine")]
    far = scored(record("else", dataset="mosi", mask="nonzero"), names)
    assert sentences(apart([*two, far], [published], load())) == [
        "not comparable: mosi, else (paper): mask nonzero, published: ones",
        f"on the board, but: mosi, mine (paper); ours (paper): {told}",
    ]
    # GCNet hides modalities itself: its rows on complete data stand in both tracks.
    mixed = [scored(record(n, dataset="mosi", train_dropout=t), names)
             for n, t in (("gcnet", "full@1"), ("two", "train-mix@1"))]  # fmt: skip
    lacking = reasons([scored(record("ours", dataset="mosi"), names[:-2])], [published, *mixed])
    assert lacking == [told], "once, by the track that the row is in"


def test_what_would_change_a_published_row_is_left_out() -> None:
    one = record("one", 0)
    trivial = record("prior", 0, role="trivial")
    ours = record("ours", 0)
    kept, told = addable([record("one", 1), one, trivial, ours], [one, trivial])
    assert kept == [ours]
    assert [(t.row, t.left_out) for t in told] == [("one", True), ("one", True)]
    assert "same model and configuration as the published" in told[0].reason
    assert told[1].reason == "it is a published run" and told[1].runs == (one.id,)
    kept, told = addable([record("one", 1, content="bbb")], [one])
    assert len(kept) == 1 and not told, "it is a row of another table"


def test_other_masks_of_one_protocol_never_displace_published_ones() -> None:
    kept, told = addable([record("ours", digest="other")], [record("one")])
    assert not kept and told[0].reason == "other masks than published under full@1"


def test_entrants_are_read_back(tmp_path: Path) -> None:
    known = {"mosi": [Official(("a", "b"), "tuned", "full@1", (0, 1)),
                      Official(("c",), "tuned", "full@1", (), "abc")]}  # fmt: skip
    (tmp_path / "entrants.yaml").write_text(entrants_text(known))
    assert read_entrants(tmp_path) == known


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, ["leaderboard", "--plugin", TOY, *words])


def test_a_lab_merges_its_runs(tmp_path: Path, own_folders: Path) -> None:
    sets = ("training.epochs=1", "training.batch_size=16")
    options: dict[str, Any] = {"overrides": sets, "device": "cpu", "plugins": (TOY,)}
    harness.run(["toy", "toy-plain"], "toy", references=False, **options)
    store = RunStore()
    by_model = {r.model["name"]: r for r in store.all()}
    boards, theirs, out = tmp_path / "boards", tmp_path / "boards/records", tmp_path / "merged"
    export([by_model["toy-plain"]], store, theirs)
    (boards / "entrants.yaml").write_text(
        entrants_text({"toy": [Official(("toy-plain",), "quick", "full@1", (0,))]})
    )
    export([by_model["toy"]], store, tmp_path / "lab")
    (ours,) = (tmp_path / "lab").iterdir()
    before = {p: p.read_bytes() for p in boards.rglob("*") if p.is_file()}
    done = call("--merge", str(ours), "--records", str(theirs), "--out", str(out))
    assert done.exit_code == 0, done.output
    assert "not comparable" not in done.output and "1 run of 1 file beside" in done.output
    rows = json.loads((out / "toy.json").read_text("utf-8"))
    assert {"toy", "toy-plain"} <= {*json.dumps(rows).replace('"', " ").split()}
    assert {p: p.read_bytes() for p in boards.rglob("*") if p.is_file()} == before
    assert {r.id for r in CommittedRecords(out / "records").all()} == {
        r.id for r in by_model.values()
    }
    checked = call("--check", "--out", str(out))
    assert checked.exit_code == 0, checked.output
    shutil.rmtree(out)
    home = call("--merge", str(own_folders / "home"), "--records", str(theirs), "--out", str(out),
                "--json")  # fmt: skip
    found = json.loads(home.stdout)
    assert found["merged"] == [by_model["toy"].id]
    assert [(one["row"], one["reason"]) for one in found["not_comparable"]] == [
        ("toy-plain", "it is a published run")
    ]


def test_what_cannot_be_merged_is_one_message_and_writes_nothing(tmp_path: Path) -> None:
    theirs, out = tmp_path / "boards" / "records", tmp_path / "out"
    failed = record("one", f1=None)
    store = RunStore()
    kept = store.write(failed)
    export([kept], store, theirs)
    same = call("--merge", *map(str, theirs.iterdir()), "--records", str(theirs), "--out", str(out))
    assert same.exit_code == 0 and "left out: fake, one: it is a published run" in same.stdout
    assert not out.exists()
    damaged, empty = tmp_path / "damaged.records.zip", tmp_path / "empty"
    damaged.write_bytes(b"PK no archive")
    empty.mkdir()
    one_run = store.folder(kept.id)
    (published,) = theirs.iterdir()
    for words, told in (
        (("--merge", str(damaged)), "damaged.records.zip is damaged"),
        (("--merge", str(empty)), "no records of runs"),
        (("--merge", str(one_run)), "is the folder of one run"),
        (("--merge", str(tmp_path / "nowhere")), "nowhere"),
        (("--merge", str(published), "--check"), "leave out --check"),
        (("--merge", str(published), "--records", str(empty)), "no published records"),
        (("--merge", str(published), "--out", str(tmp_path / "boards")), "give another folder"),
    ):
        given = [*words]
        given += ["--records", str(theirs)] if "--records" not in words else []
        given += ["--out", str(out)] if "--out" not in words else []
        ended = call(*given)
        assert ended.exit_code == 2 and told in ended.stderr, (words, ended.output)
        assert "Traceback" not in ended.stderr and not out.exists()
