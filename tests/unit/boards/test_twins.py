"""Boards over several twins: what joins them, and what a row with fewer twins says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.boards.board import build_boards
from harness.boards.frame import Key
from harness.boards.rows import Table, tables
from harness.boards.selecting import Wanted, select
from harness.boards.views.leaderboard import leaderboard
from harness.records.record import RunRecord
from tests.unit.boards.made import record as made

HASHES = {number: f"{number}" * 64 for number in range(10)}
F1 = Key("micro_f1")


def run(model: str, seed: int, f1: float | None = 0.5, **about: Any) -> RunRecord:
    """Return a run on twin 1 + seed, or ``twin``; its content is the twin's, or ``content``."""
    twin = about.pop("twin", seed + 1)
    content = about.pop("content", HASHES[twin])
    found = made(model, seed, f1, dataset="fake-twin", content=content, **about)
    size = {"version": 3, "seed": twin, "size": "default"}
    return replace(found, id=f"{found.id}{twin}", dataset=found.dataset | {"twin": size})


def over(model: str, twins: int, *f1: float, **about: Any) -> list[RunRecord]:
    return [run(model, s, f1[s] if f1 else 0.5, **about) for s in range(twins)]


def rows(table: Table) -> dict[str, tuple[tuple[int, ...], str]]:
    return {row.label: (row.twins, row.lacking) for row in table.rows}


def test_runs_on_twins_of_one_recipe_are_one_row() -> None:
    (table,) = tables([*over("one", 3, 0.4, 0.5, 0.6), *over("two", 3)])
    assert table.place.content == "recipe 3, default"
    assert [(t.number, t.content_hash) for t in table.twins] == [(n, HASHES[n]) for n in (1, 2, 3)]
    assert (table.samples, table.facts["twins"]) == (15, "1 2 3")
    row = next(r for r in table.rows if r.label == "one")
    assert (row.seeds, row.twins, row.lacking, row.ranked) == ((0, 1, 2), (1, 2, 3), "", True)
    assert row.figures[F1].n == 3 and abs((row.figures[F1].std or 0) - 0.1) < 1e-9


def test_a_row_with_fewer_twins_says_so_and_has_no_rank() -> None:
    found = [*over("one", 3), *over("two", 3), run("new", 0)]
    (table,) = tables(found)
    assert rows(table)["new"] == ((1,), "1 of 3 twins")
    assert not next(r for r in table.rows if r.label == "new").ranked
    (board,) = build_boards(found)
    text = repr(leaderboard(board).grids)
    assert "1 of 3 twins" in text and "twins 1 `111111111111`, 2 `222222222222`" in text


def test_twins_beyond_those_of_most_rows_are_left_out_and_named() -> None:
    """Five seeds for an ablation take no twin from the other models, and get none."""
    found = [*over("one", 3), *over("two", 3), *over("three", 5), *over("prior", 5, role="trivial")]
    (table,) = tables(found)
    assert [t.number for t in table.twins] == [1, 2, 3]
    assert rows(table) == {name: ((1, 2, 3), "") for name in ("one", "two", "three", "prior")}
    assert {row.label: row.beyond for row in table.rows}["three"] == (4, 5)
    (alone,) = tables(over("three", 5))
    assert [t.number for t in alone.twins] == [1, 2, 3, 4, 5]
    shown = {row.label: row.lacking for row in tables(found, twins={5})[0].rows}
    assert shown == {"one": "3 of 4 twins", "two": "3 of 4 twins", "three": "", "prior": ""}


def test_other_content_of_a_twin_and_other_twins_stand_apart() -> None:
    known = [*over("one", 3), *over("two", 3)]
    other = [run("other", 0, content="f" * 64), run("other", 1)]
    joined, apart = tables([*known, *other])
    assert set(rows(joined)) == {"one", "two"}
    assert rows(apart) == {"other": ((1, 2), "")}
    assert apart.place.content == f"recipe 3, default, twin 1 {'f' * 12}, twin 2 {'2' * 12}"
    joined, apart = tables([*known, run("far", 7)])
    assert rows(apart) == {"far": ((8,), "")} and set(rows(joined)) == {"one", "two"}


def test_recipes_and_sizes_never_meet() -> None:
    full = [replace(r, dataset=r.dataset | {"twin": r.dataset["twin"] | {"size": "full"}})
            for r in over("two", 3)]  # fmt: skip
    found = tables([*over("one", 3), *full])
    assert [t.place.content for t in found] == ["recipe 3, default", "recipe 3, full"]


def test_records_without_a_twin_join_by_their_content_as_before() -> None:
    old = [made(m, s, dataset="fake-twin", content="aaa") for m in ("one", "two") for s in (0, 1)]
    joined, apart = tables([*old, *over("one", 2)])
    assert joined.place.content == "aaa" and joined.twins == () and joined.samples == 5
    assert apart.place.content == "recipe 3, default"


def test_the_twin_and_trials_of_a_search_are_on_no_board() -> None:
    trial = replace(run("one", 0), id="t", role="trial")
    (board,) = build_boards([*over("one", 3), run("one", 0, twin=0), trial])
    assert [row.runs for t in board.tables for row in t.rows] == [
        tuple(r.id for r in over("one", 3))
    ]


def test_masks_are_compared_inside_a_twin() -> None:
    """Each twin has masks of its own; other masks on the same twin never meet them."""
    same = [
        run(m, s, dropout="drop-text@1", digest=f"d{s}") for m in ("one", "two") for s in (0, 1)
    ]
    odd = run("odd", 1, dropout="drop-text@1", digest="other")
    joined, apart = tables([*same, odd])
    assert rows(joined) == {"one": ((1, 2), ""), "two": ((1, 2), "")}
    assert (apart.place.digest, list(rows(apart))) == ("other", ["odd"])


def test_seeds_on_one_fixed_twin_and_the_newest_of_each() -> None:
    older = run("one", 0, 0.1, created="2025-01-01T00:00:00Z")
    found = [older, *over("one", 2), run("one", 0, twin=2), run("one", 5, twin=1)]
    (table,) = tables(found)
    (row,) = table.rows
    assert [(t.dataset["twin"]["seed"], t.seed) for t in row.records] == [(1, 0), (1, 5), (2, 0),
                                                                          (2, 1)]  # fmt: skip
    assert older.id not in row.runs


def test_failed_runs_stand_beside_the_rows_of_their_recipe() -> None:
    failed = run("two", 2, None)
    (table,) = tables([*over("one", 3), *over("two", 2), failed])
    assert table.failed == (failed,) and rows(table)["two"] == ((1, 2), "2 of 3 twins")
    (table,) = tables([*over("two", 3), replace(failed, created="2025-01-01T00:00:00Z")])
    assert table.failed == ()


def test_compare_finds_rows_on_twins() -> None:
    known = [*over("one", 3), *over("two", 3), run("old", 0, twin=0)]
    one, two = select(known, ["one", "two"], Wanted("fake-twin"), {})
    assert one.key == two.key and one.row.twins == (1, 2, 3)
