"""Corpora with a twin: generated files in the authors' format, whose best score is known."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.corpus import Answers, Corpus
from harness.protocols.dropout import SplitMasks

OBSERVERS = MappingProxyType(
    {"late-fusion": "late", "independent-labels": "independent", "pooled-mean": "mean"}
)
"""Names on boards of observers of `harness_corpora.twins.posterior`."""


class TwinnedCorpus(Corpus):
    """What the generator of `harness_corpora.twins` gives, the same for every reader."""

    def twin_version(self) -> int:
        """Return the generator's version."""
        from harness_corpora.twins import TWIN_VERSION

        return TWIN_VERSION

    def ceiling_scores(self, split: Any, keep: Any, seed: int) -> NDArray[np.float64]:
        """Return the exact posterior of the twin, float64 [N, L]."""
        from harness_corpora.twins.ceiling import scores

        return scores(self.spec.base_name, split, keep, seed)

    def observers(self) -> tuple[str, ...]:
        """Return the names of `OBSERVERS`."""
        return tuple(OBSERVERS)

    def observed(self, split: Any, observer: str, seed: int) -> NDArray[np.float64]:
        """Return what an observer of `OBSERVERS` believes of complete data, float64 [N, L]."""
        from harness_corpora.twins.ceiling import scores

        return scores(self.spec.base_name, split, None, seed, OBSERVERS[observer])

    def answers(
        self, split: Any, masks: SplitMasks, seed: int, observer: str | None = None
    ) -> Answers:
        """Return scores with the best decisions, by the shipped thresholds."""
        from harness_corpora.twins.ceiling import answers

        name = "full" if observer is None else OBSERVERS[observer]
        return answers(self.spec.base_name, split, masks, seed, name)

    def planted_dependence(self) -> NDArray[np.float64] | None:
        """Return the twin's planted dependence, float64 [L, M]; None of real data."""
        from harness_corpora.twins.planted import dependence

        return dependence(self.spec)
