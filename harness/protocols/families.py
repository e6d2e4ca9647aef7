"""`DropoutProtocol`: a versioned name, what it demands of the data, and its masks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.errors import UsageError
from harness.protocols import demands, rules
from harness.protocols import frames as within
from harness.protocols.hashing import HashKey
from harness.protocols.masks import (
    BoolArray,
    MaskRequest,
    SplitMasks,
    Traits,
    mask_digest,
    missing_rate,
)
from harness.protocols.noise import NoisePlan

VERSION = 1


@dataclass(frozen=True)
class Drawn:
    """The raw decision of a rule, before rates and digest are taken."""

    keep: BoolArray
    frames: within.Frames | None = None
    unit_keep: list[BoolArray] | None = None
    noise: NoisePlan | None = None
    personality: bool = True


@dataclass(frozen=True)
class DropoutProtocol:
    """A dropout protocol, for example ``random-0.3@1``. Get one from `parse`.

    Attributes:
        family: what kind it is (``random``, ``only``, ``frames-sync``, ...).
        argument: modality key, rate, sigma or decibels as text; empty where there is none.
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
        return float(self.argument) if self.argument and FAMILIES[self.family].number else 0.0

    def check(self, traits: Traits) -> None:
        """Refuse data this protocol has no meaning for.

        Raises:
            UsageError: says what the data lacks.
        """
        reason = self.misfit(traits)
        if reason:
            raise UsageError(f"dropout protocol {self.id!r} does not fit this data: {reason}")

    def misfit(self, traits: Traits) -> str:
        """Return why the data cannot have this protocol; empty: it can."""
        return FAMILIES[self.family].misfit(self.family, self.argument, traits)

    def masks(self, request: MaskRequest) -> SplitMasks:
        """Draw the masks of a split: a pure function of names, seed and natural availability.

        Raises:
            UsageError: the data cannot have this protocol (see `check`), or a protocol for
                training is asked for without an epoch.
        """
        self.check(request.traits)
        family = FAMILIES[self.family]
        key = HashKey(
            family.stream or self.family,
            self.version,
            request.seed,
            request.split,
            request.stream_prefix,
        )
        drawn = family.rule(self, request, key)
        return SplitMasks(
            keep=drawn.keep,
            frames=drawn.frames,
            noise=drawn.noise,
            eta_hat=_realised_rate(request, drawn),
            digest=mask_digest(request, drawn.keep, drawn.frames, drawn.unit_keep),
            unit_keep=drawn.unit_keep,
            personality=drawn.personality,
        )


@dataclass(frozen=True)
class Family:
    """One line of the table of protocols.

    ``pattern`` is the regular expression of the argument; ``number`` says it is one, within
    [``low``, ``high``]. ``stream`` is the family name in the hash where it differs.
    """

    rule: Callable[[DropoutProtocol, MaskRequest, HashKey], Drawn]
    misfit: Callable[[str, str, Traits], str] = demands.anything
    pattern: str = ""
    number: bool = False
    low: float = 0.0
    high: float = float("inf")
    stream: str = ""


def _realised_rate(request: MaskRequest, drawn: Drawn) -> float:
    if drawn.unit_keep is not None:
        available = request.availability_of_units(request.unit_names())
        left = sum(int(u.sum()) for u in drawn.unit_keep)
        return missing_rate(left, sum(int(u.sum()) for u in available))
    if drawn.frames is not None:
        return within.frames_missing_rate(request, drawn.frames)
    return missing_rate(float(drawn.keep.sum()), float(request.natural.sum()))


def _by_unit(request: MaskRequest, unit_keep: list[BoolArray]) -> Drawn:
    rows = [u.any(axis=0) for u in unit_keep]
    keep = request.natural & np.array(rows, dtype=np.bool_).reshape(request.natural.shape)
    frames = None
    if request.unit_per_position:
        frames = {
            m: [u[: n[j], j] for u, n in zip(unit_keep, request.lengths, strict=True)]
            for j, m in enumerate(request.modalities)
        }
    return Drawn(keep, frames=frames, unit_keep=unit_keep)


def _full(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    return Drawn(r.natural.copy())


def _only(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    return Drawn(rules.keep_set(r, (p.argument,)))


def _drop(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    if p.argument == "p":
        return Drawn(r.natural.copy(), personality=False)
    return Drawn(rules.keep_set(r, [m for m in r.modalities if m != p.argument]))


def _random(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    return Drawn(rules.random_keep(r, key, p.level))


def _random_seg(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    return _by_unit(r, rules.random_unit_keep(r, key, p.level))


def _frames(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    sync = p.family.endswith("sync")
    return Drawn(r.natural.copy(), frames=within.drop_frames(r, key, p.level, sync=sync))


def _burst(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    sync = p.family.endswith("sync")
    return Drawn(r.natural.copy(), frames=within.drop_burst(r, key, p.level, sync=sync))


def _nonspeaker(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    if p.argument:
        return Drawn(rules.silent_samples(r, key, p.level))
    return _by_unit(r, rules.silence(r, list(r.targets or [])))


def _party_silent(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    return _by_unit(r, rules.silence(r, rules.silent_party(r, key)))


def _noise(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    return Drawn(r.natural.copy(), noise=NoisePlan(key, sigma=p.level))


def _noise_snr(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    return Drawn(r.natural.copy(), noise=NoisePlan(key, snr_db=p.level))


def _train_mix(p: DropoutProtocol, r: MaskRequest, key: HashKey) -> Drawn:
    if not r.stream_prefix:
        raise UsageError(
            f"{p.id!r} is for training only: its masks depend on the epoch. Evaluate with the "
            "suite 'core@1' instead"
        )
    return Drawn(rules.train_mix_keep(r, key))


_RATE = r"\d+(?:\.\d+)?"
_KEY = r"[^@\s]+"
_OPEN = float(np.nextafter(0.0, 1.0))
_BELOW_ONE = float(np.nextafter(1.0, 0.0))

FAMILIES: dict[str, Family] = {
    "full": Family(_full),
    "only": Family(_only, demands.needs_key, _KEY),
    "drop": Family(_drop, demands.needs_key, _KEY),
    "random": Family(_random, demands.needs_several, _RATE, True, _OPEN, _BELOW_ONE),
    "random-seg": Family(_random_seg, demands.needs_units, _RATE, True, _OPEN, _BELOW_ONE),
    "frames": Family(_frames, pattern=_RATE, number=True, low=_OPEN, high=_BELOW_ONE),
    "frames-sync": Family(_frames, demands.needs_aligned, _RATE, True, _OPEN, _BELOW_ONE),
    "burst": Family(_burst, pattern=_RATE, number=True, low=_OPEN, high=_BELOW_ONE),
    "burst-sync": Family(
        _burst, demands.needs_aligned, _RATE, True, _OPEN, _BELOW_ONE, stream="burst"
    ),
    "nonspeaker": Family(_nonspeaker, demands.needs_persons, f"(?:{_RATE})?", True, _OPEN, 1.0),
    "party-silent": Family(_party_silent, demands.needs_parties),
    "noise": Family(_noise, pattern=_RATE, number=True, low=_OPEN),
    "noise-snr": Family(
        _noise_snr, pattern=f"-?{_RATE}", number=True, low=float("-inf"), stream="noise"
    ),
    "train-mix": Family(_train_mix),
}


def split_name(name: str) -> DropoutProtocol | None:
    """Return the protocol a name without version spells, or None; numbers in one spelling.

    Raises:
        UsageError: the number is out of the family's range.
    """
    for family, entry in FAMILIES.items():
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


def examples(name: str) -> list[str]:
    """Return one id of each family, with the argument of a mistyped name where it fits."""
    argument = name.rpartition("-")[2]
    found = ["nonspeaker"]
    for family, entry in FAMILIES.items():
        choices = [argument, "0.5" if entry.number else "v"]
        if not entry.number and re.fullmatch(_RATE, argument):
            choices = ["v"]
        fitting = [c for c in choices if c and entry.pattern and re.fullmatch(entry.pattern, c)]
        found.append(f"{family}-{fitting[0]}" if fitting else family)
    return [f"{n}@{VERSION}" for n in found]


def _canonical_number(name: str, entry: Family, argument: str) -> str:
    if not entry.number or not argument:
        return argument
    level = float(argument)
    if not entry.low <= level <= entry.high:
        allowed = {1.0: "above 0 and at most 1", _BELOW_ONE: "between 0 and 1"}
        raise UsageError(
            f"dropout protocol {name!r}: the number must be {allowed.get(entry.high, 'above 0')}"
        )
    return f"{level:g}" if entry.low < 0 else repr(level)
