"""The page keeps what is chosen in its address, saves its tables and says how to cite them."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from tests.browser.opening import choose, find, loaded, names, opening
from tests.unit import pages


def address(browser: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(browser.current_url).fragment)


def saved(browser: Any, downloads: Path, table: str, form: str) -> str:
    """Return the text of a file that a table is saved as."""
    before = set(downloads.iterdir())
    find(browser, f"{table} caption [data-save={form}]").click()
    for _ in range(200):
        new = [path for path in set(downloads.iterdir()) - before if path.suffix == f".{form}"]
        if new:
            return new[0].read_text("utf-8")
        time.sleep(0.05)
    raise AssertionError(f"nothing was saved in {downloads}: {sorted(downloads.iterdir())}")


def test_what_is_chosen_stands_in_the_address(opened: Any) -> None:
    choose(opened, "#dataset", "fake-twin")
    assert address(opened) == {"board": ["fake-twin"]}
    choose(opened, "#protocol", "random-0.3@1")
    choose(opened, "#metric", "Jaccard")
    find(opened, "#filter").send_keys("o")
    find(opened, "#show-reference").click()
    find(opened, '#measured th[data-column="model"] button').click()
    button = find(opened, "#measured tbody th button")
    assert button.text == "one"
    button.click()
    assert address(opened) == {
        "board": ["fake-twin"], "protocol": ["random-0.3@1"], "metric": ["jaccard"],
        "filter": ["o"], "hide": ["reference"], "sort": ["model"], "open": ["one (quick)"],
    }  # fmt: skip
    choose(opened, "#suite-model", "two (quick)")
    assert address(opened)["curve"] == ["two (quick)"]


def test_an_address_opens_what_it_names(browser: Any, tmp_path: Path) -> None:
    asked = (
        "board=fake-twin&protocol=random-0.3%401&metric=jaccard&sort=model"
        f"&filter=o&hide=reference,reported&open={quote('two (quick)')}"
    )
    for opened in opening(browser, tmp_path, pages.small()[0], asked):
        assert find(opened, "#board-title").text == "fake-twin"
        assert "scored under random-0.3@1" in find(opened, "#measured caption").text
        assert find(opened, "#metric").get_attribute("value") == "jaccard"
        assert names(opened) == ["one", "two"]  # by name; "three" was not scored under it
        assert "two-fake-twin-s2-" in find(opened, "tr.detail").text
        assert not find(opened, "#show-reference").is_selected()
        # Another address in the same page, as a link gives it or the way back.
        opened.execute_script("location.hash = 'board=fake'")
        loaded(opened)
        assert names(opened)[0] == "one" and len(names(opened)) == 4
        assert find(opened, "#filter").get_attribute("value") == ""
        opened.execute_script("location.hash = 'board=fake&protocol=gone%401'")
        assert "no longer has" in find(opened, "#status").text
        opened.execute_script("location.hash = 'board=gone'")
        assert "a board that is not here" in find(opened, "#status").text


def test_a_table_is_saved_as_it_is_seen(opened: Any, downloads: Path) -> None:
    find(opened, "#filter").send_keys("t")
    text = saved(opened, downloads, "#measured", "csv")
    lines = list(csv.DictReader(text.splitlines()))
    assert [line["model"] for line in lines] == names(opened) == ["three", "two", "prior"]
    head = "micro-F1 tuned [95 %]"
    assert lines[0][head] == "0.63" and lines[0][f"{head} std"] == "0.01"
    shown = find(opened, "#measured tbody tr:nth-child(2) td").text
    ends = [float(lines[1][f"{head} {end}"]) for end in ("low", "high")]
    assert ends[0] < ends[1] and "[{:.4f}, {:.4f}]".format(*ends) in shown
    assert [line["role"] for line in lines] == ["model", "model", "trivial"]
    assert lines[2][f"{head} std"] == ""  # one seed
    found = json.loads(saved(opened, downloads, "#measured", "json"))
    assert found["board"] == "fake" and found["scored_under"] == "full@1"
    assert found["data"] == "fake-aaa" and found["source"] == "real data"
    assert [row["model"] for row in found["rows"]] == ["three", "two", "prior"]
    assert found["rows"][0][head]["value"] == 0.63
    tex = saved(opened, downloads, "#measured", "tex")
    assert tex.count(r"\toprule") == 1 and "micro-F1 tuned [95 \\%]" in tex
    assert r"three & $0.6300 \pm 0.0100" in tex and "ceiling" not in tex


def test_other_views_are_saved_too(party: Any, downloads: Path) -> None:
    slices = list(csv.DictReader(saved(party, downloads, "#by-slice", "csv").splitlines()))
    assert slices[1]["invisible (10)"] == "0.701" and slices[1]["invisible (10) std"] == "0.001"
    suite = json.loads(saved(party, downloads, "#suite", "json"))
    assert suite["scored_under"] == "core@1" and suite["source"] == "generated twin"
    assert [row["model"] for row in suite["rows"]][:2] == ["ceiling", "one (quick)"]
    ablation = saved(party, downloads, ".ablation table", "csv")
    assert "w/o-C" in ablation and "party-twin" not in ablation.splitlines()[0]


def test_the_page_says_how_to_cite_a_table(opened: Any) -> None:
    text = find(opened, "#cite").text
    assert "board fake, fake@1 (content fake-aaa), mask ones" in text
    assert "trained under full@1, scored under full@1 on test, micro-F1 tuned" in text
    assert "@misc{emotion-harness-fake," in text and "year = {2026}" in text
    choose(opened, "#dataset", "fake-twin")
    choose(opened, "#metric", "Jaccard")
    text = find(opened, "#cite").text
    assert "generated twin of fake" in text and "on test, Jaccard" in text
