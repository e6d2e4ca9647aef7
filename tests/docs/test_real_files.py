"""The cost of the paper presets in docs/real-files.md follows from the measured steps."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.cost import table
from benchmarks.measuring import RESULTS

PAGE = Path(__file__).parents[2] / "docs/real-files.md"


def test_the_table_of_costs_is_that_of_the_result_file() -> None:
    steps = json.loads((RESULTS / "steps.json").read_text("utf-8"))
    assert table(steps) in PAGE.read_text("utf-8")
    assert {"ramer", "carat", "tailor", "amer"} <= set(steps["models"])
