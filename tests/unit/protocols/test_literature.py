"""Settings of the literature are found by their names, and the protocols they name exist."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from harness.cli import cli
from harness.protocols.dropout.literature import SETTINGS
from harness.protocols.dropout.protocol import FAMILIES, parse
from harness.protocols.suites import ids

PAGE = Path(__file__).parents[3] / "docs" / "missingness.md"


def test_every_example_exists() -> None:
    for setting in SETTINGS:
        assert setting.example, setting.theirs
        for name in setting.example:
            assert name in ids() or parse(name).id == name


def test_the_page_has_the_same_table_and_every_family() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for s in SETTINGS:
        examples = " ".join(f"`{e}`" for e in s.example)
        row = f"| {s.work} | {s.theirs} | {s.ours} | {examples} | {s.difference or '–'} |"
        assert row in text, s
    for name, family in FAMILIES.items():
        if family.use == "training":
            assert f"`{name}@1`" in text
        assert family.doc, f"{name} says nothing of itself"


def test_list_protocols_shows_the_literature_beside_them() -> None:
    done = CliRunner().invoke(cli, ["list", "protocols"])
    assert done.exit_code == 0
    assert "tiers-MR" in done.output and "TATE, EMMR" in done.output
    found = json.loads(CliRunner().invoke(cli, ["list", "protocols", "--json"]).output)
    assert list(found) == ["protocols", "literature"]
    by_name = {row["theirs"]: row for row in found["literature"]}
    assert by_name["SMM"]["work"] == "CIDer"
    assert by_name["RMM, r"]["example"] == ["mcar-0.3@1"]
    only = json.loads(CliRunner().invoke(cli, ["list", "literature", "--json"]).output)
    assert list(only) == ["literature"] and len(only["literature"]) == len(SETTINGS)
