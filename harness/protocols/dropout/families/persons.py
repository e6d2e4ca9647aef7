"""Persons who do not speak: ``nonspeaker`` and ``party-silent``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.protocols.dropout.hashing import HashKey
from harness.protocols.dropout.protocol import RATE, Drawn, DropoutProtocol, Family, register
from harness.protocols.dropout.request import BoolArray, MaskRequest, Traits

SPOKEN = ("a", "t")
"""Modalities a person lacks who does not speak."""


def silence(request: MaskRequest, silent: Sequence[str | None]) -> list[BoolArray]:
    """Take a and t from one party's units in each sample, per sample bool [U_i, M].

    ``silent`` names that party per sample (None: nobody). Other parties are untouched.
    """
    names = request.unit_names()
    available = request.availability_of_units(names)
    spoken = np.array([m in SPOKEN for m in request.modalities])
    parties = request.parties or [[] for _ in names]
    return [
        there & ~(np.array([p == who for p in own], dtype=np.bool_)[:, None] & spoken)
        for there, own, who in zip(available, parties, silent, strict=True)
    ]


def silent_party(request: MaskRequest, key: HashKey) -> list[str | None]:
    """Choose one party per sample by hash: number floor(u*n) of its n parties in sorted order."""
    chosen: list[str | None] = []
    draws = key.uniforms(request.ids, "party")
    for own, u in zip(request.parties or [], draws, strict=True):
        present = sorted(set(own))
        chosen.append(present[int(u * len(present))] if present else None)
    return chosen


def _nonspeaker(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    """Silence the target person; with a rate leave a sample nothing but v with that probability."""
    if not protocol.argument:
        return Drawn.by_unit(request, silence(request, list(request.targets or [])))
    silent = key.uniforms(request.ids, "silent") < protocol.level
    return Drawn(np.where(silent[:, None], request.keep_only(("v",)), request.natural))


def _party_silent(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    return Drawn.by_unit(request, silence(request, silent_party(request, key)))


def _needs_spoken(traits: Traits) -> str:
    if not set(SPOKEN) & set(traits.keys):
        return "it has neither modality 'a' nor 't' to take away"
    if not set(traits.keys) - set(SPOKEN):
        return "without modalities 'a' and 't' nothing would be left"
    return ""


def _needs_persons(protocol: DropoutProtocol, traits: Traits) -> str:
    if protocol.argument:
        only_v = "v" in traits.keys and len(traits.keys) > 1
        return "" if only_v else "it needs modality 'v' to keep and another one to drop"
    if not traits.persons:
        return "it has no persons (use 'nonspeaker-RHO', for example 'nonspeaker-0.5')"
    return _needs_spoken(traits)


def _needs_parties(protocol: DropoutProtocol, traits: Traits) -> str:
    if not (traits.parties and traits.units):
        return "the parties of its units are not known"
    return _needs_spoken(traits)


register(
    "nonspeaker",
    Family(
        _nonspeaker,
        _needs_persons,
        f"(?:{RATE})?",
        high=1.0,
        doc="the target person does not speak: no audio and text; a rate: that share of samples",
    ),
)
register(
    "party-silent", Family(_party_silent, _needs_parties, doc="one person or speaker is silent")
)
