from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from harness.protocols.dropout import MaskRequest

VAT = ("v", "a", "t")


def build_request(ids: int | Sequence[str], **changes: Any) -> MaskRequest:
    names = [f"id{i}" for i in range(ids)] if isinstance(ids, int) else list(ids)
    keys = changes.setdefault("modalities", VAT)
    shape = (len(names), len(keys))
    defaults: dict[str, Any] = {
        "split": "test",
        "natural": np.ones(shape, dtype=np.bool_),
        "lengths": np.full(shape, 12, dtype=np.int64),
        "aligned": True,
    }
    return MaskRequest(ids=names, **{**defaults, **changes})


@pytest.fixture(scope="session")
def ask() -> Callable[..., MaskRequest]:
    """Make a request for N samples (or given ids): v, a, t all there, 12 positions each."""
    return build_request
