"""The page in a real browser: sorting, filtering, comparing, opening rows; no console errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.boards.render.page import page
from tests.browser.opening import choose, find, first_column, names
from tests.unit import pages


def test_sorting(opened: Any) -> None:
    assert names(opened) == ["one", "three", "two", "prior"]
    head = find(opened, '#measured th[data-column="tuned_micro_f1"]')
    assert head.get_attribute("aria-sort") == "descending"
    head.find_element("css selector", "button").click()
    assert names(opened) == ["prior", "two", "three", "one"]
    focused = opened.switch_to.active_element
    assert focused.text == "micro-F1 tuned [95 %]"  # the keyboard stays where it was
    find(opened, '#measured th[data-column="model"] button').click()
    assert names(opened) == ["one", "prior", "three", "two"]
    sorts = [h.get_attribute("aria-sort") for h in opened.find_elements(
        "css selector", "#measured thead th")]  # fmt: skip
    assert sorts.count("ascending") == 1 and sorts.count("descending") == 0


def test_a_page_without_its_files_shows_the_main_tables(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(page(pages.small()[0]), "utf-8")
    browser.get((tmp_path / "index.html").as_uri())
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 20).until(lambda b: "fake.js" in find(b, "#status").text)
    table = find(browser, 'section[data-board="fake"] .drawn table')
    assert table.is_displayed() and "0.9110" in table.text
    lines = [p.text for p in browser.find_elements("css selector", "#about p")]
    assert lines[0].startswith("Real data") and lines[1].startswith("Labels")
    assert not find(browser, "#comparison").is_displayed()
    browser.get_log("browser")  # says that the file was not found


def test_filtering_and_what_is_shown(opened: Any) -> None:
    find(opened, "#filter").send_keys("t")
    find(opened, "#filter").send_keys("hr")
    assert names(opened) == ["three"]
    assert find(opened, "#status").text.startswith("1 of 4 rows")
    find(opened, "#filter").clear()
    find(opened, "#filter").send_keys(" ")
    assert len(names(opened)) == 4
    find(opened, "#show-reference").click()
    assert "prior" not in names(opened)
    reported = find(opened, 'section[data-board="fake"] table.reported')
    assert reported.is_displayed()
    find(opened, "#show-reported").click()
    assert not reported.is_displayed()


def test_twins_are_marked_and_can_be_left_out(opened: Any) -> None:
    assert not find(opened, "#banner").is_displayed()
    choose(opened, "#dataset", "fake-twin")
    assert "say nothing about the real data set" in find(opened, "#banner").text
    assert find(opened, "#measured").get_attribute("class") == "twin"
    assert names(opened)[0] == "ceiling"
    find(opened, "#show-twins").click()
    assert not find(opened, "#banner").is_displayed()
    assert len(opened.find_elements("css selector", "#dataset option")) == 1


def test_protocol_and_metric(opened: Any) -> None:
    choose(opened, "#protocol", "random-0.3@1")
    caption = find(opened, "#measured caption").text
    assert "scored under random-0.3@1" in caption
    choose(opened, "#metric", "Jaccard")
    heads = [h.text for h in opened.find_elements("css selector", "#measured thead th")]
    assert heads[1].startswith("Jaccard") and len(heads) <= 8
    choose(opened, "#protocol", "full@1")
    assert find(opened, "#metric").get_attribute("value") == "jaccard"


def test_an_opened_row(opened: Any) -> None:
    choose(opened, "#dataset", "fake-twin")
    button = next(b for b in opened.find_elements("css selector", "#measured th button")
                  if b.text == "one")  # fmt: skip
    button.send_keys("\ue007")  # Enter: by keyboard alone
    detail = find(opened, "tr.detail")
    text = detail.text
    assert "harness run --model one --dataset fake-twin --seeds 0,1,2" in text
    assert "happy" in text and "0.9020" in text and "95 % over samples" in text
    assert "one-fake-twin-s2-" in text and "random-0.7@1" in text and "nAUILC" in text
    curve = detail.find_element("css selector", "svg[role=img]")
    assert len(curve.find_elements("css selector", "circle")) == 8
    assert curve.find_elements("css selector", "path.top")
    opener = opened.switch_to.active_element
    assert opener.get_attribute("aria-expanded") == "true"
    opener.send_keys(" ")
    assert not opened.find_elements("css selector", "tr.detail")


def test_comparing(opened: Any) -> None:
    choose(opened, "#first", "two (quick)")
    choose(opened, "#second", "one (quick)")
    text = find(opened, "#verdict").text
    assert "Told apart: one (quick) is better." in text and "Holm" in text
    assert "harness compare two one --dataset fake" in text
    gap = next(line for line in text.splitlines() if line.startswith("difference"))
    choose(opened, "#first", "one (quick)")
    choose(opened, "#second", "two (quick)")
    turned = next(line for line in find(opened, "#verdict").text.splitlines()
                  if line.startswith("difference"))  # fmt: skip
    assert float(turned.split()[1]) == -float(gap.split()[1]) > 0
    choose(opened, "#second", "three (quick)")
    choose(opened, "#first", "two (quick)")
    assert "Not told apart." in find(opened, "#verdict").text
    choose(opened, "#metric", "Jaccard")
    text = find(opened, "#verdict").text
    assert "Jaccard under full@1 is not tested on this page" in text
    assert "Test of micro-F1 tuned under full@1" in text and text.endswith("--metric jaccard")
    choose(opened, "#metric", "micro-F1 tuned")
    choose(opened, "#protocol", "only-a@1")
    choose(opened, "#first", "two (quick)")
    choose(opened, "#second", "one (quick)")
    text = find(opened, "#verdict").text
    assert "micro-F1 tuned under only-a@1 is not tested on this page" in text
    assert gap in text.splitlines() and text.endswith("--dropout only-a@1")


def test_reported_figures_are_sorted_apart(opened: Any) -> None:
    table = find(opened, 'section[data-board="fake"] table.reported')
    table.find_element("css selector", "thead th:nth-child(3) button").click()
    rows = [r.text for r in table.find_elements("css selector", "tbody th")]
    assert rows == ["one†", "two"]
    table.find_element("css selector", "thead th:nth-child(3) button").click()
    rows = [r.text for r in table.find_elements("css selector", "tbody th")]
    assert rows == ["two", "one†"]


def test_keyboard_alone_sorts_and_opens(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    find(opened, "body").send_keys(Keys.TAB)
    assert opened.switch_to.active_element.text == "Skip to the tables"
    order = []
    for _ in range(20):
        opened.switch_to.active_element.send_keys(Keys.TAB)
        now = opened.switch_to.active_element
        order.append(now.get_attribute("id") or now.text)
        if order[-1] == "micro-F1 tuned [95 %]":
            break
    assert order[:4] == ["dataset", "protocol", "metric", "filter"]
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert opened.execute_script(outline) == "solid"
    head = '#measured th[data-column="tuned_micro_f1"]'
    for pressed, expected in ((Keys.ENTER, "ascending"), (Keys.SPACE, "descending")):
        opened.switch_to.active_element.send_keys(pressed)
        assert find(opened, head).get_attribute("aria-sort") == expected
        assert opened.switch_to.active_element.text == "micro-F1 tuned [95 %]"
    assert find(opened, "#status").get_attribute("role") == "status"


def test_slices_follow_metric_and_filter(party: Any) -> None:
    assert find(party, "#metric option").text == "accuracy"
    assert first_column(party, "#by-slice") == ["ceiling", "one", "two", "prior"]
    heads = [h.text for h in party.find_elements("css selector", "#by-slice thead th")]
    assert heads[3:] == ["invisible (10)", "nonspeaker (30)", "speaker (30)", "visible (50)"]
    cells = party.find_elements("css selector", "#by-slice tbody tr:nth-child(2) td")
    assert [c.text for c in cells[2:4]] == ["0.7010 ± 0.0010", "0.6910 ± 0.0010"]
    choose(party, "#metric", "macro-F1")
    assert "macro-F1 by slice" in find(party, "#by-slice caption").text
    find(party, "#filter").send_keys("one")
    assert first_column(party, "#by-slice") == ["one"]
    assert first_column(party, "#suite") == ["one (quick)"]


def test_suites_by_metric_with_curves_and_the_ceiling(party: Any) -> None:
    assert first_column(party, "#suite")[0] == "ceiling"
    heads = [h.text for h in party.find_elements("css selector", "#suite thead th")]
    assert heads[2:4] == ["full (0.00)", "only-a (0.40)"] and len(heads) == 16
    drawn = find(party, "#suites svg[role=img]")
    assert len(drawn.find_elements("css selector", "circle")) == 8
    assert len(drawn.find_elements("css selector", "path.top")) == 1
    assert "one (quick)" in drawn.get_attribute("aria-label")
    choose(party, "#suite-model", "two (quick)")
    drawn = find(party, "#suites svg[role=img]")
    assert "two (quick)" in drawn.get_attribute("aria-label")
    assert find(party, "#aggregates thead th:nth-child(3)").text.startswith("rank")
    find(party, "#aggregates thead th:nth-child(4) button").click()
    assert first_column(party, "#aggregates")[0] == "ceiling"
    choose(party, "#metric", "weighted-F1")
    assert "weighted-F1" in find(party, "#aggregates caption").text
    choose(party, "#suite-choice", "party@1")
    assert party.switch_to.active_element.get_attribute("id") == "suite-choice"
    heads = [h.text for h in party.find_elements("css selector", "#suite thead th")][2:]
    assert [h.split()[0] for h in heads[:4]] == ["full", "drop-p", "nonspeaker", "party-silent"]
    assert not party.find_elements("css selector", "#suites svg[role=img], #aggregates")


def test_ablations_are_sorted_and_printed_columns_can_be_left_out(party: Any) -> None:
    table = ".ablation table"
    assert first_column(party, table) == ["full", "w/o-C", "w/o-S", "ceiling"]
    heads = party.find_elements("css selector", f"{table} thead th")
    place = [h.text.split()[0] for h in heads].index("difference") + 1
    button = f"{table} thead th:nth-child({place}) button"
    find(party, button).click()
    assert first_column(party, table)[:2] == ["w/o-S", "w/o-C"]
    find(party, button).click()
    assert first_column(party, table)[:2] == ["w/o-C", "w/o-S"]
    printed = find(party, f"{table} th.printed")
    assert printed.is_displayed() and printed.text.endswith("printed")
    find(party, "#show-reported").click()
    assert not printed.is_displayed()


def test_an_opened_row_has_its_slices(party: Any) -> None:
    find(party, '#measured th button[data-row="1"]').click()
    text = find(party, "tr.detail").text
    assert "nonspeaker 30 0.6910 ± 0.0010" in text and "Aggregates of core@1: accuracy" in text


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_what_is_behind_it(party: Any, dark: bool) -> None:
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    party.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    try:
        named = party.execute_script(
            "const s = getComputedStyle(document.documentElement);"
            "return Object.fromEntries(['back', 'panel', 'mark', 'twin-back', 'text', 'quiet',"
            " 'accent', 'twin', 'external'].map((n) => [n, s.getPropertyValue(`--${n}`).trim()]))"
        )
    finally:
        party.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert (luminance(named["back"]) < 0.05) == dark
    for behind in ("back", "panel", "mark", "twin-back"):
        assert contrast(named["text"], named[behind]) >= 7
    for front in ("quiet", "accent", "twin", "external"):
        for behind in ("back", "panel"):
            assert contrast(named[front], named[behind]) >= 4.5  # WCAG 2.2, AA


def luminance(colour: str) -> float:
    """Return the relative luminance of ``#rrggbb`` (WCAG 2.2)."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("made", ["opened", "party"])
def test_the_page_is_no_wider_than_a_phone(made: str, request: pytest.FixtureRequest) -> None:
    opened = request.getfixturevalue(made)
    opened.set_window_size(400, 800)
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 375, "height": 800, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        find(opened, "#measured th button[data-row]").click()
        assert find(opened, "tr.detail").is_displayed()
        width = opened.execute_script("return document.documentElement.scrollWidth")
        assert width <= 375
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        opened.set_window_size(1400, 1600)
