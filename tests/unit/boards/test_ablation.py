"""Ablation tables: which runs stand in one, against what they are tested, and the command."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from harness.boards.board import board_files, build_boards, files_of, runs_of, stale_files
from harness.boards.frame import Key
from harness.boards.render.data import csv_text
from harness.boards.render.latex import latex
from harness.boards.render.markdown import markdown
from harness.boards.reported import Reported, read_reported, reported_by_plugins
from harness.boards.selecting import Wanted, select
from harness.boards.views.ablation import FULL, AblationTable, ablation_tables, view
from harness.cli import cli
from harness.errors import UsageError
from harness.plugins import Entry, Registry, load
from harness.records.predictions import Predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore
from harness.specs import AblationSpec, DatasetSpec, ModalitySpec, ModelSpec
from harness_ramer.config import (
    ABLATIONS,
    IMPOSSIBLE_IN_PUBLIC,
    ORDERS,
    RamerConfig,
    RamerPublicConfig,
)
from tests.unit.boards.made import record

SWITCHES = (AblationSpec("w/o-b", "no b"), AblationSpec("w/o-a", "no a, | or b"))
MODELS = {"one": ModelSpec("one", "x:Y", "One", "", ablations=SWITCHES)}
PUBLISHED = """
source: "A paper"
one-ablation-fake:
  metrics: [accuracy, precision, recall, micro_f1]
  swapped: [full]
  rows:
    w/o-a: [0.3, 0.5, 0.4, 0.45]
    full:  [0.5, 0.7, 0.6, 0.65]
"""


def run(seed: int, f1: float | None, *off: str, hidden: int = 8, **about: Any) -> RunRecord:
    """Return a made run of the model ``one`` with ablations in force."""
    made = record("one", seed, f1, hidden=hidden, **about)
    digits = hashlib.sha256(repr((made.fingerprint, off)).encode()).hexdigest()
    asked = {"model.hidden": hidden} | ({"model.ablate": list(off)} if off else {})
    return replace(
        made,
        id=f"{made.id[:-12]}{digits[-12:]}",
        fingerprint=digits,
        config=made.config | {"model": {"hidden": hidden, "ablate": list(off)}},
        request=made.request
        | {"preset": "paper", "overrides": asked, "dropout": ["only-t@1"], "device": "cpu"},
    )


def reader_of(right: dict[str, float]) -> Any:
    """Return a reader: runs with ``name`` off are right on that share of 60 samples."""
    truth = np.array([[i % 2, 1 - i % 2] for i in range(60)], dtype=np.int8)

    def read(made: RunRecord, protocol: str, split: str) -> Predictions:
        off = made.config["model"]["ablate"]
        rng = np.random.default_rng(made.seed)
        wrong = rng.random(60) > right[off[0] if off else FULL]
        scores = np.where(wrong[:, None], 1 - truth, truth).astype(np.float32)
        ids = tuple(f"s{i:02}" for i in range(60))
        return Predictions(split, protocol, ids, ids, scores, truth)

    return read


def grid(**about: Any) -> list[RunRecord]:
    return [
        *(run(s, 0.6 + 0.01 * s, **about) for s in range(3)),
        *(run(s, 0.5 + 0.01 * s, "w/o-a", **about) for s in range(3)),
        *(run(s, 0.6 + 0.02 * s, "w/o-b", **about) for s in range(3)),
    ]


def reported(tmp_path: Path) -> dict[str, Reported]:
    (tmp_path / "published.yaml").write_text(PUBLISHED)
    return read_reported(tmp_path / "published.yaml")


def registry() -> Registry:
    """Return the installed plugins' registry with the model ``one`` in it."""
    known = load()
    entry = Entry(MODELS["one"], "p", "", "")
    return replace(known, models=known.models | {"one": entry})


def only(records: list[RunRecord], **options: Any) -> AblationTable:
    (table,) = ablation_tables(records, MODELS, options.pop("reported", {}), **options)
    return table


def column(table: AblationTable, name: str) -> list[Any]:
    """Return a column of a table; cells that are missing are None."""
    return [row.cells.get(name) for row in table.grid.rows]


def test_rows_stand_in_the_models_order_with_differences_of_means() -> None:
    table = only(grid())
    assert column(table, "ablation") == ["full", "w/o-b", "w/o-a"]
    assert column(table, "removes") == ["", "no b", "no a, | or b"]
    means = [f.mean for f in column(table, "tuned_micro_f1")]
    assert means == pytest.approx([0.61, 0.62, 0.51]) and column(table, "tuned_micro_f1")[2].n == 3
    assert column(table, "difference") == [None, pytest.approx(0.01), pytest.approx(-0.1)]
    assert column(table, "told_apart") == [None] * 3


def test_rows_are_tested_against_the_full_model_only() -> None:
    read = reader_of({FULL: 0.9, "w/o-a": 0.4, "w/o-b": 0.9})
    table = only(grid(), read=read)
    assert column(table, "told_apart") == [None, "no", "yes"]
    gaps, least = column(table, "difference"), column(table, "detectable")
    assert least[0] is None and gaps[2] is not None and 0 < least[2] < 0.5
    # Holm over the two rows: the smaller p counts twice, and p is what tells apart.
    perm, seeds, adjusted = (column(table, f"p_{name}")[2] for name in ("perm", "seeds", "holm"))
    assert adjusted == pytest.approx(2 * max(perm, seeds))
    cells = [line.split() for line in markdown(view([table])).splitlines() if "w/o-a" in line]
    assert "yes" in cells[0]
    assert latex(view([table])).count(r"$\dag{} \\") == 1


def test_too_few_seeds_are_said_and_compared_over_shared_ones() -> None:
    records = [run(0, 0.6), run(1, 0.8), run(1, 0.7, "w/o-a"), run(2, 0.1, "w/o-a")]
    table = only(records, read=reader_of({FULL: 0.9, "w/o-a": 0.4}))
    assert column(table, "difference")[1] == pytest.approx(-0.1)
    assert "told_apart" not in [c.name for c in table.grid.columns]
    assert "Not tested: full has 2 seeds" in markdown(view([table]))
    alone = only([run(0, 0.6, "w/o-a")], read=reader_of({"w/o-a": 0.4}))
    assert column(alone, "difference") == [None]
    assert "no run of the full model" in alone.grid.notes[-1]


def test_only_the_same_configuration_and_data_meet() -> None:
    others = [run(0, 0.9, hidden=16), run(0, 0.9, preset="quick"), run(0, 0.9, mask="length")]
    table = only([*grid(), *others, record("two", 0, 0.9)])
    assert column(table, "seeds") == ["0 1 2"] * 3
    newer = grid(content="bbb", created="2026-02-01T00:00:00Z")
    tables = ablation_tables([*grid(), *newer], MODELS, {})
    assert [t.table.place.content for t in tables] == ["bbb", "aaa"]
    assert ablation_tables([run(0, 0.6)], MODELS, {}) == []


def test_ceiling_failures_and_combinations_have_their_places() -> None:
    ceiling = record("ceiling", 0, 0.8, dataset="fake-twin", role="ceiling")
    made = grid(dataset="fake-twin")
    extra = [run(3, None, "w/o-a", dataset="fake-twin"),
             run(0, 0.2, "w/o-b", "w/o-a", dataset="fake-twin")]  # fmt: skip
    constant = record("prior", 0, 0.21, dataset="fake-twin", role="trivial")
    table = only([*made, *extra, ceiling, constant])
    assert column(table, "ablation")[-2:] == ["w/o-a + w/o-b", "ceiling"]
    assert column(table, "removes")[-2] == "no a, | or b; no b"
    assert column(table, "share")[0] == pytest.approx(0.4 / 0.59)
    text = markdown(view([table]))
    assert "Generated data" in text and "Failed: w/o-a, seed 3: loss is NaN in step 3" in text
    assert "*ceiling*" in text and "- w/o-a: no a, | or b." in text
    lines = list(csv.reader(io.StringIO(csv_text(view([table])))))
    place = lines[0].index("ablation")
    assert {len(line) for line in lines} == {len(lines[0])}
    assert [line[place] for line in lines[1:]] == column(table, "ablation")


def test_printed_figures_have_columns_of_their_own(tmp_path: Path) -> None:
    table = only(grid(), reported=reported(tmp_path))
    assert column(table, "printed_difference") == [None, None, pytest.approx(-0.2)]
    text = markdown(view([table]))
    (less,) = [line for line in text.splitlines() if line.startswith("| w/o-a ")]
    assert [cell.strip() for cell in less.split("|")][-3:-1] == ["0.450", "-0.200"]
    assert "A paper" in text
    (board,) = build_boards(grid(), reported(tmp_path), registry=registry())
    printed = board_files(board, load())["fake-reported.md"]
    assert "precision exchanged back" in printed and "full†" in printed
    rows = {line["ablation"]: line for line in csv.DictReader(io.StringIO(csv_text(view([table]))))}
    assert rows["w/o-a"]["printed_micro_f1"] == "0.450000" and rows["w/o-b"]["printed_recall"] == ""
    assert rows["full"]["printed_precision"] == "0.700000"


def test_what_an_ablation_removed_is_what_its_record_says() -> None:
    """A run of an older meaning of its name keeps the description it was made under."""
    made = grid()
    kept = {"names": ["w/o-a"], "removes": {"w/o-a": "no a (structure kept)"}}
    old = [replace(r, ablation=kept) if "w/o-a" in r.config["model"]["ablate"] else r for r in made]
    assert column(only(old), "removes") == ["", "no b", "no a (structure kept)"]


def test_command_gives_all_seeds_and_no_switch() -> None:
    (command,) = only(grid()).grid.commands
    assert command == (
        "harness ablate --model one --dataset fake --seeds 0,1,2 --preset paper "
        "--set model.hidden=8 --device cpu"
    )
    assert only(grid()).grid.facts["setting"] == "paper model.hidden=8"


def test_boards_keep_ablations_in_files_of_their_own(tmp_path: Path) -> None:
    records = [*grid(), record("two", 0, 0.4)]
    (board,) = build_boards(records, registry=registry())
    rows = [row for table in board.tables for row in table.rows]
    assert [(r.model, r.setting) for r in rows] == [
        ("one", "paper model.hidden=8"), ("two", "paper"),
    ]  # fmt: skip
    assert runs_of([board]) == {r.id for r in records}
    texts = board_files(board, load())
    assert {n for n in texts if "ablation" in n} == {
        f"fake-one-ablation.{end}" for end in ("md", "csv", "json", "tex")
    }
    shown = {run for row in rows for run in row.runs}
    without = board_files(build_boards([r for r in records if r.id in shown])[0], load())
    assert texts["fake.json"] == without["fake.json"] and texts["fake.csv"] == without["fake.csv"]
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    assert stale_files(texts, tmp_path) == ([], [])
    bare = board_files(build_boards([record("two", 0, 0.4)])[0], load())
    (tmp_path / "notes.txt").touch()
    stale = [f"fake-one-ablation.{end}" for end in ("csv", "json", "md", "tex")]
    assert stale_files(bare, tmp_path)[1] == stale
    assert stale_files(bare, tmp_path, whole=False)[1] == []


def test_equal_records_give_equal_bytes() -> None:
    read = reader_of({FULL: 0.9, "w/o-a": 0.4, "w/o-b": 0.9})
    once, again = (
        files_of([view(ablation_tables(records, MODELS, {}, read))], load())
        for records in (grid(), grid()[::-1])
    )
    assert once == again and len(once) == 4


def test_a_model_without_a_setting_means_its_full_rows() -> None:
    chosen = select([*grid(), record("two", 0, 0.4)], ["one", "two"], Wanted("fake"), {})
    assert [c.row.setting for c in chosen] == ["paper model.hidden=8", "paper"]
    assert chosen[0].row.seeds == (0, 1, 2)
    setting = "paper model.ablate=[w/o-a] model.hidden=8"
    (less,) = select(grid(), [f"one:{setting}"], Wanted("fake"), {})
    assert less.row.figures[Key("micro_f1")].mean == pytest.approx(0.51)
    with pytest.raises(UsageError, match="several rows"):
        select([*grid(), run(0, 0.9, hidden=16)], ["one"], Wanted("fake"), {})


def test_an_ablation_says_where_it_means_nothing() -> None:
    data = DatasetSpec("d", "x:Y", (ModalitySpec("text", "t", 1, 1),), ("a",))
    assert SWITCHES[0].misfit(data) == ""
    assert "no personality" in AblationSpec("p", "", needs_personality=True).misfit(data)
    assert "v, t" in AblationSpec("o", "", keys=("v", "t")).misfit(data)
    assert AblationSpec("o", "", keys=("t",)).misfit(replace(data, personality_dim=3)) == ""


def test_ramer_declares_what_its_configuration_takes_and_table_4_prints() -> None:
    registry = load()
    declared = {n: registry.model(n).ablations for n in ("ramer", "ramer-public")}
    possible = tuple(a for a in declared["ramer"] if a.name not in IMPOSSIBLE_IN_PUBLIC)
    assert declared["ramer-public"] == possible and len(possible) == 13
    assert {a.name: a.keys for a in declared["ramer"] if a.keys} == ORDERS
    for switch in declared["ramer"]:
        assert RamerConfig(ablate=(switch.name,)).off()
    for switch in declared["ramer-public"]:
        assert RamerPublicConfig(ablate=(switch.name,)).off()
    printed = reported_by_plugins(registry)["ramer-ablation-mosei-aligned"]
    assert {r.name for r in printed.rows} == {FULL, *list(ABLATIONS)[:10]}
    fitting = {a.name for a in declared["ramer"] if not a.misfit(registry.dataset("mosei-aligned"))}
    assert fitting == set(ABLATIONS) - {"w/o-personality"}
    party = {a.name for a in declared["ramer"] if not a.misfit(registry.dataset("meld-party"))}
    assert party == set(ABLATIONS) - {"order-vtaC", "order-tavC"}


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


SMALL = (
    "--set", "training.epochs=1", "--set", "training.batch_size=256", "--set",
    "model.hidden_size=8", "--set", "model.heads=2", "--set", "model.layers=0",
)  # fmt: skip


def test_the_command_runs_shows_and_finds_again(tmp_path: Path) -> None:
    asked = ("--model", "ramer", "--dataset", "mosi", "--only", "w/o-shuffle,w/o-C")
    early = call("ablate", *asked, *SMALL, "--split", "valid", "--out", str(tmp_path / "early"))
    assert early.exit_code == 0, early.output
    splits = {s for r in RunStore().all() for s in r.metrics["full@1"]}
    assert splits == {"valid"} and "for development" in early.output
    assert (tmp_path / "early" / "valid" / "mosi-ramer-ablation.md").is_file()
    assert call("ablate", *asked, "--no-run").exit_code == 3  # nothing is scored on test

    first = call("ablate", *asked, *SMALL, "--out", str(tmp_path / "out"))
    assert first.exit_code == 0, first.output
    lines = [line.split() for line in first.output.splitlines()]
    rows = [line[0] for line in lines if line and line[0] in ("full", "w/o-C", "w/o-shuffle")]
    assert rows == ["full", "w/o-C", "w/o-shuffle"]
    assert "scoring the test split" in first.output  # of the same checkpoints
    assert "[3/3] w/o-C, seed 0" in first.output and "Not tested: full has 1 seed" in first.output
    names = {f"mosi-ramer-ablation.{end}" for end in ("md", "csv", "json", "tex")}
    assert {p.name for p in (tmp_path / "out").iterdir()} == names

    records = [r for r in RunStore().all() if r.role == "model"]
    assert sorted(r.config["model"]["ablate"] for r in records) == [[], ["w/o-C"], ["w/o-shuffle"]]
    commands = {tuple(r.config["model"]["ablate"]): r.command for r in records}
    assert "ablate" not in commands[()] and "model.ablate=[w/o-C]" in commands[("w/o-C",)]
    scores = {r.metrics["full@1"]["test"]["declared"]["micro_ap"] for r in records}
    assert len(scores) == 3  # every switch changes the model

    shown = call("ablate", *asked, "--no-run", "--json")
    assert shown.exit_code == 0, shown.output
    (table,) = json.loads(shown.stdout)["tables"]
    assert [row["ablation"] for row in table["rows"]][:3] == ["full", "w/o-C", "w/o-shuffle"]
    base, less = (row["tuned_micro_f1"]["mean"] for row in table["rows"][:2])
    assert table["rows"][1]["difference"] == pytest.approx(less - base)
    written = json.loads((tmp_path / "out" / "mosi-ramer-ablation.json").read_text())
    for key in table:
        assert written["grids"][0][key] == table[key], key
    assert written["grids"] == [table]
    boards = call("leaderboard", "--out", str(tmp_path / "boards"))
    assert boards.exit_code == 0, boards.output
    made = (tmp_path / "boards" / "mosi-ramer-ablation.json").read_text()
    assert json.loads(made)["grids"] == [table]
    assert "w/o-C" not in (tmp_path / "boards" / "mosi.md").read_text()


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (("--model", "carat"), 2, "declares no ablations; models that do: ramer, ramer-public"),
        (("--model", "ramer", "--only", "w/o-D"), 2, "unknown ablation of ramer 'w/o-D'"),
        (("--model", "ramer", "--only", "w/o-personality"), 2, "the data has no personality"),
        (("--model", "ramer", "--set", "model.ablate=[w/o-C]"), 2, "choose rows with --only"),
        (("--model", "ramer", "--seeds", "x"), 2, "give whole numbers"),
        (("--model", "ramer", "--no-run"), 3, "no such ablations of ramer on mosi"),
        (("--model", "ramer", "--no-run", "--rerun"), 2, "train nothing"),
        (("--model", "ramer-public", "--only", "order-vtaC"), 2, "ablation of ramer-public"),
    ],
)
def test_wrong_input_is_named(options: tuple[str, ...], code: int, text: str) -> None:
    result = call("ablate", "--dataset", "mosi", *options)
    assert result.exit_code == code and text in result.stderr


def test_show_lists_the_ablations() -> None:
    facts = json.loads(call("show", "ramer", "--json").stdout)
    assert facts["ablations"] == ABLATIONS
