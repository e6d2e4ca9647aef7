"""Fixed sets of modalities: ``full``, ``only-KEY`` and ``drop-KEY``; ``drop-p``: personality."""

from __future__ import annotations

from harness.protocols.dropout.hashing import HashKey
from harness.protocols.dropout.protocol import Drawn, DropoutProtocol, Family, register
from harness.protocols.dropout.request import MaskRequest, Traits, canonical_order
from harness.specs import PERSONALITY

_KEY = r"[^@\s]+"


def _full(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    return Drawn(request.natural.copy())


def _only(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    return Drawn(request.keep_only((protocol.argument,)))


def _drop(protocol: DropoutProtocol, request: MaskRequest, key: HashKey) -> Drawn:
    if protocol.argument == PERSONALITY:
        return Drawn(request.natural.copy(), personality=False)
    return Drawn(request.keep_only([m for m in request.modalities if m != protocol.argument]))


def _needs_key(protocol: DropoutProtocol, traits: Traits) -> str:
    key, drops = protocol.argument, protocol.family == "drop"
    if drops and key == PERSONALITY:
        return "" if traits.personality else "it has no personality"
    if key not in traits.keys:
        known = ", ".join(traits.keys[j] for j in canonical_order(traits.keys))
        return f"it has no modality {key!r} (it has {known})"
    only = drops and len(traits.keys) == 1
    return f"{key!r} is its only modality, so nothing would be left" if only else ""


register("full", Family(_full, doc="everything that is there"))
register("only", Family(_only, _needs_key, _KEY, doc="that modality alone"))
register("drop", Family(_drop, _needs_key, _KEY, doc="without that modality; p: personality"))
