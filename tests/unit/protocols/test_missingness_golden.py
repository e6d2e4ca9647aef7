"""Equality to the bit with the recorded vectors of the literature's missingness."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.ranks import energies, quantised, ranked, scaled
from harness.protocols.dropout import MaskRequest, parse, training_masks
from harness.protocols.dropout.hashing import HashKey, to_uniform

HERE = Path(__file__).parents[2] / "golden"
FILE = Path(os.environ.get("HARNESS_GOLDEN") or HERE) / "missingness-masks-v1.json"
GOLDEN: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
VAT = ("v", "a", "t")
Ask = Callable[..., MaskRequest]
Cases = list[dict[str, Any]]


def kept(mask: np.ndarray) -> list[str]:
    return [m for m, k in zip(VAT, mask, strict=True) if k]


def alike(name: str, *fields: str) -> Iterable[Cases]:
    """Yield the cases of a key that share some fields, together."""

    def of(case: dict[str, Any]) -> list[str]:
        return [str(case[f]) for f in fields]

    found = GOLDEN.get(name, [])
    if not found:
        pytest.skip(f"the golden file has no {name!r}")
    return [list(g) for _, g in groupby(sorted(found, key=of), key=of)]


def kept_under(ask: Ask, protocol: str, cases: Cases, **facts: Any) -> list[list[str]]:
    ids = [c["sample_id"] for c in cases]
    request = ask(ids, seed=cases[0]["seed"], split=cases[0]["split"], **facts)
    return [kept(row) for row in parse(protocol).masks(request).keep]


def test_missingness_golden_hash() -> None:
    for case in GOLDEN["hash"]:
        key = HashKey(case["family"], case["version"], case["seed"], case["split"])
        hashed = key.hashes([case["sample_id"]], case["stream"])
        assert f"{hashed[0]:016x}" == case["hex"]
        assert to_uniform(hashed)[0] == case["u"]


@pytest.mark.parametrize("family", ["exclusive", "patterns", "mcar", "tiers"])
def test_missingness_golden_family(ask: Ask, family: str) -> None:
    for cases in alike(family, "seed", "split", "rate"):
        found = kept_under(ask, f"{family}-{cases[0]['rate']}@1", cases)
        assert found == [c["keep"] for c in cases]


def test_missingness_golden_lose(ask: Ask) -> None:
    for cases in alike("lose", "seed", "split", "modality", "rate"):
        name = f"lose-{cases[0]['modality']}-{cases[0]['rate']}"
        assert kept_under(ask, name, cases) == [c["keep"] for c in cases]


def test_missingness_golden_modalities_missing_by_nature(ask: Ask) -> None:
    for cases in alike("partial", "family", "seed", "split", "rate"):
        natural = np.array([[m in c["available"] for m in VAT] for c in cases])
        name = f"{cases[0]['family']}-{cases[0]['rate']}"
        found = kept_under(ask, name, cases, natural=natural)
        assert found == [c["keep"] for c in cases]


def test_missingness_golden_not_at_random(ask: Ask) -> None:
    """The file has the ranks that the rule uses, turned round for low and short already."""
    for cases in alike("mnar", "seed", "split", "direction", "rate", "ranks"):
        (case,) = cases
        r, n = (np.array([case["ranks"][m][i] for m in VAT]) for i in (0, 1))
        direction = case["direction"]
        r = 2 * n - r if direction in ("low", "short") else r
        statistic = "energy" if direction in ("high", "low") else "length"
        found = kept_under(
            ask,
            f"mnar-{direction}-{case['rate']}",
            cases,
            ranks={statistic: (r[None], n)},
            lengths=np.arange(3)[None],
        )
        assert found == [case["keep"]]


def test_missingness_golden_statistics() -> None:
    told = GOLDEN["statistics"]
    train = [quantised(np.array(x, dtype=np.float32)) for x in told["train_features"]]
    whole = np.concatenate(train)
    scale = np.maximum(1, (whole**2).sum(axis=0) // len(whole))
    assert scale.tolist() == told["scale"]
    known = energies(scaled(whole, scale), np.array([len(x) for x in train]))
    assert known.tolist() == told["train_energy"]
    lengths = np.array([len(x) for x in train])
    assert lengths.tolist() == told["train_length"]
    for case in told["samples"]:
        rows = quantised(np.array(case["features"], dtype=np.float32))
        length = np.array([len(rows)])
        energy = energies(scaled(rows, scale), length)
        assert (energy[0], length[0]) == (case["energy"], case["length"])
        r, s, n = ranked(energy, known)[0], ranked(length, lengths)[0], len(train)
        found = [r, 2 * n - r, s, 2 * n - s, n]
        assert found == [case[f"rank_{d}"] for d in ("high", "low", "long", "short")] + [case["n"]]


def test_missingness_golden_train_patterns(ask: Ask) -> None:
    for cases in alike("train_patterns", "seed", "split", "epoch"):
        request = ask(
            [c["sample_id"] for c in cases], seed=cases[0]["seed"], split=cases[0]["split"]
        )
        for name in ("train-patterns", "train-paired"):
            masks = training_masks(parse(name), request, cases[0]["epoch"])
            assert [kept(row) for row in masks.keep] == [c["keep"] for c in cases]


@pytest.mark.parametrize("name", ["train-frames", "train-frame-rates"])
def test_missingness_golden_train_positions(ask: Ask, name: str) -> None:
    for cases in alike(name.replace("-", "_"), "seed", "split", "epoch", "modality", "length"):
        (modality,), (length,) = {c["modality"] for c in cases}, {c["length"] for c in cases}
        request = ask(
            [c["sample_id"] for c in cases],
            seed=cases[0]["seed"],
            split=cases[0]["split"],
            lengths=np.full((len(cases), 3), length),
        )
        frames = training_masks(parse(name), request, cases[0]["epoch"]).frames
        assert frames is not None
        found = [f.astype(int).tolist() for f in frames[modality]]
        assert found == [c["keep"] for c in cases]


def test_missingness_golden_aggregate_over_20000_samples(ask: Ask) -> None:
    place = np.arange(20000)
    ranks = np.repeat((2 * place + 1)[:, None], 3, axis=1), np.full(3, 20000)
    request = ask(20000, ranks={"energy": ranks})
    for case in GOLDEN["aggregate"]:
        masks = parse(f"{case['family']}-{case['rate']}").masks(replace(request, seed=case["seed"]))
        counts = np.bincount(masks.keep.sum(axis=1), minlength=4)
        assert counts.tolist() == case["survivor_counts_0_1_2_3"], case
        assert masks.eta_hat == pytest.approx(case["missing_rate"], abs=1e-12)
