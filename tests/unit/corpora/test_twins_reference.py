"""The twins' draws once more, without NumPy, against golden values and the package."""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from harness_corpora.twins.plan import MOSEI_UNALIGNED
from harness_corpora.twins.sample import ModalityFrames, draw
from harness_corpora.twins.words import thresholds
from tests.unit.corpora import reference_v2 as reference
from tests.unit.corpora.golden_v2 import agrees, part

VECTOR = part("test_vector")


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_twin_golden_words_without_numpy() -> None:
    name = VECTOR.get("words_of", "twins-v2/test-vector")
    agrees(VECTOR, "words", reference.Words(name).words(len(VECTOR.get("words", []))))
    agrees(VECTOR, "normals", reference.Words(name).normals(len(VECTOR.get("normals", []))))
    agrees(VECTOR, "shuffle_10_of_20", reference.Words(name).shuffle(20, 10))
    table = reference.thresholds()
    packed = struct.pack(f"<{len(table)}I", *table)
    agrees(VECTOR, "thresholds_sha256_u32le", _sha(packed))
    assert list(table) == thresholds()


def test_twin_golden_tiny_plan_without_numpy() -> None:
    signs, root = reference.basis("twins-v2/tiny/0/basis/a", 20, 10, 0)
    flat = [sign for row in signs for sign in row]
    agrees(VECTOR, "basis_tiny_int8_sha256", _sha(struct.pack(f"{len(flat)}b", *flat)))
    offset = reference.Words("twins-v2/tiny/0/test/speaker/0/a").normals(3)
    found = b"".join(
        reference.frames(
            f"twins-v2/tiny/0/test/{i}/a",
            signs,
            root,
            length=5,
            max_length=5,
            window=3,
            mean=[115, -102, 205, 768],
            offset=offset,
            speaker=4,
            tail=2,
            floor=1,
            reserved=0,
        )
        for i in range(3)
    )
    agrees(VECTOR, "tiny_frames_f32le_sha256", _sha(found))


def test_a_sample_of_a_twin_without_numpy() -> None:
    """The unaligned twin's audio, the stream with every call: reserved, event, tail, floor."""
    plan, audio = MOSEI_UNALIGNED, MOSEI_UNALIGNED.modalities[2]
    source = ModalityFrames(plan, audio, 7, "valid", draw(plan, 7, "valid", 2))
    signs, root = reference.basis("twins-v2/mosei-unaligned/7/basis/a", 74, 14, 0)
    found = reference.frames(
        "twins-v2/mosei-unaligned/7/valid/1/a",
        signs,
        root,
        length=int(source.lengths[1]),
        max_length=500,
        window=40,
        mean=source.means[1].tolist(),
        offset=source.offset(1).astype(int).tolist(),
        speaker=4,
        tail=2,
        floor=1,
        reserved=0,
    )
    expected, _ = source.frames(1)
    assert np.isneginf(expected[:, 0]).any()
    assert found == expected.astype("<f4").tobytes()
