"""The contract of a corpus plugin: from the authors' files to samples in memory, split by split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.protocols.dropout import SplitMasks
from harness.protocols.thresholds import apply, best_expected
from harness.specs import DatasetSpec


@dataclass(frozen=True)
class SplitArrays:
    """One split as read from the authors' files, validated and cleaned.

    Attributes:
        name: split name.
        ids: N unique, stable sample ids.
        groups: N group names (video, dialogue, clip).
        labels: uint8 [N, L] in {0, 1}.
        features: per modality, N arrays float32 [T_i, d]; T_i >= 0 is the number of stored rows
            (0: the modality is missing). Padding of the authors' file is kept where lengths are
            not recorded.
        lengths: per modality, int64 [N] true lengths where the authors record them; a modality
            that is absent here has none.
        cleaned: counts of what was repaired (for example ``{"audio:-inf": 12}``).
        extras: per-sample columns of strings or numbers that a corpus wants stored.
        personality: float32 [N, d_p], the person's traits, zero where unknown; None: no persons.
        personality_known: bool [N], whose traits are known; None: everybody's.
        facts: further counts for `data stats` (for example overlap of splits).
    """

    name: str
    ids: Sequence[str]
    groups: Sequence[str]
    labels: NDArray[np.uint8]
    features: Mapping[str, Sequence[NDArray[np.float32]]]
    lengths: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    cleaned: Mapping[str, int] = field(default_factory=dict)
    extras: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    personality: NDArray[np.float32] | None = None
    personality_known: NDArray[np.bool_] | None = None
    facts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class GridArrays:
    """One split of persons x segments as read from the authors' files, validated.

    Rows of features are shared: samples of one clip, also of different splits, point to the same.

    Attributes:
        name: split name.
        ids: N unique, stable sample ids.
        groups: N group names (clip).
        labels: uint8 [N, L] in {0, 1}; one-hot for single-label data.
        rows: per modality, float32 [K_m, d_m], the row table; the same object in every split.
        index: per modality, N arrays int64 [P_i, R_i], the row of each cell, -1 where missing.
        characters: N arrays int64 [P_i], character ids.
        personality: float32 [C, d_p], one row per character id; the same object in every split.
        target_person: int64 [N]. target_segment: int64 [N]: the target cell; the last person and
            the last segment where there is none.
        has_target: bool [N], false where no segment holds the target moment.
        cleaned: counts of what was repaired.
        extras: per-sample columns of strings or numbers that a corpus wants stored.
        facts: further counts for `data stats` (overlap of splits, samples without target cell).
    """

    name: str
    ids: Sequence[str]
    groups: Sequence[str]
    labels: NDArray[np.uint8]
    rows: Mapping[str, NDArray[np.float32]]
    index: Mapping[str, Sequence[NDArray[np.int64]]]
    characters: Sequence[NDArray[np.int64]]
    personality: NDArray[np.float32]
    target_person: NDArray[np.int64]
    target_segment: NDArray[np.int64]
    has_target: NDArray[np.bool_]
    cleaned: Mapping[str, int] = field(default_factory=dict)
    extras: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    facts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Answers:
    """What an observer that knows how data was generated says of N samples.

    Attributes:
        scores: p(label | what it sees), float64 [N, L] in [0, 1].
        threshold: a label is decided where its score is strictly above: for the best micro-F1.
            None with one label a sample, where the highest score decides.
        decided: by metric its own best decisions, uint8 [N, L]; a metric of decisions that is
            not here has none that are known.
    """

    scores: NDArray[np.float64]
    threshold: float | None = None
    decided: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)

    @classmethod
    def of_posterior(cls, scores: NDArray[np.float64], single: bool = False) -> Answers:
        """Return the decisions that are best in expectation where scores are an exact posterior.

        Args:
            scores: float64 [N, L].
            single: one label a sample.
        """
        if single:
            return cls(scores)
        each = [apply(column, best_expected(column)) for column in scores.T]
        decided = {"macro_f1": np.stack(each, axis=1), "hamming": apply(scores, 0.5)}
        return cls(scores, best_expected(scores), decided)


class Corpus(ABC):
    """A reader of one data set's files. ``spec`` says which (several specs may share a class).

    Class attributes:
        reader_version: raised when the reader would give other arrays for the same files; stores
            made by an older one are made again.
        published_counts: samples per split as published, for ``data verify``; empty: unknown.
        shared_ids: samples of several splits may have one id, where they are by design about the
            same thing seen from different sides; elsewhere that is an error.
    """

    reader_version: ClassVar[int] = 1
    published_counts: ClassVar[Mapping[str, int]] = MappingProxyType({})
    shared_ids: ClassVar[bool] = False

    def __init__(self, spec: DatasetSpec) -> None:
        self.spec = spec

    def paths(self, root: Path) -> list[Path]:
        """Return where each file of the spec lies: the first of its places that exists."""
        places = [[root / place for place in (f.path, *f.also)] for f in self.spec.files]
        return [next((p for p in own if p.is_file()), own[0]) for own in places]

    def missing(self, root: Path) -> list[Path]:
        """Return the expected files that are not under ``root``."""
        return [path for path in self.paths(root) if not path.is_file()]

    def source_files(self, root: Path) -> list[Path]:
        """Return the files that `read` would read; all of them exist if `missing` is empty."""
        return self.paths(root)

    def twin_version(self) -> int:
        """Return the version of the generator; stores of an older twin are made again."""
        return 1

    @abstractmethod
    def read(
        self, root: Path, *, repair: bool = False
    ) -> Iterator[SplitArrays] | Iterator[GridArrays]:
        """Read, validate and yield each split, training first (grids: `GridArrays`).

        What the authors' own loaders repair (-inf in MOSEI's audio) is always repaired and
        counted. NaN and other infinities are refused, or with ``repair`` set to 0 and counted.

        Raises:
            DataMissingError: a file is not there.
            DataFormatError: a file is not as documented (names file, key, expected, found).
        """

    def write_twin(self, root: Path, seed: int, size: str) -> None:
        """Write generated files in the authors' format.

        What they hold depends on the arguments alone: on no machine, kernel of linear algebra or
        number of threads. A store's content hash would else differ between two users.

        Args:
            root: folder to write to.
            seed: seed of the generator.
            size: ``default`` or ``full``.
        """
        raise TypeError(f"{self.spec.name} has no twin")

    def has_ceiling(self, masks: SplitMasks) -> bool:
        """Return whether `ceiling_scores` knows the posterior under these dropout masks.

        By default not under noise, nor where features decide what is missing, nor where single
        units of a sequence are dropped; of a grid any cells may be missing.
        """
        known = masks.noise is None and not masks.informative
        return known and (masks.unit_keep is None or self.spec.cells)

    def ceiling_scores(self, split: Any, keep: Any, seed: int) -> NDArray[np.float64]:
        """Return the exact posterior p(label | what is left of the input), float64 [N, L].

        Twins only.

        Args:
            split: a `harness.data.layouts.stored.StoredSplit` of the twin.
            keep: `harness.protocols.dropout.SplitMasks` of a dropout protocol.
            seed: seed that the twin was generated with.
        """
        raise TypeError(f"{self.spec.name} has no twin, hence no known ceiling")

    def observers(self) -> tuple[str, ...]:
        """Return the names of the observers that generated data has beside its exact posterior.

        An observer knows how the data was generated and lacks one thing; on boards it says what
        that is worth. Names may stand in names of files. By default there are none.
        """
        return ()

    def observed(self, split: Any, observer: str, seed: int) -> NDArray[np.float64]:
        """Return what an observer believes of complete data, float64 [N, L] in [0, 1].

        Args:
            split: a `harness.data.layouts.stored.StoredSplit` of generated data.
            observer: one of `observers`.
            seed: seed that the data was generated with.
        """
        raise TypeError(f"{self.spec.name} has no observer {observer!r}")

    def answers(
        self, split: Any, masks: SplitMasks, seed: int, observer: str | None = None
    ) -> Answers:
        """Return the scores of the exact posterior, or of an observer, with the best decisions.

        By default the decisions follow from the scores, taken as probabilities
        (`Answers.of_posterior`).

        Args:
            split: a stored split of generated data.
            masks: of a dropout protocol; of complete data for an observer.
            seed: seed that the data was generated with.
            observer: one of `observers`; None: the exact posterior.
        """
        if observer is None:
            scores = self.ceiling_scores(split, masks, seed)
        else:
            scores = self.observed(split, observer, seed)
        return Answers.of_posterior(scores, self.spec.label_kind == "singlelabel")

    def planted_dependence(self) -> NDArray[np.float64] | None:
        """Return how strongly each label shows in each modality, float64 [L, M], where it is known.

        Labels and modalities in the spec's order; only the ranks mean anything. None: unknown, as
        of real data.
        """
        return None
