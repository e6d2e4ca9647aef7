"""A training loss as a weighted sum of named terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


class Objective:
    """The sum of ``weights[name] * term``; a term of weight zero is not computed.

    Attributes:
        terms: the unweighted terms so far, detached, for the log.
        weighted: the weighted terms, with their graph.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.terms: dict[str, Tensor] = {}
        self._weights = weights
        self.weighted: dict[str, Tensor] = {}

    def add(self, name: str, loss: Callable[..., Tensor], *args: Any) -> None:
        """Add a term.

        Args:
            name: its key among the weights.
            loss: returns the term, a scalar.
            *args: what ``loss`` takes.
        """
        if self._weights[name]:
            term = loss(*args)
            self.terms[name] = term.detach()
            self.weighted[name] = self._weights[name] * term

    @property
    def total(self) -> Tensor:
        """Return the loss to minimise, a scalar."""
        return torch.stack([*self.weighted.values()]).sum()
