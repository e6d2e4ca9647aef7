"""Through the command line: what is stored of a run has the golden masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import harness
from harness.cli import cli
from harness.data.locate import find_store
from harness.plugins import load
from harness.protocols.dropout import parse
from harness.protocols.dropout.request import mask_digest
from tests.unit.protocols.test_missingness_golden import FILE, GOLDEN, VAT

PLUGIN = Path(__file__).parent / "golden_corpus.py"
FAMILIES = {
    "exclusive": ("exclusive-0.3", "exclusive-0.5", "exclusive-0.7", "exclusive-1.0"),
    "mnar": tuple(f"mnar-{d}-{p}" for d in ("high", "low") for p in ("0.1", "0.3", "0.5")),
    "tiers": tuple(f"tiers-{r / 10}" for r in range(1, 8)),
}


def golden(protocol: str) -> dict[str, list[str]]:
    """Return id -> what is kept under a protocol, seed 0, split test."""
    family, *words = protocol.split("-")
    return {
        case["sample_id"]: case["keep"]
        for case in GOLDEN[family]
        if (case["seed"], case["split"], case["rate"]) == (0, "test", float(words[-1]))
        and case.get("direction", words[0]) == words[0]
    }


@pytest.mark.parametrize("dataset", ["golden-40-40-40", "golden-31-40-37", "golden-40-31-37"])
def test_missingness_golden_through_the_command_line(
    dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLDEN_MASKS", str(FILE))
    names = [name for family in FAMILIES.values() for name in family]
    done = CliRunner().invoke(
        cli,
        ["run", "--model", "prior", "--dataset", dataset, "--plugin", str(PLUGIN),
         "--dropout", ",".join(names), "--no-reference", "--json"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    (record,) = harness.runs(dataset=dataset)
    told: dict[str, Any] = record.protocols["dropout"]
    store = find_store(load((str(PLUGIN),)).dataset(record.dataset["name"]))
    assert store.content_hash == record.dataset["content_hash"]
    request = store.split("test").mask_request()
    for name in names:
        known, masks = golden(name), parse(told_id(name)).masks(request)
        kept = [[m for m, k in zip(VAT, row, strict=True) if k] for row in masks.keep]
        assert kept == [known[i] for i in request.ids], name
        keep = np.array([[m in known[i] for m in VAT] for i in request.ids])
        facts = told[told_id(name)]["test"]
        assert facts["digest"] == mask_digest(request, keep, None, None), name
        assert ("rank_digest" in facts) == name.startswith("mnar")
    (printed,) = json.loads(done.stdout)
    assert printed["id"] == record.id


def told_id(name: str) -> str:
    return f"{name}@1"
