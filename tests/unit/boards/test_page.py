"""The page of boards: nothing outside it, no markup from names, equal bytes, small enough."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from typing import Any

import pytest

from harness.boards.board import Board, build_boards
from harness.boards.folder import BoardFolder
from harness.boards.render.page import data_files, embedded, page
from harness.plugins import load
from harness.records.store import RunStore
from harness.statistics.compare import PairTest
from tests.unit import pages

HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)>&\u2028"


class Reader(HTMLParser):
    """Collects what a browser would load or run, and the embedded data."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = f"{tag} {dict(attrs).get('id') or ''}".strip()

    def handle_data(self, data: str) -> None:
        self.text[self._inside] = self.text.get(self._inside, "") + data


def parsed(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def held(board: Board) -> dict[str, Any]:
    """Return what a board's own file gives to the page."""
    ((name, text),) = data_files([board]).items()
    assert name == f"{board.dataset}.js" and text.startswith("harnessBoard(")
    called, values = json.loads(
        f"[{text.removeprefix('harnessBoard(').removesuffix(');' + chr(10))}]"
    )
    assert called == board.dataset
    return dict(values)


@pytest.fixture(scope="module")
def small() -> str:
    return page(pages.small()[0])


def test_nothing_outside_the_file_is_loaded(small: str) -> None:
    reader = parsed(small)
    for tag, attributes in reader.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:,")), (tag, value)
    style, script = reader.text["style"], reader.text["script"]
    assert "url(" not in style and "@import" not in style
    assert not re.search(r"https?:|//\w|fetch\(|import\(|XMLHttp", re.sub(r"// .*", "", script))
    policy = [a for t, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy[0]["content"]).startswith("default-src 'none'")


def test_names_in_records_are_text() -> None:
    text = page(pages.small(HOSTILE)[0])
    reader = parsed(text)
    tags = [tag for tag, _ in reader.tags]
    assert tags.count("script") == 2 and "img" not in tags
    assert not any(name.startswith("on") for _, attributes in reader.tags for name in attributes)
    data = json.loads(reader.text["script records"])
    assert not any(len(board) > 4 for board in data["boards"])  # heads alone
    (script,) = data_files(pages.small(HOSTILE)[0][:1]).values()
    assert "<" not in script and "\u2028" not in script
    assert HOSTILE in {entry["label"] for entry in held(pages.small(HOSTILE)[0][0])["about"]}
    assert json.loads(embedded([HOSTILE])) == [HOSTILE] and "<" not in embedded([HOSTILE])


def test_tables_stand_in_the_page_without_scripts(small: str) -> None:
    before = small.partition('<script type="application/json"')[0]
    assert before.count("<caption>") == 4  # per data set what was measured and what is reported
    assert "0.9110 ± 0.0010 [" in before and "Doubtful." in before
    real, twin = before.split('data-board="fake-twin"')
    assert "Measured: fake. Scored under full@1" in real and "Twin" not in real
    assert "Twin (generated data): fake-twin. " in twin and "say nothing about the real" in twin
    assert "figures on the real fake, not on this twin" in twin


def test_what_a_row_opens_to() -> None:
    board = held(next(b for b in pages.small()[0] if b.dataset == "fake-twin"))
    table = next(t for t in board["tables"] if t["dropout"] == "full@1")
    row = next(r for r in table["rows"] if board["about"][r["about"]]["label"] == "one")
    about = board["about"][row["about"]]
    assert about["seeds"] == [0, 1, 2] and len(about["runs"]) == 3
    assert about["commands"] == ["harness run --model one --dataset fake-twin --seeds 0,1,2"]
    place = table["metrics"].index("micro_f1")
    assert [seed[place] for seed in row["seeds"]] == [9000, 9010, 9020]
    assert row["figures"][2 * place : 2 * place + 2] == [9010, 10]
    assert row["over_seeds"][0] < row["over_seeds"][1] and row["clusters"] == 20
    assert row["labels"][0][:2] == ["happy", 40] and row["labels"][0][-1] is None
    assert {t["dropout"]: t["rate"] for t in board["tables"]}["random-0.3@1"] == 3000
    assert all("seeds" not in r for t in board["tables"] if t is not table for r in t["rows"])


def test_pairs_carry_the_test_that_made_the_ranks() -> None:
    boards, _ = pages.small()
    table = next(t for t in boards[0].tables if t.place.dropout == "full@1")
    by_label = {row.label: i for i, row in enumerate(table.rows)}
    tests = {frozenset(pair): test for pair, test in table.tests.items()}
    assert len(tests) == len(list(combinations(("one", "two", "three"), 2)))
    for pair, test in tests.items():
        a, b = (table.rows[i] for i in pair)
        assert test.told_apart == (not set(a.rank) & set(b.rank)) == (test.p_holm < 0.05)
        assert max(test.p_perm, test.p_seeds) <= test.p_holm
        assert test.delta_ci[0] <= test.delta <= test.delta_ci[1]
    better = tests[frozenset((by_label["one"], by_label["two"]))]
    first = next(pair[0] for pair, test in table.tests.items() if test is better)
    assert better.told_apart and (better.delta > 0) == (first == by_label["one"])


def test_one_label_a_sample_is_scored_by_accuracy() -> None:
    boards, _ = pages.party()
    board = held(boards[0])
    assert board["single"] and board["tested"] == "accuracy"
    for table in board["tables"]:
        whole = table["dropout"] == "full@1"
        assert table["metrics"] == ["accuracy", "macro_f1", "weighted_f1"]
        assert table["slices"]["names"] == list(pages.SLICES)
        assert table["slices"]["metrics"] == (table["metrics"] if whole else ["accuracy"])
    table = next(t for t in board["tables"] if t["dropout"] == "full@1")
    row = next(r for r in table["rows"] if board["about"][r["about"]]["label"] == "one")
    assert row["figures"][:2] == [7010, 10]
    assert row["slices"][6:10] == [6910, 10, 6850, 10]  # nonspeaker: 0.01 less


def test_suites_name_their_protocols_and_hold_aggregates_by_metric() -> None:
    boards, _ = pages.party()
    board = held(boards[0])
    core, party = board["suites"]
    assert [s["suite"] for s in (core, party)] == ["core@1", "party@1"]
    scored = {t["dropout"] for t in board["tables"]}
    assert set(core["protocols"]) | set(party["protocols"]) == scored
    assert party["aggregates"] == {} and len(core["protocols"]) == 14
    assert set(core["aggregates"]) == {"accuracy", "macro_f1", "weighted_f1"}
    labels = [board["about"][place]["label"] for place in core["rows"]]
    assert labels == ["ceiling", "one", "two", "prior"]
    (table,) = (t for t in boards[0].robustness if t.suite == "core@1")
    worst = core["aggregates"]["accuracy"]["names"].index("worst")
    for mine, row in zip(core["aggregates"]["accuracy"]["rows"], table.rows, strict=True):
        assert mine[1] == len(row.seeds)
        assert mine[2 + 2 * worst] == round(row.aggregates["worst"].mean * 10_000)
    by_metric = [core["aggregates"][m]["rows"][1][2] for m in ("accuracy", "macro_f1")]
    assert by_metric[0] - by_metric[1] == 60  # macro-F1 of these records is 0.006 lower


def test_shares_are_those_of_the_statistics() -> None:
    """The page shows what Python computed: it computes no share itself."""
    (board, *_), _ = pages.party()
    tables = held(board)["tables"]
    tested = held(board)["tested"]
    checked = 0
    for made, table in zip(tables, board.tables, strict=True):
        place = made["metrics"].index(tested)
        for shares, row in zip(made["shares"] or [], table.rows, strict=True):
            assert shares[place] == (None if row.share is None else round(row.share * 10_000))
            checked += row.share is not None
    assert checked > 20
    assert "table.shares" in page([board]) and "best - low" not in page([board])


def test_ablations_stand_in_tables_of_their_own() -> None:
    boards, _ = pages.party()
    before = page(boards).partition('<script type="application/json"')[0]
    part = before.partition('<div class="ablation">')[2].partition('<div class="printed">')[0]
    assert "Twin (generated data): party-twin. quick, data" in part and "ablations of one" in part
    assert part.count('class="printed"') == 2 * (1 + 4)  # two heads, and cells of four rows
    assert '<tr class="full"><th scope="row">full</th>' in part
    assert '<th scope="row">w/o-C</th>' in part and "told apart" in part
    measured = before.partition('<div class="ablation">')[0]
    assert "w/o-C" not in measured
    about = held(boards[0])["about"]
    assert not any("w/o-C" in entry["setting"] for entry in about)


def test_the_clip_diagnostic_stands_both_ways() -> None:
    runs = [pages.record("one", s, 0.6, dataset="clip") for s in range(2)]
    clips = [replace(r, dataset=r.dataset | {"layout": "grid"}) for r in runs]
    for run in clips:
        run.metrics["full@1"]["test"]["declared"]["weighted_f1"] = 0.5
    part = (
        page(build_boards(clips))
        .partition("correct, and as legacy code computes it")[2]
        .partition("<tbody>")[2]
    )
    cells = re.findall(r"<td>(.*?)</td>", part.partition("</table>")[0])
    assert cells[:2] == ["quick", "2"]
    precision, recall, weighted = cells[2:5]
    assert cells[5:7] == [recall, precision] and precision != recall
    assert weighted.startswith("0.5000") and cells[7] != weighted


def test_equal_records_give_equal_bytes(small: str) -> None:
    _, runs = pages.small()
    again = build_boards(reversed(runs), pages.printed(), read=pages.predictions)
    assert page(again) == small
    assert data_files(again) == data_files(pages.small()[0])


def test_a_citation_names_versions_commits_and_the_newest_day() -> None:
    made: list[dict[str, Any]] = [
        {"commit": "a" * 40, "packages": {"emotion-harness": "0.1.0"}},
        {"commit": "b" * 40 + "+dirty", "packages": {"emotion-harness": "0.2.0"}},
        {"commit": None},
    ]
    runs = [
        replace(pages.record("one", s, 0.5), provenance=one, created=f"2026-01-0{s + 1}T00:00:00Z")
        for s, one in enumerate(made)
    ]
    told = {
        "versions": ["0.1.0", "0.2.0"],
        "commits": ["a" * 12, "b" * 12 + "+dirty"],
        "newest": "2026-01-03",
    }
    assert held(build_boards(runs)[0])["made"] == told
    for run in runs:
        RunStore().write(run)
    (product,) = BoardFolder(RunStore(), load(), {}).products()
    assert embedded(told) in product.files["fake.js"]


@pytest.mark.full
def test_under_a_megabyte_for_17_models_on_5_data_sets() -> None:
    boards, _ = pages.large()
    wide: dict[str, Any] = {"t_interval": (0.51234, 0.52345), "sample_interval": (0.5, 0.61234),
                            "clusters": 1234, "rank": ("a", "b", "c")}  # fmt: skip
    for board in boards:  # as many pairs as tests would leave
        made = PairTest(-0.01234, (-0.02345, 0.0123), 0.1234, 0.2345, 0.9999, False)
        pairs = dict.fromkeys(combinations(range(17), 2), made)
        object.__setattr__(board, "tables", tuple(
            replace(t, tests=pairs, rows=tuple(replace(row, **wide) for row in t.rows))
            if t.place.dropout == "full@1" else t for t in board.tables))  # fmt: skip
    data = [held(board) for board in boards]
    assert [len(board["tables"]) for board in data] == [28] * 5
    assert [len(board["suites"]) for board in data] == [2] * 5
    assert sum(bool(t["slices"]) for board in data for t in board["tables"]) == 56
    # Twenty boards stay below a megabyte: a page grows by the main tables alone.
    assert 4 * len(page(boards).encode()) < 1_000_000
    sizes = [len(text.encode()) for text in data_files(boards).values()]
    assert min(sizes) > 30_000 and max(sizes) < 500_000


def test_a_page_of_no_records() -> None:
    assert "No records." in page([])
