"""The twins of MOSEI and M3ED against the golden file: integers, bytes, posteriors."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.errors import UsageError
from harness_corpora.twins import labels
from harness_corpora.twins.frames import GAINS, codes_of
from harness_corpora.twins.plan import MOSEI_ALIGNED, PLANS, Plan, plan_of
from harness_corpora.twins.posterior import evidence, observe
from harness_corpora.twins.sample import (
    SENTIMENT,
    Drawn,
    ModalityFrames,
    draw,
    sentiment_thirds,
)
from tests.unit.corpora.golden_v2 import agrees, digest, golden, part

GOLDEN = golden()
TWINS = {name: about for name, about in part("twins").items() if name in PLANS}
DRAWS = [
    pytest.param(PLANS[name], entry, id=f"{name}-{entry['seed']}")
    for name, about in TWINS.items()
    for entry in about["seeds"]
]
draws = pytest.mark.parametrize(("plan", "entry"), DRAWS)


def _with(key: str) -> pytest.MarkDecorator:
    """Return the draws of which the golden file has this."""
    return pytest.mark.parametrize(("plan", "entry"), [x for x in DRAWS if key in x.values[1]])


def _draw(plan: Plan, entry: dict[str, Any]) -> Drawn:
    return draw(plan, entry["seed"], entry["split"], entry["count"])


def _frames(plan: Plan, entry: dict[str, Any], drawn: Drawn) -> Iterable[ModalityFrames]:
    for modality in plan.modalities:
        yield ModalityFrames(plan, modality, entry["seed"], entry["split"], drawn)


def _sha(values: NDArray[Any], dtype: str = "<i4") -> str:
    return hashlib.sha256(values.astype(dtype).tobytes()).hexdigest()


def test_twin_golden_tables() -> None:
    sets, weights = labels.mosei_sets()
    assert sets[37].tolist() == [1, 0, 1, 0, 0, 1]
    about = GOLDEN.get("mosei_label_weights", {})
    agrees(about, "weights", weights.tolist())
    agrees(about, "sum", int(weights.sum()))
    agrees(GOLDEN, "keep32", list(labels.KEEP))
    agrees(GOLDEN, "gains16", list(GAINS))
    agrees(GOLDEN, "sentiment_tenths", list(SENTIMENT))
    for name, table, values in (
        ("duration", labels.DURATION, "ms"),
        ("segments", labels.SEGMENTS, "count"),
    ):
        agrees(GOLDEN.get(name, {}), "per_mille", list(table.per_mille))
        agrees(GOLDEN.get(name, {}), values, list(table.values))


@pytest.mark.parametrize("name", [n for n in TWINS if "constants" in TWINS[n]])
def test_twin_golden_constants(name: str) -> None:
    plan, expected = PLANS[name], TWINS[name]["constants"]
    assert list(plan.swap) == expected["swap"]
    assert (plan.irony, plan.speaker, plan.tail, plan.floor, plan.rank) == tuple(
        expected[key] for key in ("rho32", "speaker16", "tail16", "floor32", "rank")
    )
    for modality, stream in zip(plan.modalities, expected["streams"], strict=True):
        assert list(modality.amplitude) == stream["amp"]
        assert {key: getattr(modality, key) for key in stream if key != "amp"} == {
            key: value for key, value in stream.items() if key != "amp"
        }


def test_quantiles_round_between_their_places() -> None:
    table = labels.Quantiles((0, 500, 1000), (0, 10, 11))
    words = np.array([0, 2**31, 2**31 - 1, 2**30, 2**32 - 1, 3 * 2**30 - 1], dtype=np.uint64)
    assert table.at(words).tolist() == [0, 10, 10, 5, 11, 10]


@draws
def test_twin_golden_samples(plan: Plan, entry: dict[str, Any]) -> None:
    drawn = _draw(plan, entry)
    agrees(entry, "labels", ["".join(map(str, y)) for y in drawn.labels.tolist()])
    agrees(entry, "state", drawn.irony.astype(int).tolist())
    agrees(entry, "video", drawn.video.tolist())
    agrees(entry, "utterances" if plan.dialogues else "ms", drawn.amount.tolist())
    agrees(entry, "donor", drawn.donor.tolist())
    first = {m.key: m.lengths(drawn.amount)[:5].tolist() for m in plan.modalities}
    agrees(entry, "frames_of_first_5", first)


@_with("sentiment_thirds")
def test_twin_golden_sentiment(plan: Plan, entry: dict[str, Any]) -> None:
    found = sentiment_thirds(plan, entry["seed"], entry["split"], _draw(plan, entry))
    assert found.tolist() == entry["sentiment_thirds"]


@_with("train_draw")
def test_twin_golden_training_draw(plan: Plan, entry: dict[str, Any]) -> None:
    expected = entry["train_draw"]
    drawn = draw(plan, entry["seed"], "train", expected["count"])
    agrees(expected, "labels_u8_sha256", _sha(drawn.labels, "u1"))
    agrees(expected, "state_i32le_sha256", _sha(drawn.irony))
    agrees(expected, "video_i32le_sha256", _sha(drawn.video))
    amount = "utterances" if plan.dialogues else "ms"
    agrees(expected, f"{amount}_i32le_sha256", _sha(drawn.amount))


@draws
def test_twin_golden_bytes(plan: Plan, entry: dict[str, Any]) -> None:
    for source in _frames(plan, entry, _draw(plan, entry)):
        key = source.key
        rows = [source.frames(i)[0] for i in range(entry["count"])]
        for name, found in (
            ("basis_int8_sha256", _sha(source.emission.basis.signs, "i1")),
            ("sha256_f32le_of_first_5", digest(rows[:5])),
            ("sha256_f32le_of_all_40", digest(rows)),
        ):
            agrees(entry.get(name, {}), key, found)


@_with("sample_0")
def test_twin_golden_first_sample(plan: Plan, entry: dict[str, Any]) -> None:
    for source in _frames(plan, entry, _draw(plan, entry)):
        expected, (first, event) = entry["sample_0"][source.key], source.frames(0)
        code = codes_of(first, source.emission.basis, source.means.shape[1]) * 256
        agrees(expected, "start", event.start)
        agrees(expected, "gain16", event.gain)
        agrees(expected, "offset", source.offset(0).tolist())
        agrees(expected, "mean", source.means[0].tolist())
        agrees(expected, "code_of_first_frame", code[0].tolist())
        agrees(expected, "code_of_frame_start", code[event.start].tolist())
        agrees(expected, "first_frame_coordinates_1_to_4", first[0, 1:5].tolist())


@_with("aligned_file_sha256_f32le_of_first_5")
def test_twin_golden_aligned_features_beside_the_unaligned(
    plan: Plan, entry: dict[str, Any]
) -> None:
    expected = entry["aligned_file_sha256_f32le_of_first_5"]
    for source in _frames(MOSEI_ALIGNED, entry, _draw(plan, entry)):
        found = digest(source.frames(i)[0] for i in range(5))
        assert found == expected[source.key]


@_with("posterior_of_first_5")
def test_twin_golden_posteriors(plan: Plan, entry: dict[str, Any]) -> None:
    drawn = _draw(plan, entry)
    sources = list(_frames(plan, entry, drawn))
    codes = [[source.code(i) for i in range(5)] for source in sources]
    for source, code in zip(sources, codes, strict=True):
        frames, _ = source.frames(1)
        assert np.array_equal(codes_of(frames, source.emission.basis, code[1].shape[1]), code[1])
    found = evidence(plan, codes)
    for observer, expected in entry["posterior_of_first_5"].items():
        np.testing.assert_allclose(observe(plan, found, observer), expected, rtol=0, atol=1e-9)


@pytest.mark.full
@pytest.mark.parametrize("kernel", ["Haswell", "Prescott"])
@pytest.mark.parametrize("threads", ["1", "2"])
def test_twin_golden_frames_depend_on_no_kernel_and_no_number_of_threads(
    kernel: str, threads: str
) -> None:
    """In a process each: libraries choose their kernels when they are loaded."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", __file__, "-k", "golden_bytes", "-p", "no:xdist"],
        env=os.environ
        | {
            "OPENBLAS_CORETYPE": kernel,
            "OPENBLAS_NUM_THREADS": threads,
            "OMP_NUM_THREADS": threads,
            "PYTEST_ADDOPTS": "",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_unknown_names_are_told_what_there_is() -> None:
    with pytest.raises(UsageError, match="m3ed, mosei-aligned, mosei-unaligned"):
        plan_of("memor-primary-twin")
    assert plan_of("m3ed-twin") is PLANS["m3ed"]
    codes = [[np.zeros((3, 8))] for _ in MOSEI_ALIGNED.modalities]
    with pytest.raises(UsageError, match="only-t, only-v, only-a, drop-t, drop-v, drop-a"):
        observe(MOSEI_ALIGNED, evidence(MOSEI_ALIGNED, codes), "only-x")
