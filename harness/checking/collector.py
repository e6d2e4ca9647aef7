"""``pytest --harness-model NAME``: the checks of a model, each a test of its own.

``pytest -p harness.checking.collector --harness-model NAME``; ``-p`` is not needed where the entry
point of an installed harness is found.
"""

from __future__ import annotations

from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--harness-model`` and ``--harness-plugin``."""
    group = parser.getgroup("harness")
    group.addoption(
        "--harness-model", action="append", default=[], metavar="NAME",
        help="Make the checks of `harness check NAME` as tests; repeatable.",
    )  # fmt: skip
    group.addoption(
        "--harness-plugin", action="append", default=[], metavar="FILE",
        help="A plugin file, or the folder of a plugin's project, to load for them; repeatable.",
    )  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the checks of the models that are asked for."""
    for model in config.getoption("--harness-model"):
        from harness.checking.checks import CHECKS
        from harness.errors import HarnessError
        from harness.plugins import load

        try:
            registry = load(config.getoption("--harness-plugin"))
            registry.model(model)
        except HarnessError as error:
            raise pytest.UsageError(str(error)) from error
        for name in CHECKS:
            items.append(
                CheckItem.from_parent(session, name=f"{model}::{name}", asked=(registry, model))
            )


class CheckItem(pytest.Item):
    """One check of one model."""

    def __init__(self, *, asked: tuple[Any, str], **more: Any) -> None:
        super().__init__(**more)
        self.registry, self.model = asked

    def runtest(self) -> None:
        """Make the check; skip, fail or fail as expected by its outcome."""
        from harness.checking.suite import check

        (outcome,) = check(self.registry, self.model, (self.name.partition("::")[2],)).outcomes
        if outcome.status == "skipped":
            pytest.skip(outcome.message)
        if outcome.status == "expected":
            pytest.xfail(outcome.message)
        if outcome.status in ("failed", "unexpected"):
            pytest.fail(outcome.message, pytrace=False)

    def reportinfo(self) -> tuple[str, int | None, str]:
        """Return where the test stands, in words."""
        return "harness check", None, self.name
