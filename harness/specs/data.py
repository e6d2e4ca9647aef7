"""Data sets: modalities, labels, splits, source files, layouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.specs.kinds import (
    GridContext,
    LabelKind,
    Layout,
    MaskOption,
    PositionUnit,
    Sampler,
    Source,
)


@dataclass(frozen=True)
class ModalitySpec:
    """One input stream of a data set.

    ``key`` is the short name used by dropout protocols (``only-v``) and by the hash scheme;
    ``max_length`` is the padded length in frames under the mask option ``ones``.
    """

    name: str
    key: str
    dim: int
    max_length: int


@dataclass(frozen=True)
class SourceFile:
    """A file of the authors that a corpus reads, relative to ``HARNESS_DATA``."""

    path: str
    description: str


@dataclass(frozen=True)
class LayoutTraits:
    """What a layout of samples means to models and dropout protocols.

    Attributes:
        views: layouts that a model can be given such samples in, richest first.
        cells: whether samples are cells of persons x segments, with a target among them.
    """

    views: tuple[Layout, ...]
    cells: bool = False


LAYOUTS: Mapping[Layout, LayoutTraits] = MappingProxyType(
    {
        "sequence": LayoutTraits(("sequence",)),
        "grid": LayoutTraits(("grid", "sequence"), cells=True),
    }
)


@dataclass(frozen=True)
class DatasetSpec:
    """What a sample is: modalities, labels, splits, and where the data comes from.

    ``corpus`` names the reader as ``"module:Class"`` (a `harness.data.corpus.Corpus`).
    ``modalities`` are in the data set's order; ``labels`` in class-index order. ``group_key`` says
    what `group` means (video, dialogue, clip): the unit of a cluster bootstrap. ``twin`` is true
    where the corpus can generate a twin; the twin's own spec is this one with ``source="twin"``
    and ``-twin`` appended to the name. ``position_unit`` says what one position of a sequence is:
    utterances are units of their own to dropout protocols (``random-seg``). ``party_column`` names
    the corpus's extra column with one character per utterance, its speaker (empty: unknown).
    ``grid_context`` says what sequence models see of a grid: the target person's ``row``, or the
    whole ``clip`` (where a sample is a clip and asks about nobody in particular).
    ``sampler`` and ``threshold``, where they are set, are part of the data set's protocol: they
    hold for every model, over its presets; only the user's own settings go before them.
    """

    name: str
    corpus: str
    modalities: tuple[ModalitySpec, ...]
    labels: tuple[str, ...]
    label_kind: LabelKind = "multilabel"
    layout: Layout = "sequence"
    version: int = 1
    aligned: bool = True
    position_unit: PositionUnit = "frame"
    party_column: str = ""
    personality_dim: int = 0
    grid_context: GridContext = "row"
    sampler: Sampler | None = None
    threshold: float | None = None
    splits: tuple[str, ...] = ("train", "valid", "test")
    group_key: str = "sample"
    mask_options: tuple[MaskOption, ...] = ("ones",)
    default_mask: MaskOption = "ones"
    selection_metric: str = "micro_f1"
    source: Source = "real"
    has_twin: bool = False
    files: tuple[SourceFile, ...] = ()
    summary: str = ""
    licence: str = ""
    citation: str = ""
    notes: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Return the protocol id ``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def base_name(self) -> str:
        """Return the name without ``-twin``: what defaults and reported figures are keyed by."""
        return self.name.removesuffix("-twin")

    @property
    def modality_names(self) -> tuple[str, ...]:
        """Return the modality names in order."""
        return tuple(m.name for m in self.modalities)

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """Return the layouts that a model can be given the samples in, richest first."""
        return LAYOUTS[self.layout].views

    @property
    def cells(self) -> bool:
        """Return whether samples are cells of persons x segments."""
        return LAYOUTS[self.layout].cells
