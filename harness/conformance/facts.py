"""Facts that plugins state about themselves: JSON, for the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.conformance.errors import CheckFailedError
from harness.model import ModelPlugin
from harness.plugins.hooks import no_json


def check_facts(model: ModelPlugin, facts: Any) -> dict[str, Any]:
    """Return what ``describe`` gave, known to be JSON.

    Raises:
        CheckFailedError: it is no mapping of text to JSON values, or holds NaN.
    """
    method = f"{type(model).__name__}.describe"
    if not isinstance(facts, Mapping):
        raise CheckFailedError(
            "describe", f"{method} returned {type(facts).__name__}, expected a dict of JSON values."
        )
    odd = no_json(facts)
    if odd:
        raise CheckFailedError("describe", f"{method} returned {odd}; give JSON values.")
    return dict(facts)
