"""Fixed sets of modalities: ``full``, ``only-KEY`` and ``drop-KEY``; ``drop-p``: personality."""

from __future__ import annotations

from harness.protocols.dropout.hashing import HashKey
from harness.protocols.dropout.protocol import Drawn, DropoutProtocol, Family, register
from harness.protocols.dropout.request import MaskRequest, Traits, canonical_order
from harness.specs import PERSONALITY

_KEY = r"[^@\s]+"


def _needs_key(family: str, argument: str, t: Traits) -> str:
    """Require the named modality (``p``: personality), and another where it is dropped."""
    if family == "drop" and argument == PERSONALITY:
        return "" if t.personality else "it has no personality"
    if argument not in t.keys:
        known = ", ".join(t.keys[j] for j in canonical_order(t.keys))
        return f"it has no modality {argument!r} (it has {known})"
    if family == "drop" and len(t.keys) == 1:
        return f"{argument!r} is its only modality, so nothing would be left"
    return ""


def _full(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    return Drawn(r.natural.copy())


def _only(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    return Drawn(r.keep_only((p.argument,)))


def _drop(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    if p.argument == PERSONALITY:
        return Drawn(r.natural.copy(), personality=False)
    return Drawn(r.keep_only([m for m in r.modalities if m != p.argument]))


register("full", Family(_full))
register("only", Family(_only, _needs_key, _KEY))
register("drop", Family(_drop, _needs_key, _KEY))
