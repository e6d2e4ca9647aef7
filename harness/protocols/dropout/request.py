"""The request and the result of a dropout protocol, for one split of one data set."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataFormatError
from harness.protocols.dropout.hashing import clean_field
from harness.specs import PERSONALITY, DatasetSpec, MaskOption

if TYPE_CHECKING:
    from harness.protocols.dropout.families.noise import NoisePlan

BoolArray = NDArray[np.bool_]
Ranks = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Ranks r [N, M] among the n [M] training samples that have a modality (`MaskRequest.ranks`)."""

_FIRST = ("v", "a", "t")
_BY_KEY = ("only", "drop")


def canonical_order(keys: Sequence[str]) -> list[int]:
    """Return the indices that put modality keys in canonical order: v, a, t, then alphabetical."""

    def rank(i: int) -> tuple[int, str]:
        key = keys[i]
        return (_FIRST.index(key) if key in _FIRST else len(_FIRST), key)

    return sorted(range(len(keys)), key=rank)


@dataclass(frozen=True)
class Traits:
    """Properties of a data set that decide which dropout protocols it can have.

    ``units``: samples fall into named segments or cells. ``persons``: there is a target person.
    ``parties``: the speaker of each unit is known. ``varying``: samples differ in their number of
    valid positions. ``ranked``: there is a training split that features are compared with.
    """

    keys: tuple[str, ...] = _FIRST
    aligned: bool = True
    units: bool = False
    persons: bool = False
    parties: bool = False
    personality: bool = False
    varying: bool = True
    ranked: bool = True

    @classmethod
    def of(cls, spec: DatasetSpec, mask: MaskOption | None = None) -> Traits:
        """Return the traits of a data set.

        A grid has units, persons and parties; where positions are utterances each is a unit. It is
        never aligned: of each modality the cells that have it are counted. Under the mask option
        ``ones`` all samples have the same number of positions.

        Args:
            spec: the data set.
            mask: mask option; None: the data set's own.
        """
        grid = spec.cells
        return cls(
            keys=tuple(m.key for m in spec.modalities),
            aligned=spec.aligned and not grid,
            units=grid or spec.position_unit == "utterance",
            persons=grid and spec.grid_context == "row",
            parties=grid or bool(spec.party_column),
            personality=spec.personality_dim > 0,
            varying=grid
            or (
                max(m.max_length for m in spec.modalities) > 1
                and (mask or spec.default_mask) != "ones"
            ),
        )

    @classmethod
    def of_protocols(cls, names: Iterable[str]) -> Traits:
        """Return the traits of the data that results under these protocols must come from.

        Records name the protocols they were scored under, not the traits of their data. The keys
        are those of ``only-*`` and ``drop-*``; ids with and without version are taken.
        """
        bare = {name.partition("@")[0] for name in names}
        keys = {k for n in bare for head, _, k in [n.partition("-")] if k and head in _BY_KEY}
        return cls(
            keys=tuple(sorted(keys - {PERSONALITY})) or _FIRST,
            aligned=True,
            units="party-silent" in bare or any(n.startswith("random-seg-") for n in bare),
            persons="nonspeaker" in bare,
            parties="party-silent" in bare,
            personality=f"drop-{PERSONALITY}" in bare,
            varying=any(n.startswith(("mnar-long-", "mnar-short-")) for n in bare),
        )


EVERYTHING = Traits(units=True, persons=True, parties=True, personality=True)
"""Those of data of which nothing is known: it may have every protocol."""


@dataclass(frozen=True, eq=False)
class MaskRequest:
    """The facts of one split that dropout protocols depend on. N samples, M modalities.

    Attributes:
        split: name of the split; part of the hash.
        ids: N unique sample ids; part of the hash.
        modalities: M modality keys in the data set's order (the order of all columns here).
        natural: bool [N, M], natural availability A.
        lengths: int [N, M], number of valid positions; the l-th valid position is drawn as
            position l, so left- and right-padded data agree.
        aligned: position l is the same moment in every modality.
        seed: protocol seed, not the training seed.
        stream_prefix: stands before every stream name; ``epoch:3:`` gives fresh training masks.
        units: per sample the names of its units (``person/segment`` in a grid); None: none.
        unit_natural: per sample bool [U_i, M], availability of each unit; None: as ``natural``.
        unit_per_position: every position is a unit of its own, named by its index (utterances of a
            dialogue). Excludes ``units``.
        parties: per sample the party (speaker, person) of each unit; None: unknown.
        targets: per sample the party that is the target person; None: the data has no persons.
        personality: the data has personality vectors.
        ranks: by statistic (``energy``, ``length``) the rank r of each sample among the n training
            samples that have the modality, int64 [N, M] in 0..2n, and n, int64 [M]
            (`harness.data.ranks`); None: there is nothing to compare with.

    Raises:
        DataFormatError: shapes disagree, or sample ids are not unique.
    """

    split: str
    ids: Sequence[str]
    modalities: Sequence[str]
    natural: BoolArray
    lengths: NDArray[np.int64]
    aligned: bool
    seed: int = 0
    stream_prefix: str = ""
    units: Sequence[Sequence[str]] | None = None
    unit_natural: Sequence[BoolArray] | None = None
    unit_per_position: bool = False
    parties: Sequence[Sequence[str]] | None = None
    targets: Sequence[str] | None = None
    personality: bool = False
    ranks: Mapping[str, Ranks] | None = None

    def __post_init__(self) -> None:
        n, shape = len(self.ids), (len(self.ids), len(self.modalities))
        for name in ("natural", "lengths"):
            found = getattr(self, name).shape
            if found != shape:
                raise DataFormatError(
                    f"split {self.split!r}: mask request has {name} of shape {found}, expected "
                    f"{shape} for {shape[0]} samples and {shape[1]} modalities"
                )
        for name in ("units", "unit_natural", "parties", "targets"):
            value = getattr(self, name)
            if value is not None and len(value) != n:
                raise DataFormatError(
                    f"split {self.split!r}: mask request has {len(value)} {name} for {n} samples"
                )
        if self.units is not None and self.unit_per_position:
            raise DataFormatError("a mask request names units or counts positions, not both")
        if len({clean_field(i) for i in self.ids}) != n:
            raise DataFormatError(
                f"split {self.split!r}: sample ids are not unique (after NFC normalisation); "
                "masks are drawn by id, so every sample needs its own"
            )

    @property
    def traits(self) -> Traits:
        """Return the traits of this data."""
        return Traits(
            keys=tuple(self.modalities),
            aligned=self.aligned,
            units=self.units is not None or self.unit_per_position,
            persons=self.targets is not None and self.parties is not None,
            parties=self.parties is not None,
            personality=self.personality,
            varying=self._varying(),
            ranked=self.ranks is not None,
        )

    def _varying(self) -> bool:
        columns = zip(self.lengths.T, self.natural.T, strict=True)
        return any(len(set(length[there].tolist())) > 1 for length, there in columns)

    def keep_only(self, kept: Collection[str]) -> BoolArray:
        """Return the natural availability of the named modalities alone, bool [N, M].

        A sample that has none of them by nature is left with nothing: a protocol drops modalities
        and adds none.
        """
        columns = np.array([m in kept for m in self.modalities], dtype=np.bool_)
        left: BoolArray = self.natural & columns
        return left

    def unit_names(self) -> list[list[str]]:
        """Return the unit names of each sample.

        Raises:
            DataFormatError: parties or unit availability do not fit the number of units.
        """
        if self.units is not None:
            names = [list(u) for u in self.units]
        else:
            counts = self.lengths.max(axis=1, initial=0)
            names = [[str(i) for i in range(int(c))] for c in counts]
        for name in ("parties", "unit_natural"):
            value = getattr(self, name)
            if value is None:
                continue
            for i, (given, own) in enumerate(zip(value, names, strict=True)):
                if len(given) != len(own):
                    raise DataFormatError(
                        f"split {self.split!r}, sample {self.ids[i]!r}: {len(given)} {name} for "
                        f"{len(own)} units"
                    )
        return names

    def availability_of_units(self, names: Sequence[Sequence[str]]) -> list[BoolArray]:
        """Return per sample bool [U_i, M]: which modality is there in which unit."""
        if self.unit_natural is not None:
            given = zip(self.unit_natural, self.natural, strict=True)
            return [np.asarray(u, dtype=np.bool_) & a for u, a in given]
        if self.unit_per_position:
            return [
                (np.arange(len(u))[:, None] < self.lengths[i]) & self.natural[i]
                for i, u in enumerate(names)
            ]
        return [np.repeat(self.natural[i][None], len(u), axis=0) for i, u in enumerate(names)]


@dataclass(frozen=True, eq=False)
class SplitMasks:
    """The masks of a dropout protocol for one split; rows and columns as in the request.

    Attributes:
        keep: bool [N, M], effective availability A' = A and K. With units: true where the modality
            is left in any unit. May be all false for a sample, but only for natural reasons
            (``only-v`` where v was never there).
        frames: per modality key, N arrays bool [lengths[i, m]]: the valid positions that stay; or
            None: all of them.
        noise: how to disturb what is left, or None.
        eta_hat: realised missing rate, 1 - sum(A')/sum(A), counted in the protocol's own unit:
            samples, or units, or valid positions.
        digest: SHA-256 in hexadecimal over ids and masks in canonical order.
        unit_keep: per sample bool [U_i, M], effective availability of each unit; or None: as
            ``keep`` in every unit.
        personality: false: personality is zeroed.
        rank_digest: SHA-256 of the ranks that the masks follow; empty: they follow none.
        informative: what is missing says something of the features that are: a posterior of what
            is left alone is not the best there is.
    """

    keep: BoolArray
    frames: dict[str, list[BoolArray]] | None
    noise: NoisePlan | None
    eta_hat: float
    digest: str
    unit_keep: list[BoolArray] | None = None
    personality: bool = True
    rank_digest: str = ""
    informative: bool = False

    @property
    def whole(self) -> bool:
        """Return whether each modality of a sample is wholly there or wholly missing."""
        parts = self.frames, self.noise, self.unit_keep
        return self.personality and all(part is None for part in parts)

    @property
    def facts(self) -> dict[str, Any]:
        """Return what a record says of the masks that a split was scored under."""
        found = {"eta_hat": self.eta_hat, "digest": self.digest, "seed": 0}
        return found | ({"rank_digest": self.rank_digest} if self.rank_digest else {})


def missing_rate(left: float, total: float) -> float:
    """Return 1 - left/total; 0 where total is 0."""
    return 1.0 - left / total if total else 0.0


def mask_digest(
    request: MaskRequest,
    keep: BoolArray,
    frames: dict[str, list[BoolArray]] | None,
    unit_keep: list[BoolArray] | None,
) -> str:
    """Return the SHA-256 over, in sorted order of ids, id, 0x00, packed bits of K and of F.

    K is taken unit by unit in canonical order of modalities (zero where nothing was available),
    F modality by modality, each starting on a byte. Neither the order of the samples nor that of
    the modalities matters.
    """
    order = canonical_order(request.modalities)
    keys = [request.modalities[j] for j in order]
    ids = [clean_field(i) for i in request.ids]
    state = sha256()
    for i in sorted(range(len(ids)), key=ids.__getitem__):
        state.update(ids[i].encode() + b"\x00")
        bits = keep[i][order] if unit_keep is None else unit_keep[i][:, order]
        state.update(np.packbits(bits.ravel()).tobytes())
        if frames is not None:
            for key in keys:
                state.update(np.packbits(frames[key][i]).tobytes())
    return state.hexdigest()


def rank_digest(request: MaskRequest, ranks: Ranks) -> str:
    """Return the SHA-256 over, in sorted order of ids, id, 0x00 and r, then n.

    Integers are int64, little-endian, in canonical order of modalities.
    """
    order = canonical_order(request.modalities)
    ids, (r, n) = [clean_field(i) for i in request.ids], ranks
    state = sha256()
    for i in sorted(range(len(ids)), key=ids.__getitem__):
        state.update(ids[i].encode() + b"\x00" + r[i][order].astype("<i8").tobytes())
    state.update(n[order].astype("<i8").tobytes())
    return state.hexdigest()
