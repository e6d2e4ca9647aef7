"""What a dropout protocol demands of a data set.

Every function takes the protocol's family and argument and the data's traits, and returns why the
data cannot have the protocol; an empty string where it can.
"""

from __future__ import annotations

from harness.protocols.masks import Traits, canonical_order
from harness.protocols.rules import SPOKEN


def anything(family: str, argument: str, t: Traits) -> str:
    """Demand nothing."""
    return ""


def needs_key(family: str, argument: str, t: Traits) -> str:
    """Demand the named modality (``p``: personality), and that dropping it leaves another."""
    if family == "drop" and argument == "p":
        return "" if t.personality else "it has no personality"
    if argument not in t.keys:
        known = ", ".join(t.keys[j] for j in canonical_order(t.keys))
        return f"it has no modality {argument!r} (it has {known})"
    if family == "drop" and len(t.keys) == 1:
        return f"{argument!r} is its only modality, so nothing would be left"
    return ""


def needs_several(family: str, argument: str, t: Traits) -> str:
    """Demand a second modality."""
    return "" if len(t.keys) > 1 else "its only modality always survives (use 'full')"


def needs_aligned(family: str, argument: str, t: Traits) -> str:
    """Demand that a position is the same moment in every modality."""
    return (
        ""
        if t.aligned
        else f"it is not aligned (use {family.replace('-sync', '') + '-' + argument!r})"
    )


def needs_units(family: str, argument: str, t: Traits) -> str:
    """Demand segments or cells."""
    return "" if t.units else "its samples have no segments (use the 'random' family)"


def needs_spoken(family: str, argument: str, t: Traits) -> str:
    """Demand something to take from a silent person, and something to leave."""
    if not set(SPOKEN) & set(t.keys):
        return "it has neither modality 'a' nor 't' to take away"
    if not set(t.keys) - set(SPOKEN):
        return "without modalities 'a' and 't' nothing would be left"
    return ""


def needs_persons(family: str, argument: str, t: Traits) -> str:
    """Demand a target person, or with a rate the modality v and another."""
    if argument:
        only_v = "v" in t.keys and len(t.keys) > 1
        return "" if only_v else "it needs modality 'v' to keep and another one to drop"
    if not t.persons:
        return "it has no persons (use 'nonspeaker-RHO', for example 'nonspeaker-0.5')"
    return needs_spoken(family, argument, t)


def needs_parties(family: str, argument: str, t: Traits) -> str:
    """Demand units whose party is known."""
    if not (t.parties and t.units):
        return "the parties of its units are not known"
    return needs_spoken(family, argument, t)
