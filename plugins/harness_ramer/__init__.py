"""RAMer, twice: the paper's equations (`ramer`) and the authors' code (`ramer-public`)."""

from __future__ import annotations

from collections.abc import Iterable

from harness.hookspecs import hookimpl
from harness.plugins.cards import read_card
from harness.specs import ModelSpec


@hookimpl
def harness_models() -> Iterable[ModelSpec]:
    """Return both variants."""
    return [read_card(f"{__name__}:{name}.yaml") for name in ("ramer", "ramer-public")]
