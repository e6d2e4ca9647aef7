"""Opening made boards in a browser, and what tests read and press there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.boards.board import Board
from harness.boards.render.page import data_files, page


def opening(browser: Any, folder: Path, boards: list[Board], address: str = "") -> Iterator[Any]:
    """Open the page of boards; afterwards the console must be empty.

    Args:
        browser: a driver of Selenium.
        folder: where the page is written.
        boards: what it shows.
        address: what stands behind its ``#``.
    """
    for name, text in {"index.html": page(boards), **data_files(boards)}.items():
        (folder / name).write_text(text, "utf-8")
    browser.get(f"{(folder / 'index.html').as_uri()}{address and '#' + address}")
    loaded(browser)
    yield browser
    assert browser.get_log("browser") == []


def loaded(browser: Any) -> None:
    """Wait until the chosen board's own file was read."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 20).until(lambda b: b.find_elements("css selector", "#measured"))


def find(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def names(browser: Any) -> list[str]:
    """Return the models of the measured table from top to bottom."""
    found = browser.find_elements("css selector", "#measured tbody th button[data-row]")
    return [button.text for button in found]


def choose(browser: Any, where: str, text: str) -> None:
    from selenium.webdriver.support.select import Select

    Select(find(browser, where)).select_by_visible_text(text)
    loaded(browser)


def first_column(browser: Any, table: str) -> list[str]:
    return [c.text for c in browser.find_elements("css selector", f"{table} tbody th")]
