"""The observers of a twin: their names on boards, and where they cut."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

TABLE = resources.files("harness_corpora").joinpath("data", "observers.json")


@dataclass(frozen=True)
class Cut:
    """Thresholds of an observer's scores; a label is decided where its score reaches them.

    Attributes:
        threshold: of all labels, for micro-F1.
        labels: one a label, for macro-F1.
    """

    threshold: float
    labels: tuple[float, ...]


@cache
def cuts(twin: str) -> Mapping[str, Cut]:
    """Return where each observer of a twin cuts, from the shipped table.

    Args:
        twin: name of its plan.
    """
    known = json.loads(TABLE.read_text("utf-8"))[twin]["observers"]
    return MappingProxyType(
        {name: Cut(entry["threshold"], tuple(entry["labels"])) for name, entry in known.items()}
    )
