"""The index of a folder of boards: every file, pictures with their data set, own files only."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.boards.board import board_files
from harness.boards.cost import cost_of_searches
from harness.boards.views.index import FILE, MARK, Entry, entry, ours, text_of
from harness.boards.views.index import text as index_of
from harness.cli import cli
from harness.plugins import load
from harness.plugins.cards import read_content
from harness.records.store import RunStore
from tests.unit import pages


@pytest.fixture(autouse=True)
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))


def leaderboard(*words: str) -> Result:
    return CliRunner().invoke(cli, ["leaderboard", *words])


def test_every_file_of_a_board_is_linked(tmp_path: Path) -> None:
    registry = load()
    boards = [board for made in (pages.small, pages.party) for board in made()[0]]
    text = index_of(boards, tmp_path, ("index.html", "ranks.md"), registry)
    written = {name for board in boards for name in board_files(board, registry)}
    linked = re.findall(r"\]\(([^)]+)\)", text)
    assert sorted(linked) == sorted({*written, "index.html", "ranks.md"})
    real, twins = text.split("## Generated twins")
    assert "- `fake` (" in real and "party-twin" not in real and "- `party-twin` (" in twins
    assert "[md](party-twin-one-ablation.md)" in twins and "figures" not in twins
    assert max(map(len, text.splitlines())) <= 160


def test_pictures_stand_with_the_data_set_they_are_named_after(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    for name in ("fake-labels.svg", "fake-labels.png", "fake-twin-training.png", "other-x.svg",
                 "fake-labels.csv"):  # fmt: skip
        (tmp_path / "figures" / name).touch()
    text = index_of(pages.small()[0], tmp_path)
    real, twin = text.partition("- `fake` (")[2].split("- `fake-twin` (")
    assert "[labels](figures/fake-labels.svg)" in real and "training" not in real
    assert "[training](figures/fake-twin-training.png)" in twin
    assert "other-x" not in text and "labels.png" not in text


def test_what_the_runs_cost_stands_in_the_index(tmp_path: Path) -> None:
    """CPU time where records know it, wall time of the others; every trial of a search once."""
    boards, records = pages.small()
    hour = {"seconds": 3600.0, "trials": 8}
    old = replace(boards[0], records=(replace(records[0], budget=hour),))
    new = replace(boards[1], records=(replace(records[1], budget=hour | {"cpu_s": 7200.0}),))
    trial = replace(records[0], role="trial", budget={"seconds": 90.0, "cpu_s": 1800.0})
    entries = [entry(old, (), [trial]), entry(new, (), [trial])]
    text = text_of([Entry.from_dict(json.loads(json.dumps(asdict(e)))) for e in entries], tmp_path)
    assert "1.0 h wall)" in text.split(f"`{old.dataset}`")[1].partition(":")[0]
    assert "2.0 h CPU)" in text.split(f"`{new.dataset}`")[1].partition(":")[0]
    one = " ".join(text.split())
    assert "2.0 h CPU, 1.0 h wall of training, 0.50 h CPU of searches" in one
    assert "2.5 h CPU, 1.0 h wall in all" in one and "older than the field" in one
    assert "not bit-equal between processors" in one and "BLAS kernel" in one
    alone = " ".join(text_of([entry(new, ())], tmp_path).split())
    assert "2.0 h CPU of training. Preparation" in alone


def test_searches_are_counted_from_cards_and_records_once() -> None:
    registry = load()
    card = read_content(registry.models["carat"].spec.defaults)["search"]["sequence"]["trials"]
    whole = cost_of_searches(["carat"], {}, registry)
    assert whole.wall == pytest.approx(sum(trial["seconds"] for trial in card)) and whole.cpu == 0
    again = cost_of_searches(["carat"], {card[0]["run"]: (0.0, 1e6)}, registry)
    assert again == whole
    assert cost_of_searches(["carat"], {"another": (5.0, 0.0)}, registry).cpu == 5


def test_the_index_is_written_and_checked_like_other_files(tmp_path: Path) -> None:
    for run in pages.small()[1]:
        RunStore().write(run)
    out = tmp_path / "boards"
    words = ("--out", str(out), "--records", str(tmp_path / "home" / "runs"))
    assert leaderboard(*words).exit_code == 0
    made = (out / FILE).read_text()
    assert made.startswith(MARK) and "(index.html)" in made
    (out / FILE).write_text(f"{made}more\n")
    for suffix in ("md", "csv", "json", "tex"):
        (out / f"gone.{suffix}").write_text("x")
    (out / "fake.tex").unlink()
    done = leaderboard(*words, "--check")
    assert done.exit_code == 1 and "README.md does not follow from the records" in done.stderr
    assert "fake.tex is missing" in done.stderr
    assert all(f"gone.{s} has no records" in done.stderr for s in ("md", "csv", "json", "tex"))
    # The advice makes the check pass.
    commands = re.findall(r"'((?:harness|rm) [^']*)'", done.stderr)
    for command in commands:
        program, *arguments = shlex.split(command)
        if program == "rm":
            for name in arguments:
                Path(name).unlink()
        else:
            assert CliRunner().invoke(cli, arguments).exit_code == 0
    assert len(commands) == 2 and leaderboard(*words, "--check").exit_code == 0
    assert (out / FILE).read_text() == made
    assert leaderboard("--no-cache", "--out", str(out)).exit_code == 2


def test_a_readme_of_someone_else_is_left_alone(tmp_path: Path) -> None:
    for run in pages.small()[1]:
        RunStore().write(run)
    theirs = tmp_path / FILE
    theirs.write_text("# Mine\n")
    assert not ours(theirs) and ours(tmp_path / "none.md")
    done = leaderboard("--out", str(tmp_path))
    assert done.exit_code == 0 and "left alone" in done.stderr
    assert theirs.read_text() == "# Mine\n" and (tmp_path / "index.html").is_file()
