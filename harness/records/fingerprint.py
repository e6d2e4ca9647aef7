"""The identity of a run: a hash over what determines its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

RESULT_VERSION = 3
"""Raised when engine, `harness.nn`, protocols or data change what a run of the same request and
model code computes (``tests/unit/test_golden_numbers.py`` says when). 2: masks of dropout come
from packed random bits (`harness.nn.dropout`). 3: epochs are selected at the tuned threshold."""

_SHORT = 12


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys, no white space and no NaN: equal values, equal text.

    Raises:
        ValueError: a float is NaN or infinite.
        TypeError: a value is not JSON.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Return the sha256 hex digest of the canonical JSON of ``identity``."""
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()


def run_id(model: str, dataset: str, seed: int, digest: str) -> str:
    """Return ``<model>-<dataset>-s<seed>-<first 12 hex digits>``: the name of a run's folder."""
    return f"{model}-{dataset}-s{seed}-{digest[:_SHORT]}"
