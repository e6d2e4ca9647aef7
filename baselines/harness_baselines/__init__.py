"""Baselines beside RAMer: published models, and the trivial predictors every board carries.

Only listings are imported here; a model's own module is imported when the model is built.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.hookspecs import hookimpl
from harness.specs import ModelSpec
from harness_baselines.listing_grids import GRIDS
from harness_baselines.listing_sequences import SEQUENCES

_TRIVIAL = "harness_baselines:trivial.yaml"

SPECS: tuple[ModelSpec, ...] = (
    *SEQUENCES,
    *GRIDS,
    ModelSpec(
        name="all-absent",
        factory="harness_baselines.trivial:AllAbsent",
        summary="Answers that no label is present",
        defaults=_TRIVIAL,
        role="trivial",
        layouts=("sequence", "grid"),
        label_kinds=("multilabel",),
    ),
    ModelSpec(
        name="prior",
        factory="harness_baselines.trivial:Prior",
        summary="Scores every label by its frequency in the training split",
        defaults=_TRIVIAL,
        role="trivial",
        layouts=("sequence", "grid"),
    ),
    ModelSpec(
        name="most-frequent",
        factory="harness_baselines.trivial:MostFrequent",
        summary="Always answers the most frequent label of the training split",
        defaults=_TRIVIAL,
        role="trivial",
        layouts=("sequence", "grid"),
    ),
    ModelSpec(
        name="best-constant",
        factory="harness_baselines.trivial:BestConstant",
        summary="Always answers the label set that scores best on the training split",
        defaults=_TRIVIAL,
        role="trivial",
        layouts=("sequence", "grid"),
    ),
)


@hookimpl
def harness_models() -> Iterable[ModelSpec]:
    """Return the baselines."""
    return SPECS


@hookimpl
def harness_reported() -> Iterable[str]:
    """Return the figures of the papers' tables."""
    return ["harness_baselines:published.yaml"]
