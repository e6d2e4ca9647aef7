"""Suites: named, versioned lists of dropout protocols. `SUITES` is their only definition."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import PluginError, UnknownNameError, UsageError
from harness.protocols.dropout.protocol import (
    TRAINING_ONLY,
    VERSION,
    DropoutProtocol,
    examples,
    parse,
    split_name,
    without_version,
)
from harness.protocols.dropout.request import EVERYTHING, Traits, canonical_order
from harness.specs import Suite

_TENTHS = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9")


def _nonspeaker(traits: Traits) -> str:
    return "nonspeaker" if traits.persons else "nonspeaker-0.5"


def _core(traits: Traits) -> list[str]:
    keys = [traits.keys[j] for j in canonical_order(traits.keys)]
    names = [f"{family}-{key}" for family in ("only", "drop") for key in keys]
    return [*names, *(f"random-{r}" for r in _TENTHS[:7])]


def _temporal(traits: Traits) -> list[str]:
    return [*(f"frames-{r}" for r in _TENTHS), *(f"burst-{r}" for r in _TENTHS[::2])]


def _party(traits: Traits) -> list[str]:
    return [_nonspeaker(traits), "party-silent", "drop-p", "random-seg-0.3", "random-seg-0.5"]


def _noise(traits: Traits) -> list[str]:
    sigmas = [f"noise-{s}" for s in ("0.1", "0.3", "0.5", "1.0")]
    return [*sigmas, *(f"noise-snr-{d}" for d in ("10", "5", "0"))]


def _smoke(traits: Traits) -> list[str]:
    return ["only-t", "drop-t", "random-0.5", _nonspeaker(traits)]


def _missing(traits: Traits) -> list[str]:
    """Return each kind of missingness once; what keeps the same modalities twice stands once."""
    keys = [traits.keys[j] for j in canonical_order(traits.keys)]
    count = len(keys)
    fixed = [f"only-{k}" for k in keys] + [f"drop-{k}" for k in keys if count > 2]
    # Above (M - 1)/M nothing more goes.
    lower = sum(float(r) < (count - 1) / count for r in _TENTHS[:7])
    random = [f"random-{r}" for r in _TENTHS[: min(7, lower + 1)]]
    alone = ["exclusive-0.5", "patterns-0.5", "mcar-0.3"]
    not_random = [f"mnar-{word}-0.3" for word in ("high", "low", "long", "short")]
    inside = [f"{family}-{r}" for family in ("frames", "burst") for r in ("0.3", "0.5", "0.7")]
    return [*fixed, *random, *alone, *not_random, *inside]


BUILTIN = (
    Suite("core", _core, "every modality alone and left out, random survivors at seven rates"),
    Suite("temporal", _temporal, "missing positions and blocks of positions"),
    Suite("party", _party, "persons who do not speak, personality, missing segments"),
    Suite("noise", _noise, "noise on features"),
    Suite("missing", _missing, "missing modalities as the literature has them, and not at random"),
    Suite("smoke", _smoke, "one protocol of each kind, for a quick look"),
)
SUITES: dict[str, Suite] = {s.name: s for s in BUILTIN}
"""By name: the harness's suites, then those of plugins as they were loaded."""


def register(added: Suite) -> None:
    """Add a plugin's suite, or replace the one of this name that a plugin registered before.

    Raises:
        PluginError: the name is one of the harness's own suites.
    """
    if is_builtin(added.name):
        raise PluginError(f"suite {added.name!r} is one of the harness's own; choose another name")
    SUITES[added.name] = added


def is_builtin(name: str) -> bool:
    """Return whether a suite of the harness has this name."""
    return any(s.name == name for s in BUILTIN)


def members(suite_id: str, traits: Traits | None = None) -> list[str]:
    """Return the ids of a suite's protocols, ``full@1`` first, fitted to a data set.

    ``only``/``drop`` range over the data set's modalities, ``nonspeaker`` becomes
    ``nonspeaker-0.5`` where it has no persons, and protocols that it cannot have are left out.
    Without ``traits``: as for data that has everything.

    Raises:
        UnknownNameError: no such suite.
        UsageError: the version does not exist.
    """
    bare = without_version(suite_id)
    if bare not in SUITES:
        raise UnknownNameError("dropout suite", suite_id, ids())
    own = traits or EVERYTHING
    protocols = [parse(name) for name in dict.fromkeys(("full", *SUITES[bare].members(own)))]
    return [p.id for p in protocols if not p.misfit(own)]


def ids() -> list[str]:
    """Return the ids of all suites."""
    return [f"{name}@{VERSION}" for name in SUITES]


def suite(name: str, traits: Traits | None = None) -> tuple[DropoutProtocol, ...]:
    """Return the protocols of a suite such as ``core@1``; as `members`."""
    return tuple(map(parse, members(name, traits)))


def expand(names: Sequence[str], traits: Traits | None = None) -> tuple[DropoutProtocol, ...]:
    """Return suites and single protocols as one list without duplicates, in order.

    With ``traits`` suites are fitted to the data set and single protocols are checked against it.

    Raises:
        UnknownNameError: neither a protocol nor a suite.
        UsageError: a protocol named by itself does not fit the data, or is for training.
    """
    found: dict[DropoutProtocol, None] = {}
    for name in names:
        bare = name.partition("@")[0]
        if bare in SUITES:
            found.update(dict.fromkeys(suite(name, traits)))
            continue
        if split_name(bare) is None:
            known = [*ids(), *examples(bare, traits or EVERYTHING)]
            raise UnknownNameError("dropout protocol or suite", name, known)
        protocol = parse(name)
        if traits is not None:
            protocol.check(traits)
            if protocol.for_training:
                raise UsageError(TRAINING_ONLY.format(protocol.id))
        found[protocol] = None
    return tuple(found)
