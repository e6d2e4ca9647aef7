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

NOT_STATED = "not stated"


@dataclass(frozen=True)
class ModalitySpec:
    """One input stream of a data set.

    ``key`` is the short name used by dropout protocols (``only-v``) and by the hash scheme;
    ``max_length`` is the padded length in frames under the mask option ``ones``. ``extractor`` says
    what computed the features and where that comes from, ``trained_on`` which labels the extractor
    had seen: features that saw the labels of the training split overstate what a model learns.
    """

    name: str
    key: str
    dim: int
    max_length: int
    extractor: str = ""
    trained_on: str = ""


@dataclass(frozen=True)
class SourceFile:
    """A file of the authors that a corpus reads, relative to ``HARNESS_DATA``.

    ``also`` are other places where it may lie; ``size`` in bytes (0: not known) and ``sha256``
    (empty: not known) are those of the file that the harness was checked on.
    """

    path: str
    description: str
    also: tuple[str, ...] = ()
    size: int = 0
    sha256: str = ""


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

    Where the data comes from: ``origin`` (who gives the files out, and which version the harness
    was checked on), ``labelling`` (how a label came about and by whom), ``label_order`` (what
    states the order of the label columns), ``published_marginals`` (share of each label as
    published; empty: nobody published them). What is not known is said in words, never left out.
    ``redistribute`` says whether ids, truth and scores of single samples may be passed on: no,
    until somebody says so; without it an exported record holds sums over numbered clusters only.
    ``superseded`` says why a newer version took the bare name. ``preset`` is what models are run
    with where none is asked for: the authors' hyper-parameters (``paper``), or on small data
    ``tuned``; twins have ``tuned``.
    ``conclusion`` says, without a full stop, what may be concluded from figures on real data;
    empty: what holds for every data set.
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
    origin: str = ""
    labelling: str = ""
    label_order: str = ""
    published_marginals: tuple[float, ...] = ()
    redistribute: bool = False
    superseded: str = ""
    preset: str = "paper"
    conclusion: str = ""

    @property
    def default_preset(self) -> str:
        """Return the preset that models are run with where none is asked for."""
        return "tuned" if self.source == "twin" else self.preset

    @property
    def id(self) -> str:
        """Return the protocol id ``name@version``."""
        return self.name if "@" in self.name else f"{self.name}@{self.version}"

    def provenance(self) -> dict[str, object]:
        """Return where the data comes from, by heading; a plugin's author may have left some out.

        ``features`` says for each modality what computed it and which labels that had seen.
        """
        shares = zip(self.labels, self.published_marginals, strict=False)
        found: dict[str, object] = {
            "origin": self.origin,
            "labelling": self.labelling,
            "label order": self.label_order,
            "published label shares": {name: f"{share:.3f}" for name, share in shares},
            "features": {
                m.name: f"{m.extractor}; trained on: {m.trained_on or NOT_STATED}"
                for m in self.modalities
                if m.extractor
            },
            "licence": self.licence,
            "redistribute": "yes" if self.redistribute else "no: exports hold sums only",
            "superseded": self.superseded,
        }
        needed = ("origin", "labelling", "label order", "features", "licence")
        found |= {key: NOT_STATED for key in needed if not found[key]}
        return {key: value for key, value in found.items() if value}

    def sentences(self) -> tuple[str, str, str]:
        """Return what the data is, what its labels are and what may be concluded, a sentence each.

        Boards begin with them.
        """
        names = ", ".join(self.labels)
        labels = f"Labels: {names}; {self.labelling or 'how they came about is not stated'}."
        what = self.summary or self.name
        if self.source != "twin":
            found = self.conclusion or (
                "a difference between two rows that share no letter holds for this data, its split "
                "and its protocol"
            )
            return f"Real data: {what}.", labels, f"What follows: {found}."
        if self.name == self.base_name:
            data = f"Generated data, a twin of no real data set: {what}."
            about = "nothing about emotions"
        else:
            data = f"Generated data: a twin of `{self.base_name}` ({what}); no sample is real."
            about = f"nothing about emotions and nothing about the real `{self.base_name}`"
        follows = (
            "What follows: how far models get from the best constant to the ceiling of what was "
            f"planted; {about}."
        )
        return data, labels, follows

    @property
    def base_name(self) -> str:
        """Return the name without ``-twin`` and version: what defaults are keyed by."""
        return self.name.partition("@")[0].removesuffix("-twin")

    @property
    def recipe_name(self) -> str:
        """Return the name that a model's settings for single data sets are looked up by."""
        return self.base_name

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
