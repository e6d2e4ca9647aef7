"""Suites: named, versioned lists of dropout protocols. A board names a suite, not a list."""

from __future__ import annotations

from harness.protocols.masks import Traits, canonical_order

_TENTHS = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9")

SUITES = ("core", "temporal", "party", "noise", "smoke")


def members(suite: str, traits: Traits, *, literal: bool = False) -> list[str]:
    """Return the names, without version, of a suite's protocols for a data set.

    ``literal``: as the protocol card lists them, whatever the data set has.
    """
    keys = [traits.keys[j] for j in canonical_order(traits.keys)]
    nonspeaker = "nonspeaker" if literal or traits.persons else "nonspeaker-0.5"
    table = {
        "core": [
            *(f"only-{k}" for k in keys),
            *(f"drop-{k}" for k in keys),
            *(f"random-{r}" for r in _TENTHS[:7]),
        ],
        "temporal": [
            *(f"frames-{r}" for r in _TENTHS),
            *(f"burst-{r}" for r in _TENTHS[::2]),
        ],
        "party": [nonspeaker, "party-silent", "drop-p", "random-seg-0.3", "random-seg-0.5"],
        "noise": [
            *(f"noise-{s}" for s in ("0.1", "0.3", "0.5", "1.0")),
            *(f"noise-snr-{d}" for d in ("10", "5", "0")),
        ],
        "smoke": ["only-t", "drop-t", "random-0.5", nonspeaker],
    }
    return ["full", *table[suite]]
