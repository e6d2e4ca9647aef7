"""Real files first, then a real store, then the twin, never one under the other's name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from harness import paths
from harness.cli import cli
from harness.cli.data import _show_verification
from harness.data import locate
from harness.data.corpus import Corpus
from harness.data.locate import find_store, make_twin
from harness.errors import DataMissingError, HarnessError, UsageError
from harness.specs import DatasetSpec
from harness_corpora.mosei import MoseiAligned
from harness_corpora.specs import MUSIC
from tests.unit.data.data_files import ALIGNED, aligned, write_aligned


class SmallTwin(MoseiAligned):
    """The MOSEI reader with a twin of a few samples; counts how often it is made."""

    made = 0

    def twin_version(self) -> int:
        return 5

    def write_twin(self, root: Path, seed: int, size: str) -> None:
        type(self).made += 1
        data = aligned()
        data["train"]["src-text"][0, 0, 0] = seed
        write_aligned(root, data)


@pytest.fixture(autouse=True)
def small_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def corpus_of(spec: DatasetSpec) -> Corpus:
        return SmallTwin(spec)

    monkeypatch.setattr(SmallTwin, "made", 0)
    monkeypatch.setattr(locate, "corpus_of", corpus_of)


def test_without_files_the_twin_is_made_once_and_announced_first(roots: Path) -> None:
    told: list[str] = []
    store = find_store(ALIGNED, announce=lambda text: told.append(f"{text} {SmallTwin.made}"))
    assert store.spec.name == "mosei-aligned-twin" and store.is_twin
    assert store.spec.source == "twin" and store.path.name == "mosei-aligned-twin-seed1"
    assert len(told) == 1 and told[0].endswith(" 0")  # before anything was generated
    assert store.notice.startswith("Real mosei-aligned files not found under ")
    assert "train_valid_test.pt" in store.notice and "'mosei-aligned-twin'" in store.notice
    assert store.card["twin"] == {"version": 5, "seed": 1, "size": "default"}
    assert not any(p.is_dir() for p in paths.twins_dir().iterdir())
    assert find_store(ALIGNED).notice and SmallTwin.made == 1


def test_real_files_win_and_stay_when_gone(roots: Path) -> None:
    find_store(ALIGNED)
    path = write_aligned(roots, aligned())
    store = find_store(ALIGNED)
    assert (store.spec.name, store.is_twin, store.notice) == ("mosei-aligned", False, "")
    path.unlink()
    assert find_store(ALIGNED, real=True).content_hash == store.content_hash


def test_changed_files_are_prepared_again_and_reported(roots: Path) -> None:
    path = write_aligned(roots, aligned())
    before = find_store(ALIGNED).content_hash
    os.utime(path, (1, 1))
    assert find_store(ALIGNED).notice == ""  # touched only
    data = aligned()
    data["test"]["src-text"][0, 0, 0] = 9
    write_aligned(roots, data)
    after = find_store(ALIGNED)
    assert after.content_hash != before and "changed since" in after.notice


def test_real_makes_absence_an_error(roots: Path) -> None:
    expected = r"(?s)train_valid_test\.pt .*HARNESS_DATA"
    with pytest.raises(DataMissingError, match=expected) as caught:
        find_store(ALIGNED, real=True)
    assert caught.value.exit_code == 3 and SmallTwin.made == 0


def test_twin_by_name(roots: Path) -> None:
    write_aligned(roots, aligned())
    twin = locate.twin_spec(ALIGNED)
    store = find_store(twin)
    assert store.is_twin and store.notice == ""
    with pytest.raises(UsageError, match="generated data"):
        find_store(twin, real=True)


def test_an_older_generator_is_not_kept(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_store(ALIGNED)
    monkeypatch.setattr(SmallTwin, "twin_version", lambda _: 6)
    assert find_store(ALIGNED).card["twin"]["version"] == 6


def test_a_damaged_twin_is_made_again(roots: Path) -> None:
    store = find_store(ALIGNED)
    (store.path / "test.arrow").write_bytes(b"")
    told: list[str] = []
    again = find_store(ALIGNED, announce=told.append)
    assert SmallTwin.made == 2 and again.content_hash == store.content_hash
    assert "test.arrow is damaged" in told[1] and told[1] in again.notice
    make_twin(ALIGNED, force=True)
    assert SmallTwin.made == 3


def test_seed_is_part_of_a_twin(roots: Path) -> None:
    first = make_twin(ALIGNED)
    other = make_twin(ALIGNED, seed=3)
    assert other.card["twin"]["seed"] == 3 and other.content_hash != first.content_hash
    with pytest.raises(UsageError, match="size"):
        make_twin(ALIGNED, size="huge")


def test_a_data_set_without_twin_names_its_files(roots: Path) -> None:
    with pytest.raises(DataMissingError, match=r"emotions-train\.arff"):
        find_store(MUSIC)
    with pytest.raises(UsageError, match="no twin"):
        locate.twin_spec(MUSIC)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_root_without_permission(roots: Path) -> None:
    paths.home().mkdir(parents=True)
    paths.home().chmod(0o500)
    with pytest.raises(HarnessError, match="permission"):
        find_store(ALIGNED)


def test_a_root_that_is_a_file(roots: Path) -> None:
    paths.home().write_text("")
    with pytest.raises(HarnessError, match="cannot use"):
        find_store(ALIGNED)


def test_data_verbs_on_shipped_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(paths, "_roots", {})
    where = ["--home", str(tmp_path)]
    runner = CliRunner()

    def call(*words: str) -> str:
        result = runner.invoke(cli, ["data", *words, *where])
        assert result.exit_code == 0, result.output
        return result.output

    assert "train 1447, valid 259, test 493" in call("prepare", "mosi")
    stats = json.loads(call("stats", "mosi", "--json"))
    assert stats["splits"]["test"]["samples"] == 493 and stats["shared_groups"]["train&test"] == 0
    assert json.loads(call("verify", "mosi", "--json"))["ok"]
    assert "groups shared by splits" in call("stats", "mosi-video")
    absent = runner.invoke(cli, ["data", "verify", "m3ed", *where])
    assert absent.exit_code == 3 and "harness data prepare m3ed" in absent.output
    assert np.all(np.array(stats["splits"]["train"]["label_share"]) > 0.1)


def test_verify_tells_many_files_of_a_folder_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    clips = [f"tree/clips/{i}.pt" for i in range(9)]
    asking = {c: ["torch.FloatStorage"] for c in clips} | {"tree/odd.pt": []}
    report = {
        "dataset": "x", "source": "real", "content_hash": "abc", "ok": True, "counts": {"train": 3},
        "published_counts": {}, "cleaned": {},
        "provenance": {"origin": "made", "features": {"text": "words"}},
        "globals": asking | {"tree/clips/9.pt": ["os.stat"]},
        "sources": [{"path": p, "size": 10, "sha256": "f00"} for p in ("tree/a.json", *clips)],
    }  # fmt: skip
    _show_verification(report)
    assert capsys.readouterr().out.splitlines()[1:6] == [
        "  tree/a.json  10 bytes  sha256 f00",
        "  tree/clips: 9 files  90 bytes",
        "  tree/clips: 9 files ask for torch.FloatStorage",
        "  tree/odd.pt asks for nothing",
        "  tree/clips/9.pt asks for os.stat",
    ]
