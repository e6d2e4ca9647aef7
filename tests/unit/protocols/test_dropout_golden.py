"""Equality to the bit with the recorded vectors of hash scheme v1."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.protocols.dropout import parse
from harness.protocols.dropout.families.persons import silent_party
from harness.protocols.dropout.hashing import HashKey, to_uniform, uniforms_at

FILE = Path(__file__).parents[2] / "golden" / "dropout-masks-v1.json"
GOLDEN: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
VAT = ("v", "a", "t")


def kept(mask: np.ndarray) -> list[str]:
    return [m for m, k in zip(VAT, mask, strict=True) if k]


def test_file_is_complete():
    assert {k: len(GOLDEN[k]) for k in ("hash", "random", "frames", "burst")} == {
        "hash": 30,
        "random": 84,
        "frames": 24,
        "burst": 6,
    }


def test_hash_by_hand():
    key = HashKey("random", 1, 0, "test")
    hashed = key.hashes(["s0"], "anchor")
    assert hashed[0] == 0x6611E20B01DFB79B
    assert to_uniform(hashed)[0] == 0.398710372626623


@pytest.mark.parametrize("case", GOLDEN["hash"], ids=lambda c: f"{c['sample_id']}-{c['stream']}")
def test_hash(case):
    key = HashKey(case["family"], case["version"], case["seed"], case["split"])
    hashed = key.hashes([case["sample_id"]], case["stream"])
    assert f"{hashed[0]:016x}" == case["hex"]
    assert to_uniform(hashed)[0] == case["u"]
    found = uniforms_at(hashed, np.arange(len(case["u_pos"])))
    assert found.tolist() == case["u_pos"]


def test_random(ask):
    for (seed, split, eta), rows in groupby(
        sorted(GOLDEN["random"], key=lambda c: (c["seed"], c["split"], c["eta"])),
        key=lambda c: (c["seed"], c["split"], c["eta"]),
    ):
        cases = list(rows)
        request = ask([c["sample_id"] for c in cases], seed=seed, split=split)
        masks = parse(f"random-{eta}@1").masks(request)
        assert [kept(row) for row in masks.keep] == [c["keep"] for c in cases]


@pytest.mark.parametrize("case", GOLDEN["random_partial"])
def test_random_with_modalities_missing_by_nature(ask, case):
    natural = np.array([[m in case["available"] for m in VAT]])
    request = ask([case["sample_id"]], seed=case["seed"], split=case["split"], natural=natural)
    assert kept(parse(f"random-{case['eta']}").masks(request).keep[0]) == case["keep"]


def test_random_per_segment(ask):
    cases = GOLDEN["random_seg"]
    units = [[str(i) for i in range(c["segments"])] for c in cases]
    request = ask([c["sample_id"] for c in cases], split=cases[0]["split"], units=units)
    found = parse("random-seg-0.5").masks(request).unit_keep
    assert found is not None
    assert [[kept(row) for row in unit] for unit in found] == [c["keep"] for c in cases]


@pytest.mark.parametrize("case", GOLDEN["frames"])
def test_frames(ask, case):
    request = ask(
        [case["sample_id"]],
        seed=case["seed"],
        split=case["split"],
        lengths=np.full((1, 3), case["length"]),
    )
    frames = parse(f"frames-{case['eta']}").masks(request).frames
    assert frames is not None
    assert frames[case["modality"]][0].astype(int).tolist() == case["keep"]


def test_burst(ask):
    cases = GOLDEN["burst"]
    request = ask([c["sample_id"] for c in cases], lengths=np.full((len(cases), 3), 20))
    frames = parse("burst-sync-0.3").masks(request).frames
    assert frames is not None
    for key in VAT:
        assert [f.astype(int).tolist() for f in frames[key]] == [c["keep"] for c in cases]


def test_nonspeaker(ask):
    cases = GOLDEN["nonspeaker"]
    masks = parse("nonspeaker-0.5").masks(ask([c["sample_id"] for c in cases]))
    expected = [["v"] if c["silent"] else ["v", "a", "t"] for c in cases]
    assert [kept(row) for row in masks.keep] == expected


def test_silent_party(ask):
    cases = GOLDEN["party"]
    request = ask([c["sample_id"] for c in cases], parties=[c["parties"][::-1] for c in cases])
    found = silent_party(request, HashKey("party-silent", 1, 0, "test"))
    assert found == [c["silent_party"] for c in cases]


@pytest.mark.parametrize("case", GOLDEN["aggregate"])
def test_aggregate_over_20000_samples(ask, case):
    masks = parse(f"random-{case['eta']}").masks(ask(20000, seed=case["seed"]))
    counts = np.bincount(masks.keep.sum(axis=1), minlength=4)
    assert counts.tolist() == case["survivor_counts_0_1_2_3"]
    assert masks.eta_hat == pytest.approx(case["missing_rate"], abs=1e-12)
