"""Figures as an evaluation prints them: the harness's own, or a model's authors'. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.engine.evaluate import Metrics
from harness.specs import CompatSpec


def spec_of(compat: Mapping[str, Any]) -> CompatSpec:
    """Return the evaluation that a record holds."""
    exchange = tuple(tuple(names) for names in compat.get("exchange", ()))
    return CompatSpec(**{**compat, "exchange": exchange})


def printed(
    compat: CompatSpec | Mapping[str, Any] | None,
    metrics: dict[str, Any],
    others: Iterable[Metrics] = (),
) -> dict[str, Any]:
    """Return metrics rounded, and precision and recall exchanged, as the authors do.

    Figures per label and per slice stay as they are: no author prints them.

    Args:
        compat: the evaluation of a model's card or of a record; None: the harness's own, which
            prints what is.
        metrics: figures of the selected epoch, ``{protocol: {split: {threshold: figures}}}``.
        others: figures of parts that were selected for one metric alone: such a figure takes the
            place of that of the selected epoch.
    """
    if compat is None:
        return metrics
    rules = compat if isinstance(compat, CompatSpec) else spec_of(compat)
    shown: dict[str, Any] = {
        protocol: {
            split: {k: None if v is None else dict(v) for k, v in places.items()}
            for split, places in by_split.items()
        }
        for protocol, by_split in metrics.items()
    }
    for other in others:
        part, metric = other.part, other.part.selected_for
        for place, figures in other.places.items():
            if figures is not None:
                shown[part.protocol][part.split][place][metric] = figures[metric]
    for figures in (f for s in shown.values() for p in s.values() for f in p.values()):
        if figures is not None:
            figures["jaccard"] = round(figures["jaccard"], rules.acc_round)
            if rules.swap_pr:
                figures |= {"micro_p": figures["micro_r"], "micro_r": figures["micro_p"]}
    return shown
