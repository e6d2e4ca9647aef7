"""Dropout protocols by name: `parse` one, `expand` suites, draw `training_masks` of an epoch.

The rules follow the harness's protocol card: anchored Bernoulli survivors (the law of GCNet's and
MMIN's mask generators in closed form), CIDer's taxonomy for frames and bursts, MEmoR's
non-speakers. Every name carries a version. `protocol` holds names and families, `families` one
module a kind (all are registered when one of them is imported), `suites` the suites.
"""

from __future__ import annotations

from dataclasses import replace

from harness.errors import UsageError
from harness.protocols.dropout.families.noise import NoisePlan
from harness.protocols.dropout.protocol import (
    FAMILIES,
    Drawn,
    DropoutProtocol,
    Family,
    add,
    parse,
    problem_of_family,
)
from harness.protocols.dropout.request import EVERYTHING, MaskRequest, SplitMasks, Traits
from harness.protocols.dropout.suites import expand, suite

__all__ = [
    "EVERYTHING",
    "Drawn",
    "DropoutProtocol",
    "Family",
    "MaskRequest",
    "NoisePlan",
    "SplitMasks",
    "Traits",
    "add",
    "expand",
    "parse",
    "problem_of_family",
    "suite",
    "train_mix",
    "training_masks",
    "training_protocol",
]


def training_protocol(name: str, traits: Traits) -> DropoutProtocol:
    """Return the protocol that a model is to be trained under.

    Raises:
        UnknownNameError: no such protocol.
        UsageError: the data cannot have it, or it is for scoring only.
    """
    protocol = parse(name, traits)
    protocol.check(traits)
    if FAMILIES[protocol.family].use == "scoring":
        raise UsageError(
            f"{protocol.id!r} is for scoring only: what is missing follows from the features. "
            "Train under 'train-mix@1', which does not"
        )
    return protocol


def training_masks(protocol: DropoutProtocol, request: MaskRequest, epoch: int) -> SplitMasks:
    """Draw the training masks of an epoch.

    The epoch enters the hash stream of protocols that are for training, so that their masks are
    pure functions too; the others have the same masks in every epoch.

    Args:
        protocol: of training.
        request: the training split.
        epoch: counted from 0.
    """
    if protocol.for_training:
        request = replace(request, stream_prefix=f"epoch:{epoch}:")
    return protocol.masks(request)


def train_mix(request: MaskRequest, epoch: int) -> SplitMasks:
    """Draw the training masks of an epoch under ``train-mix@1``."""
    return training_masks(parse("train-mix@1"), request, epoch)
