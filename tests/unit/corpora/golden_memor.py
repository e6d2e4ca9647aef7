"""The golden file of MEmoR's twin: digests of its draws.

``python -m tests.unit.corpora.golden_memor`` writes it anew, ``--check`` compares.

Keys per seed: ``traits``, ``personality``; of the first `CLIPS` clips ``persons``, ``labels``,
``faces``, ``times``, ``annotations``, and ``features`` per modality and ``scenes`` (SHA-256 of the
float32 bytes, little-endian, one clip after the other).
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from harness_corpora.twins import memor
from harness_corpora.twins.memor_design import MEMOR, feelings, odds, traits
from harness_corpora.twins.memor_posterior import Evidence, posterior
from harness_corpora.twins.memor_world import draw

FILE = "memor-twin.json"
HERE = Path(__file__).parents[2] / "golden"
SEEDS = (0, 1)
CLIPS = 6


def golden() -> dict[str, Any]:
    """Return ``$HARNESS_GOLDEN/memor-twin.json``, or the copy beside the tests."""
    path = Path(os.environ.get("HARNESS_GOLDEN") or HERE) / FILE
    found: dict[str, Any] = json.loads((path if path.is_file() else HERE / FILE).read_text("utf-8"))
    return found


def digest(arrays: Iterable[Any], kind: str) -> str:
    """Return the SHA-256 of arrays, cast to ``kind``, one after the other."""
    content = b"".join(np.asarray(a).astype(kind).tobytes() for a in arrays)
    return hashlib.sha256(content).hexdigest()


def computed(seed: int) -> dict[str, Any]:
    """Return what the file says of a seed, as this machine draws it."""
    world = draw(MEMOR, seed, CLIPS)
    clips, people = world.clips, [[c.cast, c.speakers, c.ori] for c in world.clips]
    times = [t for c in clips for t in (c.start, *c.begin, *c.end)] + [
        n.moment for n in world.notes
    ]
    notes = [[n.character, n.emotion, int(n.test)] for n in world.notes]
    moods = odds(MEMOR, seed)
    weights = [a for m in moods for a in (m.mood, m.first, m.prior, m.stay, m.contagion)]
    return {
        "traits": traits(seed).tolist(),
        "weights": digest(weights, "<i8"),
        "personality": digest([memor.personality(seed)], "<f8"),
        "persons": digest((np.array(x) for p in people for x in p), "<i4"),
        "labels": digest((c.emotion for c in clips), "<i4"),
        "first_labels": clips[3].emotion[clips[3].cast].tolist(),
        "faces": digest((c.faces for c in clips), "<i4"),
        "times": digest(times, "<f8"),
        "annotations": digest(notes, "<i4"),
        "features": {
            s.name: digest((memor.features_of(MEMOR, s, seed, c) for c in clips), "<f4")
            for s in MEMOR.streams
        },
        "scenes": {
            k: digest((memor.scene_of(MEMOR, k, n, seed, c) for c in clips), "<f4")
            for k, n in MEMOR.scene
        },
        "posterior": _posterior(seed),
    }


def _posterior(seed: int) -> list[float]:
    """Return p(emotion) of a small grid whose evidence is integers."""
    log_p = np.arange(2 * 4 * 14).reshape(2, 4, 14) * 7 % 5 / 2.0
    evidence = Evidence(log_p, [0, 1, -1, 0], [2, 5], (1, 3))
    return posterior(feelings(MEMOR, seed), evidence).tolist()


def check(seed: str) -> None:
    """Compare a seed's content with the file's.

    Raises:
        AssertionError: it differs.
    """
    expected, found = dict(golden()["seeds"][seed]), computed(int(seed))
    np.testing.assert_allclose(
        found.pop("posterior"), expected.pop("posterior"), rtol=0, atol=1e-12
    )
    assert found == expected


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        for one in golden()["seeds"]:
            check(one)
    else:
        content = {"clips": CLIPS, "seeds": {str(s): computed(s) for s in SEEDS}}
        (HERE / FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
