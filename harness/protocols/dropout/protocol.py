"""Dropout protocols by name: a protocol is a registered `Family` with an argument."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.errors import PluginError, UnknownNameError, UsageError
from harness.protocols.dropout.hashing import HashKey
from harness.protocols.dropout.request import (
    EVERYTHING,
    BoolArray,
    MaskRequest,
    SplitMasks,
    Traits,
    mask_digest,
    missing_rate,
)
from harness.specs import DropoutFamily

if TYPE_CHECKING:
    from harness.protocols.dropout.families.noise import NoisePlan

VERSION = 1
RATE = r"\d+(?:\.\d+)?"
OPEN = float(np.nextafter(0.0, 1.0))
BELOW_ONE = float(np.nextafter(1.0, 0.0))
Frames = dict[str, list[BoolArray]]


@dataclass(frozen=True)
class Drawn:
    """The masks of a rule, before rates and digest are computed; fields as in `SplitMasks`."""

    keep: BoolArray
    frames: Frames | None = None
    unit_keep: list[BoolArray] | None = None
    noise: NoisePlan | None = None
    personality: bool = True
    rank_digest: str = ""
    informative: bool = False

    @classmethod
    def by_unit(cls, request: MaskRequest, unit_keep: list[BoolArray]) -> Drawn:
        """Return the masks of per-sample decisions on units, bool [U_i, M] each."""
        rows = [u.any(axis=0) for u in unit_keep]
        keep = request.natural & np.array(rows, dtype=np.bool_).reshape(request.natural.shape)
        frames = None
        if request.unit_per_position:
            frames = {
                m: [u[: n[j], j] for u, n in zip(unit_keep, request.lengths, strict=True)]
                for j, m in enumerate(request.modalities)
            }
        return cls(keep, frames=frames, unit_keep=unit_keep)


@dataclass(frozen=True)
class DropoutProtocol:
    """A dropout protocol, for example ``random-0.3@1``. Get one from `parse`.

    Attributes:
        family: name of the family (``random``, ``only``, ``frames-sync``, ...).
        argument: modality key, rate, sigma or decibels as text, or a word and a rate (``t-0.3``);
            empty where there is none.
        version: version of the draw rule.
    """

    family: str
    argument: str = ""
    version: int = VERSION

    @property
    def name(self) -> str:
        """Return the name without version."""
        return f"{self.family}-{self.argument}" if self.argument else self.family

    @property
    def id(self) -> str:
        """Return ``name@version``, as results carry it."""
        return f"{self.name}@{self.version}"

    @property
    def level(self) -> float:
        """Return the rate, sigma or decibels; 0 for families without a number."""
        _, number = FAMILIES[self.family].parts(self.argument)
        return float(number) if number else 0.0

    @property
    def word(self) -> str:
        """Return what stands before the number (``t`` of ``lose-t-0.3``), or the argument."""
        return FAMILIES[self.family].parts(self.argument)[0]

    @property
    def for_training(self) -> bool:
        """Return whether its masks depend on the epoch, so that nothing can be scored under it."""
        return FAMILIES[self.family].use == "training"

    def check(self, traits: Traits) -> None:
        """Refuse data that cannot have this protocol.

        Raises:
            UsageError: names the property that the data lacks.
        """
        reason = self.misfit(traits)
        if reason:
            raise UsageError(f"dropout protocol {self.id!r} does not fit this data: {reason}")

    def misfit(self, traits: Traits) -> str:
        """Return why the data cannot have this protocol; empty: it can."""
        return FAMILIES[self.family].misfit(self, traits)

    def masks(self, request: MaskRequest) -> SplitMasks:
        """Draw the masks of a split: a pure function of names, seed and natural availability.

        Raises:
            UsageError: the data cannot have this protocol (see `check`), or a protocol for
                training is asked for without an epoch.
        """
        self.check(request.traits)
        family = FAMILIES[self.family]
        if self.for_training and not request.stream_prefix:
            raise UsageError(TRAINING_ONLY.format(self.id))
        stream = family.stream or self.family
        key = HashKey(stream, self.version, request.seed, request.split, request.stream_prefix)
        drawn = family.rule(self, request, key)
        rate = _realised_rate(request, drawn)
        digest = mask_digest(request, drawn.keep, drawn.frames, drawn.unit_keep)
        return SplitMasks(**vars(drawn), eta_hat=rate, digest=digest)


@dataclass(frozen=True)
class Family:
    """A family of protocols: ``NAME`` or ``NAME-ARGUMENT``.

    Attributes:
        rule: draws the masks of a protocol of this family.
        misfit: returns why data of such traits cannot have the protocol; empty: it can.
        pattern: regular expression of the argument; empty: there is none. With `RATE` in it the
            argument is a number within [``low``, ``high``].
        low: smallest number.
        high: largest number.
        stream: the family's name in the hash, where it is not its own.
        worded: a word and a hyphen stand before the number.
        choices: the only numbers there are; empty: all within the range.
        use: ``training``: masks depend on the epoch; ``scoring``: no model is trained under it.
        doc: what it does to a sample, in a few words.
    """

    rule: Callable[[DropoutProtocol, MaskRequest, HashKey], Drawn]
    misfit: Callable[[DropoutProtocol, Traits], str] = lambda protocol, traits: ""
    pattern: str = ""
    low: float = OPEN
    high: float = BELOW_ONE
    stream: str = ""
    worded: bool = False
    choices: tuple[float, ...] = ()
    use: Literal["any", "training", "scoring"] = "any"
    doc: str = ""

    @property
    def number(self) -> bool:
        """Return whether the argument is, or ends with, a number."""
        return RATE in self.pattern

    def parts(self, argument: str) -> tuple[str, str]:
        """Return the word and the number of an argument; empty where there is none."""
        if not self.number:
            return argument, ""
        if not self.worded:
            return "", argument
        word, _, number = argument.rpartition("-")
        return word, number

    def in_range(self, level: float) -> bool:
        """Return whether there is a protocol of this number."""
        return level in self.choices if self.choices else self.low <= level <= self.high


TRAINING_ONLY = (
    "{!r} is for training only: its masks depend on the epoch. Evaluate with the suite 'core@1' "
    "instead"
)
FAMILIES: dict[str, Family] = {}
"""Every family by name; the modules of `harness.protocols.dropout.families` register theirs."""


_OWN: set[str] = set()


def register(name: str, family: Family) -> None:
    """Add a family of the harness's own."""
    FAMILIES[name] = family
    _OWN.add(name)


def own_families() -> dict[str, Family]:
    """Return the families of the harness, without those of plugins."""
    return {name: family for name, family in FAMILIES.items() if name in _OWN}


def problem_of_family(added: DropoutFamily) -> str:
    """Return what is wrong with a plugin's family, or nothing.

    Its names must not be those of other protocols already: ``only-x`` is the modality ``x`` alone.
    """
    given: object = added.family  # of a plugin, hence anything
    if not isinstance(given, Family):
        return f"family of {added.name!r} is no harness.protocols.dropout.Family"
    for name in (added.name, f"{added.name}-0.5"):
        held = split_name(name, own_families())
        if held is not None:
            return f"{name!r} is a protocol of the harness's own family {held.family!r}"
    return ""


def add(added: DropoutFamily) -> None:
    """Add a plugin's family, or replace the one of this name that a plugin registered before.

    Raises:
        PluginError: a family of the harness has protocols of such names.
    """
    problem = problem_of_family(added)
    if problem:
        raise PluginError(f"dropout family: {problem}; choose another name")
    FAMILIES[added.name] = added.family


def parse(name: str, traits: Traits = EVERYTHING) -> DropoutProtocol:
    """Return the protocol of a name such as ``random-0.3@1``; without ``@`` the newest version.

    Args:
        name: of the protocol.
        traits: of the data, whose protocols an error suggests; it is not checked against them.

    Raises:
        UnknownNameError: no such protocol; the nearest is suggested.
        UsageError: the version does not exist, or the number is out of range.
    """
    bare = without_version(name)
    protocol = split_name(bare)
    if protocol is None:
        raise UnknownNameError("dropout protocol", name, examples(bare, traits))
    return protocol


def without_version(name: str) -> str:
    """Return a name without its version.

    Raises:
        UsageError: the version does not exist.
    """
    bare, at, version = name.partition("@")
    if at and version != str(VERSION):
        raise UsageError(f"{bare!r} exists in version {VERSION} only, not {version!r}")
    return bare


def split_name(name: str, families: Mapping[str, Family] = FAMILIES) -> DropoutProtocol | None:
    """Return the protocol of a name without version, or None; numbers in one spelling.

    Args:
        name: of the protocol.
        families: where it is looked for.

    Raises:
        UsageError: the number is out of the family's range.
    """
    for family, entry in families.items():
        if name == family:
            argument = ""
        elif name.startswith(f"{family}-") and name != f"{family}-":
            argument = name.removeprefix(f"{family}-")
        else:
            continue
        if not re.fullmatch(entry.pattern, argument):
            continue
        return DropoutProtocol(family, _canonical_number(name, entry, argument))
    return None


def examples(name: str, traits: Traits = EVERYTHING) -> list[str]:
    """Return ids that data can have: of each family the bare name and one with an argument.

    The argument of a mistyped name is taken where it fits, a modality's key only where the data has
    it.

    Args:
        name: as it was typed, without version.
        traits: of the data.
    """
    argument = name.rpartition("-")[2]
    number = argument if re.fullmatch(RATE, argument) else ""
    found: list[str] = []
    for family, entry in FAMILIES.items():
        levels = [n for n in (number, "0.5") if n and entry.in_range(float(n))]
        if entry.worded:
            own = name.partition("-")[2].rpartition("-")[0]
            choices = [f"{w}-{n}" for w in (own, *traits.keys, "high") if w for n in levels]
        else:
            choices = levels if entry.number else [argument, *traits.keys]
        for given in ([""], choices):
            fitting = (
                DropoutProtocol(family, choice).id
                for choice in given
                if re.fullmatch(entry.pattern, choice)
                and not entry.misfit(DropoutProtocol(family, choice), traits)
            )
            found += itertools.islice(fitting, 1)
    return found


def _realised_rate(request: MaskRequest, drawn: Drawn) -> float:
    if drawn.unit_keep is not None:
        available = request.availability_of_units(request.unit_names())
        left = sum(int(u.sum()) for u in drawn.unit_keep)
        return missing_rate(left, sum(int(u.sum()) for u in available))
    if drawn.frames is not None:
        columns = zip(request.modalities, request.natural.T, strict=True)
        kept = [f for m, there in columns for f, t in zip(drawn.frames[m], there, strict=True) if t]
        return missing_rate(sum(int(f.sum()) for f in kept), sum(f.size for f in kept))
    return missing_rate(float(drawn.keep.sum()), float(request.natural.sum()))


def _canonical_number(name: str, entry: Family, argument: str) -> str:
    if not entry.number or not argument:
        return argument
    word, number = entry.parts(argument)
    level = float(number)
    if not entry.in_range(level):
        raise UsageError(f"dropout protocol {name!r}: the number must be {_allowed(entry)}")
    canonical = f"{level:g}" if entry.low < 0 else repr(level)
    return f"{word}-{canonical}" if entry.worded else canonical


def _allowed(entry: Family) -> str:
    if entry.choices:
        return f"one of {', '.join(map(str, entry.choices))}"
    if entry.high == BELOW_ONE:
        return "between 0 and 1"
    return "above 0" if entry.high == float("inf") else f"above 0 and at most {entry.high:g}"
