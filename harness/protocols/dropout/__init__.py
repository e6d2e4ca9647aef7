"""Dropout protocols by name: `parse` one, `expand` suites, draw `train_mix` for an epoch.

The rules follow the harness's protocol card: anchored Bernoulli survivors (the law of GCNet's and
MMIN's mask generators in closed form), CIDer's taxonomy for frames and bursts, MEmoR's
non-speakers. Every name carries a version. `protocol` holds names and families, `families` one
module a kind (all are registered when one of them is imported), `suites` the suites.
"""

from __future__ import annotations

from dataclasses import replace

from harness.protocols.dropout.families.noise import NoisePlan
from harness.protocols.dropout.protocol import DropoutProtocol, parse
from harness.protocols.dropout.request import MaskRequest, SplitMasks, Traits
from harness.protocols.dropout.suites import expand, suite

__all__ = [
    "DropoutProtocol",
    "MaskRequest",
    "NoisePlan",
    "SplitMasks",
    "Traits",
    "expand",
    "parse",
    "suite",
    "train_mix",
]


def train_mix(request: MaskRequest, epoch: int) -> SplitMasks:
    """Draw the training masks of an epoch, counted from 0 (``train-mix@1``).

    Per sample: whole with probability 0.5, else ``random`` with a rate uniform in [0, (M - 1)/M).
    The epoch enters the hash stream, so the masks are pure functions too.
    """
    return parse("train-mix@1").masks(replace(request, stream_prefix=f"epoch:{epoch}:"))
