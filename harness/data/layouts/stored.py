"""`StoredSplit`: the interface of a split of a store, independent of the layout of samples."""

from __future__ import annotations

import mmap
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness import paths
from harness.data.content import SplitHasher
from harness.data.ranks import SplitRanks, SplitStatistics, mean_squares
from harness.errors import DataFormatError, StorageError
from harness.protocols.dropout import MaskRequest
from harness.specs import DatasetSpec, Layout, MaskOption, ModalitySpec

if TYPE_CHECKING:
    from harness.data.layouts.writer import SplitWriter
    from harness.data.loader import BatchLoader
    from harness.protocols.dropout.request import Ranks

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Stream:
    """A modality of a sequence, for display.

    Attributes:
        name: modality name. present: whether the sample has it.
        stored: number of stored rows. valid: number of valid positions.
    """

    name: str
    present: bool
    stored: int
    valid: int


@dataclass(frozen=True)
class Person:
    """A person of a clip, for display: a row of its grid.

    Attributes:
        character: character id. target: whether this is the target person.
        personality: whether the personality is known.
        cells: per segment, which modalities are there, in their order.
    """

    character: int
    target: bool
    personality: bool
    cells: tuple[tuple[bool, ...], ...]


@dataclass(frozen=True)
class Shown:
    """One sample, for display: the streams of a sequence, or persons x segments.

    Attributes:
        streams: of a sequence; empty for grids.
        persons: of a grid; empty for sequences. segments: number of its segments.
        segment: index of the target segment; None where no segment holds the target moment.
    """

    streams: tuple[Stream, ...] = ()
    persons: tuple[Person, ...] = ()
    segments: int = 0
    segment: int | None = None


@dataclass(frozen=True)
class StoredColumn:
    """A column of the files of a store, for whoever describes or reads them elsewhere.

    Attributes:
        name: of the column. kind: Arrow type of its values.
        shape: of an array in one row, row-major, -1 where rows differ; empty: a single value.
        told: what it is, as a clause.
        modality: name of the modality that it is about; empty: none.
        table: name of the row table that it is in (``rows.<table>.arrow``); empty: the split's own
            file.
    """

    name: str
    kind: str
    told: str
    shape: tuple[int, ...] = ()
    modality: str = ""
    table: str = ""


class StoredSplit(ABC):
    """One memory-mapped split of a store. N samples, M modalities, L labels.

    Attributes:
        name: split name. path: its Arrow stream. spec: the data set.
        ids: N sample ids. groups: N group names.
        valid_lengths: int64 [N, M], number of valid positions, which is what dropout protocols
            count; independent of the mask option.
        true_lengths: the lengths that the authors record, int64 [N], of the modalities that have
            them.
        natural: bool [N, M], natural availability: whether dropout protocols find the modality in
            the sample.
        available: bool [N, M], natural availability in what a model without grids is given.
        longest: int64 [M], largest number of positions that such a model is given.
        row_tables: files of rows that samples share, by modality; empty where samples own theirs.
        feature_sd: per modality name float64 [d], deviation over the valid positions of the
            training split (for noise protocols).
    """

    valid_lengths: IntArray
    natural: BoolArray
    available: BoolArray
    longest: IntArray
    true_lengths: Mapping[str, IntArray] = MappingProxyType({})
    row_tables: Mapping[str, Path] = MappingProxyType({})

    training: Callable[[], StoredSplit] | None = None
    """Opens the training split of the same store; None: there is none to compare with."""

    def __init__(
        self, name: str, path: Path, spec: DatasetSpec, sd: Mapping[str, Sequence[float]]
    ) -> None:
        self.name, self.path, self.spec = name, path, spec
        self.feature_sd = {m: np.asarray(v, dtype=np.float64) for m, v in sd.items()}
        self._table, self._mapped = open_table(path)
        self.ids: list[str] = self._table["id"].to_pylist()
        self.groups: list[str] = self._table["group"].to_pylist()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def modalities(self) -> tuple[ModalitySpec, ...]:
        """Return the modalities, in the order of every column here."""
        return self.spec.modalities

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """Return the labels, uint8 [N, L]."""
        return self._flat("labels").astype(np.uint8).reshape(len(self), len(self.spec.labels))

    @cached_property
    def extras(self) -> dict[str, list[Any]]:
        """Return the corpus's further columns, N values each."""
        names = [c for c in self._table.column_names if c.startswith("extra:")]
        return {c.removeprefix("extra:"): self._table[c].to_pylist() for c in names}

    @property
    def slices(self) -> dict[str, BoolArray]:
        """Return the parts of the split that are scored on their own by name, bool [N] each."""
        return {}

    @classmethod
    def described(cls, spec: DatasetSpec) -> list[StoredColumn]:
        """Return the columns that every store of a data set has.

        Beside them a store may hold ``length:<modality>`` and ``extra:<name>`` of its corpus.
        """
        labels = "1 where the label holds, in the order of the data set's labels"
        return [
            StoredColumn("id", "string", "name of the sample"),
            StoredColumn("group", "string", f"{spec.group_key} that the sample is of"),
            StoredColumn("labels", "int8", labels, (len(spec.labels),)),
            *cls._described(spec),
        ]

    @classmethod
    @abstractmethod
    def _described(cls, spec: DatasetSpec) -> list[StoredColumn]:
        """Return the columns that this layout has beside those of all."""

    @classmethod
    @abstractmethod
    def writer(cls, folder: Path, spec: DatasetSpec) -> SplitWriter[Any]:
        """Return the writer of splits of this layout into a folder."""

    @abstractmethod
    def loader(self, *, layout: Layout = "sequence", **options: Any) -> BatchLoader:
        """Return the split's batches.

        Args:
            layout: what the model takes, one of ``spec.layouts``.
            options: those of `harness.data.loader.BatchLoader`.
        """

    def separable(self, layout: Layout) -> bool:
        """Return whether dropping a modality leaves the batch's others exactly as they are.

        Args:
            layout: what the model takes.
        """
        return True

    def ends(self, mask_option: MaskOption, layout: Layout) -> IntArray | None:
        """Return how many positions each sample needs in a batch, int64 [N, M], at least 1.

        Later ones are never attended to under the mask option. None: a batch has no positions.

        Args:
            mask_option: one of those of the data set.
            layout: what the model takes.
        """
        return None

    def mask_request(self) -> MaskRequest:
        """Return the split as dropout protocols see it.

        Raises:
            DataFormatError: a sample has fewer parties than utterances.
        """
        return MaskRequest(
            split=self.name,
            ids=self.ids,
            modalities=tuple(m.key for m in self.modalities),
            natural=self.natural,
            lengths=self.valid_lengths,
            personality=self.spec.personality_dim > 0,
            ranks=self.ranks,
            **self._units(),
        )

    @cached_property
    def ranks(self) -> Mapping[str, Ranks] | None:
        """Return the ranks of samples among those of the training split (`harness.data.ranks`)."""
        return None if self.training is None else SplitRanks(self, self.training())

    @cached_property
    def statistics(self) -> Mapping[str, IntArray]:
        """Return what samples are ranked by, int64 [N, M] each."""
        return SplitStatistics(self, self if self.training is None else self.training())

    @cached_property
    def mean_squares(self) -> list[IntArray]:
        """Return the mean square of each feature, int64 [d] per modality, in steps of 1/1024."""
        return mean_squares(self)

    @abstractmethod
    def valid_positions(self, column: int) -> tuple[IntArray, IntArray]:
        """Return which rows of a modality stand at valid positions.

        Args:
            column: of the modality.

        Returns:
            int64 [S], numbers for `rows_at`, sample by sample; int64 [N], how many are of each.
        """

    @abstractmethod
    def rows_at(self, column: int, numbers: IntArray) -> NDArray[np.float32]:
        """Return rows of a modality by their numbers, float32 [len(numbers), d], a copy."""

    @abstractmethod
    def _units(self) -> dict[str, Any]:
        """Return the fields of `MaskRequest` about alignment, units, parties and targets."""

    @abstractmethod
    def unpad(self, modality: str, padded: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the stored positions of padded values [N, ...], flat for each sample."""

    @abstractmethod
    def shown(self, place: int) -> Shown:
        """Return the sample at index ``place`` for display."""

    @abstractmethod
    def digest(self, shared: dict[str, Any]) -> str:
        """Return the content hash of what is stored.

        Args:
            shared: hashes of what the splits of one store share; empty for the first of them.
        """

    def _hasher(self) -> SplitHasher:
        hasher = SplitHasher(self.name, self.ids, self.groups)
        hasher.labels(self.labels)
        return hasher

    def _finished(self, hasher: SplitHasher) -> str:
        hasher.extras(self.extras)
        return hasher.hexdigest()

    def _integers(self, column: str) -> IntArray:
        return values_of(self._table[column].combine_chunks()).astype(np.int64)

    def _flat(self, column: str) -> NDArray[Any]:
        """Return the values of a column of lists."""
        return values_of_lists(self._table[column].combine_chunks())


def values_of(array: Any) -> NDArray[Any]:
    """Return an Arrow array of numbers without nulls as NumPy values that share its memory.

    Arrow's own conversion imports pandas.
    """
    return np.from_dlpack(array)


def values_of_lists(lists: Any) -> NDArray[Any]:
    """Return the values of an Arrow array of lists without nulls, one list after the other.

    Arrow's own ``flatten`` imports its library of functions.
    """
    if isinstance(lists, pa.FixedSizeListArray):
        size = lists.type.list_size
        ends = lists.offset * size, (lists.offset + len(lists)) * size
    else:
        offsets = values_of(lists.offsets)
        ends = int(offsets[0]), int(offsets[-1])
    return values_of(lists.values)[slice(*ends)]


def open_table(path: Path) -> tuple[Any, mmap.mmap]:
    """Return an Arrow stream as a memory-mapped table, and the mapping.

    Raises:
        DataFormatError: it is damaged.
    """
    try:
        with paths.storage_errors(path):
            with path.open("rb") as stream:
                mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            table = pa.ipc.open_stream(pa.py_buffer(mapped)).read_all()
            # Offsets that point elsewhere would be followed, into memory that is not ours.
            table.validate(full=True)
    except (pa.ArrowException, StorageError, ValueError) as error:  # ValueError: an empty file
        if isinstance(error, StorageError) and getattr(error.__cause__, "errno", None):
            raise
        raise DataFormatError(
            f"{path} is damaged ({error}); prepare it again: `harness data prepare "
            f"{path.parent.name} --force`."
        ) from error
    return table, mapped
