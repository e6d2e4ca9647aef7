"""Baselines beside RAMer: published models, and the trivial predictors every board carries.

Each model is a card, ``<model>.yaml``; its code is imported when the model is built.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.hookspecs import hookimpl
from harness.plugins.cards import read_card
from harness.specs import ModelSpec

SEQUENCES = (
    "carat",
    "cc",
    "tailor",
    "mult",
    "amp",
    "hhmpn",
    "mms2s",
    "misa",
    "ml_gcn",
    "logistic",
    "lddu",
    "momke",
    "mmin",
    "imder",
)
GRIDS = (
    *("amer", "amer_no_personality", "mdl", "mdae", "bilstm_tfn", "bilstm_lmf"),
    *("dialoguegcn", "dialoguecrn", "gcnet"),
)
TRIVIAL = ("all_absent", "prior", "most_frequent", "best_constant")


@hookimpl
def harness_models() -> Iterable[ModelSpec]:
    """Return the baselines."""
    return [read_card(f"{__name__}:{name}.yaml") for name in (*SEQUENCES, *GRIDS, *TRIVIAL)]


@hookimpl
def harness_reported() -> Iterable[str]:
    """Return the figures of the papers' tables."""
    return ["harness_baselines:published.yaml"]
