"""Files of runs that are not what the run wrote, and kills between them: nothing lost, all said."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import harness
from harness.cli import cli
from harness.engine import loop
from harness.errors import UsageError
from harness.records.committed import CommittedRecords
from harness.records.record import RunRecord
from harness.records.store import RunStore
from tests.unit.engine import toy_plugin

TOY = str(Path(toy_plugin.__file__))
PLUGIN = ("--plugin", TOY)
RUN = ("run", "--model", "toy", "--dataset", "toy", "--device", "cpu", "--no-reference", *PLUGIN,
       "--set", "training.epochs=2", "--set", "training.batch_size=32")  # fmt: skip
RECORD, PREDICTIONS = "record.json", "predictions.parquet"
TENSORS, CARD = "checkpoint.safetensors", "checkpoint.json"
FILES = (RECORD, PREDICTIONS, TENSORS, CARD)


def call(*words: str) -> Result:
    done = CliRunner().invoke(cli, words)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two finished runs, seeds 0 and 1, scored under two protocols."""
    folder = tmp_path_factory.mktemp("base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_HOME", str(folder))
        patch.setenv("HARNESS_PLUGINS", "")
        assert call(*RUN, "--seeds", "0,1", "--dropout", "only-a@1").exit_code == 0
    return folder


@pytest.fixture
def home(base: Path, own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    shutil.copytree(base, own_folders / "home")
    return own_folders / "home"


def run_of(seed: int) -> Path:
    (found,) = RunStore().root.glob(f"toy-toy-s{seed}-*")
    return found


def run(**options: Any) -> None:
    """Run as `RUN` says, in this process."""
    harness.run("toy", "toy", device="cpu", plugins=(TOY,), references=False,
                overrides=("training.epochs=2", "training.batch_size=32"), **options)  # fmt: skip


def figures(record: RunRecord) -> Any:
    return record.metrics, record.threshold, record.selection


def edited(path: Path) -> bytes:
    if path.name != RECORD:
        return path.read_bytes() + b" NaN"
    document = json.loads(path.read_text())
    document["metrics"]["full@1"]["test"]["declared"]["micro_f1"] = float("nan")
    return json.dumps(document).encode()


def flipped(path: Path) -> bytes:
    content = bytearray(path.read_bytes())
    digit = content.find(b'"micro_f1": 0.') + 16 if path.name == RECORD else len(content) // 2
    content[digit] ^= 1
    return bytes(content)


# What is in the file of seed 0 afterwards; None: it is removed.
SPOILED: dict[str, Callable[[Path], bytes | None]] = {
    "exchanged": lambda path: (run_of(1) / path.name).read_bytes(),
    "cut": lambda path: path.read_bytes()[: path.stat().st_size // 2],
    "flipped": flipped,
    "removed": lambda path: None,
    "foreign": lambda path: b"\x89PNG\r\n\x1a\n" + bytes(300),
    "bad byte": lambda path: path.read_bytes().replace(b"cpu", b"c\xfcu") + b"\xff",
    "nested": lambda path: b"[" * 100_000,
    "nan": edited,
    "empty": lambda path: b"",
    "folder": lambda path: None,
}


def spoil(name: str, kind: str) -> Path:
    path = run_of(0) / name
    content = SPOILED[kind](path)
    if content is None:
        path.unlink()
        if kind == "folder":
            path.mkdir()
    else:
        path.write_bytes(content)
    return path


def quick(number: int) -> bool:
    """Each kind once, each file twice; all pairs in the full tier."""
    kind, file = divmod(number, len(FILES))
    return kind % len(FILES) == file


PAIRS = [
    pytest.param(name, kind, id=f"{name}-{kind}", marks=[] if quick(number) else pytest.mark.full)
    for number, (kind, name) in enumerate(itertools.product(SPOILED, FILES))
]


def contents(folder: Path) -> dict[str, bytes | None]:
    return {p.name: p.read_bytes() if p.is_file() else None for p in folder.iterdir()}


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_file_that_is_not_the_runs_is_named_and_the_advice_mends_it(
    name: str, kind: str, home: Path, tmp_path: Path
) -> None:
    run, store = run_of(0).name, RunStore()
    known = {r.id: r for r in store.all()}
    path = spoil(name, kind)
    before = contents(path.parent)

    done = call("leaderboard", "--out", str(tmp_path), *PLUGIN)
    assert done.exit_code == 0
    said = f"{run}/{name}" in done.stderr
    assert said == (name in (RECORD, PREDICTIONS))

    done = call("rescore", *PLUGIN)
    assert done.exit_code == 0 and (f"{run}/{name}" in done.stderr) == said
    assert contents(path.parent) == before
    assert call("runs", "verify", *PLUGIN).exit_code == 1

    if said:
        done = call("rescore", run, *PLUGIN)
        assert done.exit_code in (2, 3) and f"{run}/{name}" in done.stderr
    if name != RECORD:
        done = call(*RUN, "--dropout", "only-t@1")
        assert done.exit_code in (2, 3) and f"{run}/{name}" in done.stderr
        assert "--rerun" in done.stderr and "plugin 'toy_plugin'" not in done.stderr
        assert contents(path.parent) == before
        if name != PREDICTIONS:
            done = call("predict", run, "--out", str(tmp_path / "x.csv"), *PLUGIN)
            assert done.exit_code in (2, 3) and f"{run}/{name}" in done.stderr
            assert not (tmp_path / "x.csv").exists()
        done = call(*RUN, "--rerun")
    else:
        done = call(*RUN)
        assert ("made again" in done.output) == (kind != "removed")
    assert done.exit_code == 0
    again = {r.id: r for r in store.all()}
    assert store.broken == [] and again.keys() == known.keys()
    assert figures(again[run]) == figures(known[run])
    assert call("runs", "verify", *PLUGIN).exit_code == 0


def test_the_only_run_that_is_asked_for_is_broken(home: Path, tmp_path: Path) -> None:
    shutil.rmtree(run_of(1))
    spoil(PREDICTIONS, "cut")
    for words in (("leaderboard", "--out", str(tmp_path)), ("rescore",),
                  ("compare", "toy", "toy", "--dataset", "toy")):  # fmt: skip
        done = call(*words, *PLUGIN)
        assert done.exit_code == 2 and f"{PREDICTIONS} is damaged" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_command_in_the_message_mends_a_reference_row(home: Path) -> None:
    words = [w for w in RUN if w != "--no-reference"]
    assert call(*words).exit_code == 0
    (prior,) = RunStore().root.glob("toy-prior-toy-*")
    for name in (PREDICTIONS, TENSORS):
        content = (prior / name).read_bytes()
        (prior / name).write_bytes(content[:-9])
        done = call(*words, "--dropout", "drop-t@1")
        told = re.search(
            rf"{prior.name}/{name} .*make it again with: harness (.*--rerun)", done.stderr
        )
        assert done.exit_code != 0 and told is not None
        advised = [TOY if w == "toy_plugin.py" else w for w in shlex.split(told[1])]
        assert call(*advised).exit_code == 0
    assert call(*words, "--dropout", "drop-t@1").exit_code == 0


def test_a_copy_of_a_runs_folder_predicts_under_any_name(home: Path, tmp_path: Path) -> None:
    shutil.copytree(run_of(0), tmp_path / "mine")
    words = ("predict", str(tmp_path / "mine"), "--out", str(tmp_path / "x.csv"), *PLUGIN)
    assert call(*words).exit_code == 0
    (tmp_path / "mine" / TENSORS).write_bytes((run_of(1) / TENSORS).read_bytes())
    done = call(*words)
    assert done.exit_code == 2 and f"mine/{TENSORS} is damaged" in done.stderr


def test_export_takes_the_whole_runs_alone_and_clears_what_was_left(
    home: Path, tmp_path: Path
) -> None:
    spoil(PREDICTIONS, "exchanged")
    out = tmp_path / "records"
    (out / ".write-abc").mkdir(parents=True)
    words = ("leaderboard", "--out", str(tmp_path), "--export", str(out), *PLUGIN)
    assert call(*words).exit_code == 0
    assert [p.name for p in out.iterdir()] == ["toy.records.zip"]
    ids = {record.id for record in CommittedRecords(out).all()}
    assert run_of(1).name in ids and run_of(0).name not in ids
    assert call("leaderboard", "--check", "--out", str(tmp_path), *PLUGIN).exit_code == 0


def test_an_answer_from_the_record_reads_no_large_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(RunStore, "read", lambda self, record, name, *_: read.append(name))
    done = call(*RUN)
    assert done.exit_code == 0 and "already done" in done.output and read == []


def test_rerun_scores_every_protocol_that_was_scored(home: Path) -> None:
    assert call(*RUN, "--rerun").exit_code == 0
    found = RunStore().find(run_of(0).name)
    assert found is not None and list(found.metrics) == ["full@1", "only-a@1"]
    assert "--dropout only-a@1" in found.command


def test_rerun_refuses_to_lose_what_it_cannot_score(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(name: str) -> Any:
        raise UsageError(f"unknown dropout protocol {name!r}.")

    before = contents(run_of(0))
    monkeypatch.setattr("harness.engine.further.parse", unknown)
    with pytest.raises(UsageError, match=r"only-a@1 would be lost: .* rm -r .*toy-toy-s0-"):
        run(rerun=True)
    assert contents(run_of(0)) == before


def test_protocols_are_known_from_the_predictions_where_the_record_is_broken(home: Path) -> None:
    spoil(RECORD, "cut")
    run()
    found = RunStore().find(run_of(0).name)
    assert found is not None and list(found.metrics) == ["full@1", "only-a@1"]


def test_what_killed_processes_left_is_cleared_when_the_run_is_held_again(home: Path) -> None:
    folder = run_of(0)
    (folder / ".write-abc").mkdir()
    (folder / "resume").mkdir()
    for name in (".record.json.abcd1234", ".new.predictions.parquet.abcd1234",
                 "resume/state.json", ".write-abc/predictions.parquet"):  # fmt: skip
        (folder / name).write_text("x")
    run()
    assert sorted(p.name for p in folder.iterdir()) == sorted([*FILES, "epochs.csv"])


def test_records_without_digests_are_valid_and_doubled_rows_are_refused(home: Path) -> None:
    store, folder = RunStore(), run_of(0)
    path = folder / RECORD
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"artefacts": {}}))
    (record,) = (r for r in store.whole(store.all()) if r.id == folder.name)
    assert store.broken == [] and record.artefacts == {}
    table = pq.read_table(folder / PREDICTIONS)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), folder / PREDICTIONS)
    assert [r.id for r in store.whole(store.all())] == [run_of(1).name]
    assert "are there twice under full@1" in store.broken[0].reason
    run(rerun=True)
    assert len(store.whole(store.all())) == 2


def test_a_resume_state_of_another_run_is_set_aside(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_steps", interrupted(1))
        for seed in (7, 8):
            with pytest.raises(KeyboardInterrupt):
                run(seeds=seed)
    shutil.rmtree(run_of(8) / "resume")
    shutil.copytree(run_of(7) / "resume", run_of(8) / "resume")
    told: list[str] = []
    run(seeds=8, notify=told.append)
    assert any("is the state of toy-toy-s7-" in line for line in told)
    mended = RunStore().find(run_of(8).name)
    run(seeds=8, rerun=True)
    again = RunStore().find(run_of(8).name)
    assert mended is not None and again is not None and mended.metrics == again.metrics


def interrupted(epoch: int) -> Callable[..., Any]:
    steps = loop.Trainer._steps

    def run(self: loop.Trainer, ctx: Any) -> Any:
        if ctx.epoch == epoch:
            raise KeyboardInterrupt
        return steps(self, ctx)

    return run


STATES = ("state.json", "epoch-1.safetensors", "epoch-1.0.optimizer", "best-0.safetensors")


# Quick: each file once, and each kind.
BROKEN = [
    pytest.param(name, kind, marks=[] if place % 3 == number else pytest.mark.full)
    for place, name in enumerate(STATES)
    for number, kind in enumerate(("cut", "removed", "flipped"))
]


@pytest.mark.parametrize(("name", "kind"), BROKEN)
def test_a_broken_resume_state_is_set_aside(
    name: str, kind: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = RunStore().find(run_of(0).name)
    shutil.rmtree(run_of(0))
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_steps", interrupted(1))
        assert CliRunner().invoke(cli, RUN).exit_code != 0
    spoil(f"resume/{name}", kind)
    done = call(*RUN)
    assert done.exit_code == 0, done.output
    assert (f"resume/{name}" in done.output) == (kind != "removed" or name != "state.json")
    found = RunStore().find(run_of(0).name)
    assert want is not None and found is not None
    assert found.metrics["full@1"] == want.metrics["full@1"]
    assert not (run_of(0) / "resume").exists()
