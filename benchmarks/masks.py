"""Samples a second that dropout protocols draw masks for, at the size of MOSEI's test split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.made import clip_lengths
from benchmarks.measuring import machine, seconds, table
from harness.protocols.dropout import MaskRequest, expand

SUITES = ("core@1", "temporal@1", "noise@1")
COLUMNS = ("protocol", "ms", "samples/s")


def request(samples: int) -> MaskRequest:
    """Return the request of a made split of MOSEI's modalities and the twin's lengths."""
    lengths = np.repeat(clip_lengths("test", samples)[:, None], 3, axis=1)
    return MaskRequest(
        split="test",
        ids=[f"test[{i}]" for i in range(samples)],
        modalities=("t", "v", "a"),
        natural=np.ones((samples, 3), dtype=np.bool_),
        lengths=lengths,
        aligned=True,
    )


def measure(protocols: Sequence[str] = SUITES, samples: int = 4659) -> dict[str, Any]:
    """Return the seconds of each protocol's masks.

    Args:
        protocols: names of protocols and suites.
        samples: N.
    """
    asked = request(samples)
    rows = {}
    for protocol in expand(protocols, asked.traits):
        taken = min(seconds(lambda p=protocol: p.masks(asked)) for _ in range(2))  # type: ignore[misc]
        rows[protocol.id] = {
            "masks_ms": round(1e3 * taken, 2),
            "samples_per_second": round(samples / max(taken, 1e-9)),
        }
    return {"machine": machine(), "samples": samples, "protocols": rows}


def show(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures as a table."""
    return table(COLUMNS, [(n, f["masks_ms"], f["samples_per_second"]) for n, f in rows.items()])
