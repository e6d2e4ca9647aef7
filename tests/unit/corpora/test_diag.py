"""diag@1 and the draws of recipe v2 against the golden file: bytes, integers, posteriors."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.locate import find_store
from harness.plugins import load
from harness.protocols.dropout import parse
from harness_corpora.diag import corpus, draw, observers
from harness_corpora.twins.frames import Emission, draw_frames, make_basis
from harness_corpora.twins.words import Stream, choose, normals, threshold, thresholds
from tests.unit.corpora.golden_v2 import agrees, digest, part

VECTOR = part("test_vector")
SETS = [
    pytest.param(name, entry, id=f"{name}-{entry['seed']}")
    for name, about in part("diag@1").items()
    for entry in about["seeds"]
]


def test_twin_golden_words_normals_and_shuffle() -> None:
    name = VECTOR.get("words_of", "twins-v2/test-vector")
    agrees(VECTOR, "words", Stream(name).words(len(VECTOR.get("words", []))).tolist())
    agrees(VECTOR, "normals", Stream(name).normals(len(VECTOR.get("normals", []))).tolist())
    agrees(VECTOR, "shuffle_10_of_20", Stream(name).shuffle(20, 10))


def test_a_call_throws_its_surplus_half_away() -> None:
    whole, divided = Stream("x"), Stream("x")
    first = whole.words(4).tolist()
    assert divided.words(1).tolist() == first[:1] and divided.words(1).tolist() == first[2:3]


def test_twin_golden_table_of_normals() -> None:
    table = thresholds()
    agrees(VECTOR, "thresholds_count", len(table))
    agrees(VECTOR, "thresholds_first", table[:3])
    agrees(VECTOR, "thresholds_index_255", table[255])
    agrees(VECTOR, "thresholds_last", table[-1])
    sha = hashlib.sha256(np.array(table, dtype="<u4").tobytes()).hexdigest()
    agrees(VECTOR, "thresholds_sha256_u32le", sha)


def test_the_quick_look_up_of_normals_is_the_slow_one() -> None:
    table = np.array(thresholds(), dtype=np.uint64)
    near = np.concatenate([table - np.uint64(1), table, table + np.uint64(1)])
    words = np.concatenate([near[near < 2**31] << np.uint64(1), Stream("y").words(4000)])
    expected = np.searchsorted(table, words >> np.uint64(1), side="right")
    assert np.array_equal(np.abs(normals(words)), expected)


def test_a_word_chooses_among_weights_by_their_share() -> None:
    sums = [1, 4, 4, 10]
    chosen = [choose(word, sums) for word in Stream("z").words(20000).tolist()]
    share = np.bincount(chosen, minlength=4) / 20000
    assert np.abs(share - [0.1, 0.3, 0.0, 0.6]).max() < 0.015
    assert threshold(1.0) == 2**32 and threshold(0.5) == 2**31


def test_twin_golden_basis_and_frames_of_the_tiny_plan() -> None:
    basis = make_basis("twins-v2/tiny/0/basis/a", 20, 10, reserved=0)
    sha = hashlib.sha256(basis.signs.tobytes()).hexdigest()
    agrees(VECTOR, "basis_tiny_int8_sha256", sha)
    assert np.array_equal(basis.rows @ basis.rows.T, np.eye(10))
    emission = Emission(basis, max_length=5, window=3, speaker=4, tail=2, floor=1)
    offset = Stream("twins-v2/tiny/0/test/speaker/0/a").normals(3).astype(np.float64)
    mean = np.array([115, -102, 205, 768])
    frames = [
        draw_frames(emission, Stream(f"twins-v2/tiny/0/test/{i}/a"), 5, mean, offset)[0]
        for i in range(3)
    ]
    agrees(VECTOR, "tiny_frames_f32le_sha256", digest(frames))


@pytest.mark.parametrize(("name", "entry"), SETS)
def test_diag_golden_bytes(name: str, entry: dict[str, Any]) -> None:
    signs = draw.bases(name, entry["seed"])
    for key, rows in signs.items():
        sha = hashlib.sha256(rows.tobytes()).hexdigest()
        agrees(entry.get("basis_int8_sha256", {}), key, sha)
    drawn = [
        draw.draw_sample(name, entry["seed"], entry["split"], i) for i in range(entry["count"])
    ]
    agrees(entry, "labels", ["".join(str(int(y)) for y in s.labels) for s in drawn])
    if entry.get("present") != "all":
        agrees(entry, "present", ["".join(str(int(p)) for p in s.present) for s in drawn])
    for m, key in enumerate(draw.KEYS):
        frames = [draw.frames_of(s.code[m], signs[key]) for s in drawn]
        agrees(entry.get("sha256_f32le_of_first_5", {}), key, digest(frames[:5]))
        agrees(entry.get("sha256_f32le_of_all_40", {}), key, digest(frames))


@pytest.mark.parametrize(("name", "entry"), SETS)
def test_diag_golden_posteriors_from_the_frames_as_stored(name: str, entry: dict[str, Any]) -> None:
    signs = draw.bases(name, entry["seed"])
    drawn = [draw.draw_sample(name, entry["seed"], entry["split"], i) for i in range(5)]
    code = np.stack(
        [
            observers.codes(
                np.stack([draw.frames_of(s.code[m], signs[key]) for s in drawn]).astype(float),
                signs[key],
            )
            for m, key in enumerate(draw.KEYS)
        ],
        axis=1,
    )
    present = np.stack([s.present for s in drawn])
    for observer, expected in entry.get("posterior_of_first_5", {}).items():
        found = observers.OBSERVERS[name][observer](code, present)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_a_diagnostic_is_a_data_set_with_its_exact_ceiling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "COUNTS", {"train": 60, "valid": 20, "test": 400})
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    for name, floor in (("missing", 0.65), ("recon", 0.85)):
        spec = load().dataset(f"diag-{name}")
        store = find_store(spec, twin_seed=1)
        assert store.is_twin and store.spec.id == f"diag-{name}@1"
        test, reader = store.split("test"), corpus.Diag(spec)
        whole = parse("full@1").masks(test.mask_request())
        dropped = parse("drop-t@1").masks(test.mask_request())
        assert reader.has_ceiling(whole) and reader.has_ceiling(dropped) == (name == "recon")
        assert not reader.has_ceiling(parse("random-0.5@1").masks(test.mask_request()))
        scores = reader.ceiling_scores(test, whole, 1)
        decided, truth = scores > 0.4, test.labels > 0
        f1 = 2 * (decided & truth).sum() / (decided.sum() + truth.sum())
        assert f1 > floor
        if name == "recon":
            less = reader.ceiling_scores(test, dropped, 1)
            assert np.abs(less - scores).max() > 0.1
        else:
            assert not test.natural.all() and test.natural.any(axis=1).all()
