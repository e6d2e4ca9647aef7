"""Dropout protocols by name: `parse` one, `expand` suites, draw `train_mix` for an epoch.

The rules follow the harness's protocol card: anchored Bernoulli survivors (the law of GCNet's and
MMIN's mask generators in closed form), CIDer's taxonomy for frames and bursts, MEmoR's
non-speakers. Every name carries a version; `harness.protocols.families` holds the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.errors import UnknownNameError, UsageError
from harness.protocols.families import VERSION, DropoutProtocol, examples, split_name
from harness.protocols.masks import MaskRequest, SplitMasks, Traits
from harness.protocols.noise import NoisePlan
from harness.protocols.suites import SUITES, members

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


def parse(name: str) -> DropoutProtocol:
    """Return the protocol of a name such as ``random-0.3@1``; without ``@`` the newest version.

    Raises:
        UnknownNameError: no such protocol; the nearest is suggested.
        UsageError: the version does not exist, or the number is out of range.
    """
    bare = _without_version(name)
    protocol = split_name(bare)
    if protocol is None:
        raise UnknownNameError("dropout protocol", name, examples(bare))
    return protocol


def suite(name: str, traits: Traits | None = None) -> tuple[DropoutProtocol, ...]:
    """Return the protocols of a suite such as ``core@1``, in its order.

    With ``traits`` the suite is fitted to a data set: ``only``/``drop`` range over its modalities,
    ``nonspeaker`` becomes ``nonspeaker-0.5`` where it has no persons, and protocols it cannot have
    are left out.

    Raises:
        UnknownNameError: no such suite.
        UsageError: the version does not exist.
    """
    bare = _without_version(name)
    if bare not in SUITES:
        raise UnknownNameError("dropout suite", name, [f"{s}@{VERSION}" for s in SUITES])
    if traits is None:
        return tuple(parse(n) for n in members(bare, Traits(), literal=True))
    fitted = [parse(n) for n in members(bare, traits)]
    return tuple(p for p in fitted if not p.misfit(traits))


def expand(names: Sequence[str], traits: Traits | None = None) -> tuple[DropoutProtocol, ...]:
    """Return suites and single protocols as one list without duplicates, in order.

    With ``traits`` suites are fitted to the data set and single protocols are checked against it.

    Raises:
        UnknownNameError: neither a protocol nor a suite.
        UsageError: a protocol named by itself does not fit the data.
    """
    found: dict[DropoutProtocol, None] = {}
    for name in names:
        bare = name.partition("@")[0]
        if bare in SUITES:
            found.update(dict.fromkeys(suite(name, traits)))
            continue
        if split_name(bare) is None:
            suites = [f"{s}@{VERSION}" for s in SUITES]
            raise UnknownNameError("dropout protocol or suite", name, [*suites, *examples(bare)])
        protocol = parse(name)
        if traits is not None:
            protocol.check(traits)
        found[protocol] = None
    return tuple(found)


def train_mix(request: MaskRequest, epoch: int) -> SplitMasks:
    """Draw the training masks of an epoch, counted from 0 (``train-mix@1``).

    Per sample: whole with probability 0.5, else ``random`` with a rate uniform in [0, (M - 1)/M).
    The epoch enters the hash stream, so the masks are pure functions too.
    """
    return parse("train-mix@1").masks(replace(request, stream_prefix=f"epoch:{epoch}:"))


def _without_version(name: str) -> str:
    bare, at, version = name.partition("@")
    if at and version != str(VERSION):
        raise UsageError(f"{bare!r} exists in version {VERSION} only, not {version!r}")
    return bare
