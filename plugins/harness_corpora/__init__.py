"""Corpora: MOSEI, M3ED, MEmoR, MELD, MOSI, music emotions, and twins of those not shipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.specs import BoardView, DatasetSpec, Skill


@hookimpl
def harness_datasets() -> Iterable[DatasetSpec]:
    """Return the data sets of this package."""
    from harness_corpora.specs import DATASETS

    return DATASETS


@hookimpl
def harness_skills() -> Iterable[Skill]:
    """Return what the diagnostic data sets measure."""
    from harness_corpora.specs import SKILLS

    return SKILLS


@hookimpl
def harness_board_views() -> Iterable[BoardView]:
    """Return the view that only MEmoR's clip diagnostic needs."""
    from harness.specs import BoardView

    return [BoardView("exchanged", "harness_corpora.exchanged:view")]
