"""Boards from the cache: equal to computed ones, and never of other records or other code."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from benchmarks.made_records import COMMITTED
from harness.boards import cache as caches
from harness.boards.entrants import RunSums, run_sums
from harness.boards.folder import BoardFolder
from harness.cli import cli
from harness.plugins import load
from harness.records.archive import SUFFIX
from harness.records.committed import CommittedRecords, export
from harness.records.record import RunRecord
from harness.records.sums import closed
from tests.unit.records.archives import edited, members


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of boards of a few committed records, with an empty cache.

    A run of the first of the two smallest boards, and two models of the other.
    """
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    source = CommittedRecords(COMMITTED)
    mine: dict[str, list[RunRecord]] = {}
    for record in source.all():
        if (record.role, record.status) == ("model", "ok") and not closed(record):
            mine.setdefault(record.dataset["name"], []).append(record)
    one, two = sorted(sorted(mine, key=lambda name: (len(mine[name]), name))[:2])
    models = sorted({r.model["name"] for r in mine[two]})[:2]
    chosen = [mine[one][0], *(r for r in mine[two] if r.model["name"] in models)]
    records = tmp_path / "out" / "records"
    export(chosen, source, records)
    written = call("--records", str(records), "--out", str(tmp_path / "out"))
    assert written.exit_code == 0, written.output
    return tmp_path / "out"


def boards(out: Path) -> list[Path]:
    """Return the files of the records of the two boards."""
    return sorted((out / "records").iterdir())


def name_of(path: Path) -> str:
    return path.name.removesuffix(SUFFIX)


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, ["leaderboard", *words])


def check(out: Path, *words: str) -> Result:
    return call("--check", "--out", str(out), *words)


def entries(out: Path, pattern: str) -> list[Path]:
    return sorted((out.parent / "home" / "cache").glob(f"boards/*/{pattern}"))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[str]]]:
    """Count the boards that are made and the runs whose sums are computed."""
    found: dict[str, list[str]] = {"boards": [], "runs": []}
    made = BoardFolder._made

    def counted(self: BoardFolder, name: str, mine: object) -> object:
        found["boards"].append(name)
        return made(self, name, mine)  # type: ignore[arg-type]

    def summed(record: object, *args: object) -> RunSums:
        found["runs"].append(record.id)  # type: ignore[attr-defined]
        return run_sums(record, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(BoardFolder, "_made", counted)
    monkeypatch.setattr("harness.boards.folder.run_sums", summed)
    yield found


def test_what_is_kept_equals_what_is_computed(out: Path, computed: dict[str, list[str]]) -> None:
    assert check(out).exit_code == 0
    # The first check verifies.
    assert computed == {"boards": [name_of(path) for path in boards(out)], "runs": []}
    assert check(out).exit_code == 0 and len(computed["boards"]) == 2
    texts = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
    shutil.rmtree(out.parent / "home")
    for path in out.iterdir():
        path.unlink() if path.is_file() else None
    assert call("--records", str(out / "records"), "--out", str(out)).exit_code == 0
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()} == texts
    assert check(out, "--no-cache").exit_code == 0


def test_an_edited_record_makes_its_board_anew_and_no_other(
    out: Path, computed: dict[str, list[str]]
) -> None:
    assert check(out).exit_code == 0
    computed["boards"].clear()
    other, path = boards(out)
    name, run = name_of(path), next(iter(CommittedRecords(path.parent)._archive(path).lines))
    with edited(path, run) as document:
        document["metrics"]["full@1"]["test"]["declared"]["micro_f1"] += 0.01
    done = check(out)
    assert done.exit_code == 1 and f"{name}.csv does not follow from the records" in done.stderr
    assert f"{run}: the predictions do not give full@1 test declared micro_f1" in done.stderr
    assert name_of(other) not in done.stderr
    assert computed["boards"] == [name] and set(computed["runs"]) == {run}
    assert check(out).exit_code == 1  # what is kept says so too


def test_edited_predictions_or_truth_are_found(out: Path) -> None:
    assert check(out).exit_code == 0
    path = boards(out)[1]
    content = path.read_bytes()
    with members(path) as held:
        table = pq.read_table(pa.BufferReader(held["scores.parquet"]))
        first = next(name for name in table.column_names if name.startswith("score:"))
        place = table.column_names.index(first)
        table = table.set_column(place, first, pa.array(table[first].to_numpy()[::-1]))
        stream = io.BytesIO()
        pq.write_table(table, stream)
        held["scores.parquet"] = stream.getvalue()
    done = check(out)
    assert done.exit_code == 1 and ": the predictions do not give" in done.stderr
    path.write_bytes(content)
    assert check(out).exit_code == 0
    with members(path) as held:
        for name in [name for name in held if name.startswith("truth/")]:
            del held[name]
    assert check(out).exit_code != 0


def test_other_code_computes_anew(
    out: Path, computed: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert check(out).exit_code == 0
    computed["boards"].clear()
    code, registry = caches.code_digest(load()), load()
    with monkeypatch.context() as patched:
        patched.setattr(caches, "FORMAT", 2)
        assert caches.code_digest(registry) != code
        assert check(out).exit_code == 0
    assert computed["boards"] == [name_of(path) for path in boards(out)]
    held = CommittedRecords(out / "records").all()
    assert sorted(computed["runs"]) == sorted(record.id for record in held)
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("A = 1\n")
    before = caches._beside(package / "__init__.py")
    (package / "card.yaml").write_text("a: 1\n")
    assert before != caches._beside(package / "__init__.py")


@pytest.mark.parametrize("damage", [b"", b"cut", b"flipped", b"foreign"])
@pytest.mark.parametrize("pattern", ["index.json", "board-*.json", "runs/*.json"])
def test_a_damaged_entry_is_recognised_and_replaced(out: Path, pattern: str, damage: bytes) -> None:
    assert check(out).exit_code == 0
    found = entries(out, pattern)
    contents = [path.read_bytes() for path in found]
    if pattern.startswith("runs"):
        for path in entries(out, "board-*.json"):
            path.unlink()
    for path, content in zip(found, contents, strict=True):
        half = len(content) // 2
        path.write_bytes({
            b"": b"", b"cut": content[:half],
            b"flipped": content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :],
            b"foreign": contents[found.index(path) - 1][:60] + b"\n{}",
        }[damage])  # fmt: skip
    assert check(out).exit_code == 0
    assert [path.read_bytes() for path in found] == contents
    assert not entries(out, "**/.new.*")


def test_no_cache_finds_an_entry_that_is_whole_and_wrong(out: Path) -> None:
    assert check(out).exit_code == 0
    for path in entries(out, "board-*.json"):
        head, _, body = path.read_bytes().partition(b"\n")
        value = json.loads(body)
        value["files"] = {name: text.replace("0.", "1.") for name, text in value["files"].items()}
        caches.Cache(path.parent).put(path.name, head.split()[3].decode(), value)
    assert check(out).exit_code == 1
    done = check(out, "--no-cache")
    assert done.exit_code == 1 and "the cache held other figures" in done.stderr
    assert check(out, "--no-cache").exit_code == 0 and check(out).exit_code == 0


def test_a_home_that_cannot_be_written_costs_one_line(
    out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(out.parent / "home" / "cache")
    (out.parent / "home" / "cache").write_text("in the way")
    done = check(out)
    assert done.exit_code == 0, done.output
    said = [r.getMessage() for r in caplog.records]
    assert len(said) == 1 and "cannot be written" in said[0] and "computed anew" in said[0]
