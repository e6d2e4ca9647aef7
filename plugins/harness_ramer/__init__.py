"""RAMer, twice: the paper's equations (`ramer`) and the authors' code (`ramer-public`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from harness.hookspecs import hookimpl
from harness.plugins.cards import read_card
from harness.specs import AblationSpec, ModelSpec
from harness_ramer.config import ABLATIONS, IMPOSSIBLE_IN_PUBLIC, ORDERS

SWITCHES = tuple(
    AblationSpec(
        name,
        removes,
        needs_personality=name == "w/o-personality",
        keys=ORDERS.get(name, ()),
    )
    for name, removes in ABLATIONS.items()
)

RAMER = replace(read_card("harness_ramer:ramer.yaml"), ablations=SWITCHES)
RAMER_PUBLIC = replace(
    read_card("harness_ramer:ramer-public.yaml"),
    ablations=tuple(s for s in SWITCHES if s.name not in IMPOSSIBLE_IN_PUBLIC),
)


@hookimpl
def harness_models() -> Iterable[ModelSpec]:
    """Return both variants."""
    return RAMER, RAMER_PUBLIC
