"""The page of boards: nothing outside it, no markup from names, equal bytes, small enough."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations

import pytest

from harness.boards.aggregate import RowTest
from harness.boards.page import embedded, page
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


@pytest.fixture(scope="module")
def small() -> str:
    return page(*pages.small())


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
    text = page(*pages.small(HOSTILE))
    reader = parsed(text)
    tags = [tag for tag, _ in reader.tags]
    assert tags.count("script") == 2 and "img" not in tags
    assert not any(name.startswith("on") for _, attributes in reader.tags for name in attributes)
    data = json.loads(reader.text["script records"])
    assert HOSTILE in {entry["label"] for entry in data["boards"][0]["about"]}
    assert json.loads(embedded([HOSTILE])) == [HOSTILE] and "<" not in embedded([HOSTILE])


def test_tables_stand_in_the_page_without_scripts(small: str) -> None:
    before = small.partition('<script type="application/json"')[0]
    assert before.count("<caption>") == 4  # per data set what was measured and what is reported
    assert "0.9010 ± 0.0010" in before and "Doubtful." in before
    real, twin = before.split('data-board="fake-twin"')
    assert "Measured: fake@1" in real and "Twin" not in real
    assert "Twin: fake-twin@1" in twin and "say nothing about the real" in twin
    assert "figures on the real fake, not on this twin" in twin


def test_what_a_row_opens_to(small: str) -> None:
    data = json.loads(parsed(small).text["script records"])
    board = next(b for b in data["boards"] if b["name"] == "fake-twin")
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
    table = next(t for t in boards[0].tables if t.key.dropout == "full@1")
    by_label = {row.label: i for i, row in enumerate(table.rows)}
    tests = {frozenset((t.first, t.second)): t for t in table.tests}
    assert len(tests) == len(list(combinations(("one", "two", "three"), 2)))
    for pair, test in tests.items():
        a, b = (table.rows[i] for i in pair)
        assert test.told_apart == (not set(a.rank) & set(b.rank)) == (test.p_holm < 0.05)
        assert max(test.p_perm, test.p_seeds) <= test.p_holm
        assert test.delta_ci[0] <= test.delta <= test.delta_ci[1]
    better = tests[frozenset((by_label["one"], by_label["two"]))]
    assert better.told_apart and (better.delta > 0) == (better.first == by_label["one"])


def test_equal_records_give_equal_bytes(small: str) -> None:
    boards, runs = pages.small()
    assert page(boards, list(reversed(runs))) == small


def test_under_a_megabyte_for_17_models_on_5_data_sets() -> None:
    boards, runs = pages.large()
    for board in boards:  # as many pairs as tests would leave
        made = RowTest(0, 1, -0.01234, (-0.02345, 0.0123), 0.1234, 0.2345, 0.9999, False)
        pairs = [replace(made, first=i, second=j) for i, j in combinations(range(17), 2)]
        tables = [replace(t, tests=tuple(pairs) if t.key.dropout == "full@1" else ())
                  for t in board.tables]  # fmt: skip
        object.__setattr__(board, "tables", tuple(tables))
    size = len(page(boards, runs).encode())
    assert 100_000 < size < 1_000_000


def test_a_page_of_no_records() -> None:
    assert "No records." in page([], [])
