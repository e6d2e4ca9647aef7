"""Frozen descriptions of models, data sets, protocols and board formats. No torch in here.

Plugins hand these over at start-up; the code they name (``"module:attribute"``) is imported only
when it is used, so that listing a hundred models costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import PluginError

if TYPE_CHECKING:
    from harness.protocols.dropout import Traits
    from harness.protocols.metrics import Scored

LabelKind = Literal["multilabel", "singlelabel"]
Layout = Literal["sequence", "grid"]
Source = Literal["real", "twin"]
MaskOption = Literal["ones", "nonzero", "length"]
Role = Literal["model", "trivial"]
CompatSelect = Literal["val_f1_later", "val_acc_first", "last", "per_metric_val"]
PositionUnit = Literal["frame", "utterance"]
GridContext = Literal["row", "clip"]
Sampler = Literal["shuffle", "class-balanced"]

PERSONALITY = "p"
"""What the dropout protocol ``drop-p`` drops; no modality may have this key."""
MASK_OPTIONS: tuple[MaskOption, ...] = ("ones", "nonzero", "length")


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


@dataclass(frozen=True)
class Paper:
    """Where a model was published."""

    title: str
    authors: str
    venue: str
    year: int
    url: str = ""


@dataclass(frozen=True)
class CompatSpec:
    """How the authors' own code evaluates a model, where it is not as the protocol here.

    ``select``: ``val_f1_later`` (best validation micro-F1, ties to the later epoch),
    ``val_acc_first`` (best validation Jaccard, ties to the first), ``last`` (the last epoch) or
    ``per_metric_val`` (each metric from the epoch that is best in it on validation). ``swap_pr``
    prints precision and recall exchanged. ``val_drop_last`` and ``test_drop_last`` are batch sizes
    of shuffled loaders that drop the last incomplete batch; 0: every sample. ``acc_round`` is the
    number of decimals of the Jaccard. ``exchange`` holds ``(data set, modality, modality)``:
    names that the authors' conversion of a data set mixes up.
    """

    select: CompatSelect = "val_f1_later"
    swap_pr: bool = False
    val_drop_last: int = 0
    test_drop_last: int = 0
    acc_round: int = 4
    exchange: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class AblationSpec:
    """One named switch that removes a part of a model: what its config field ``ablate`` takes.

    ``removes`` says what is gone. ``needs_personality``: only data with personality has it.
    ``keys``: only data with exactly these modality keys has it (empty: any).
    """

    name: str
    removes: str
    needs_personality: bool = False
    keys: tuple[str, ...] = ()

    def misfit(self, dataset: DatasetSpec) -> str:
        """Return why the switch means nothing on a data set; empty: it can be run."""
        if self.needs_personality and not dataset.personality_dim:
            return "the data has no personality"
        found = [m.key for m in dataset.modalities]
        if self.keys and sorted(self.keys) != sorted(found):
            wanted = ", ".join(self.keys)
            return f"it is about the modalities {wanted}; the data has {', '.join(found)}"
        return ""


@dataclass(frozen=True)
class Variant:
    """A variant of a published model.

    With ``settings`` (values of ``--set``) it is another way to build this model; with ``model``
    it is another registered model; with neither it is what this model itself is.
    """

    name: str
    summary: str
    settings: tuple[str, ...] = ()
    model: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """A model plugin as listed, before any of its code is imported.

    Usually read from the model's card (`harness.plugins.cards.read_card`), one YAML file.
    ``factory`` is ``"module:Class"`` (a `harness.model.ModelPlugin`). ``defaults`` is
    ``"package:file.yaml"`` with the presets: the card, where there is one. ``reported_as`` is the
    row of the published tables this model stands beside; None: never published. ``modalities``
    lists names the model needs (empty: any set of at least ``min_modalities``).
    ``layouts`` starts with the one the model was made for: ``run --model all`` leaves a model made
    for grids out on sequences.
    ``compat`` is the authors' own evaluation, for ``run --compat``; None where none is public.
    ``ablations`` are the names that its config field ``ablate: tuple[str, ...]`` takes, in the
    order of a table; a run with any of them is a row of an ablation table, and of no leaderboard.
    Printed figures of ``<reported_as>-ablation-<data set>`` in ``published.yaml`` (lower case)
    stand beside them, by the same names; ``full`` is the model itself.
    """

    name: str
    factory: str
    summary: str
    defaults: str
    role: Role = "model"
    paper: Paper | None = None
    version: str = "1"
    reported_as: str | None = None
    min_modalities: int = 1
    max_modalities: int | None = None
    modalities: tuple[str, ...] = ()
    label_kinds: tuple[LabelKind, ...] = ("multilabel", "singlelabel")
    layouts: tuple[Layout, ...] = ("sequence",)
    deviations: tuple[str, ...] = ()
    variants: tuple[Variant, ...] = ()
    compat: CompatSpec | None = None
    ablations: tuple[AblationSpec, ...] = ()

    @property
    def variant(self) -> str:
        """Return the name of the variant that this model itself is, or an empty string."""
        own = (v.name for v in self.variants if not v.settings and not v.model)
        return next(own, "")


# What a model card may state beside the configuration.
CARD_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(ModelSpec) if f.name != "defaults")


@dataclass(frozen=True)
class BoardFormat:
    """A way to write boards, every view of them.

    Attributes:
        name: of the format.
        suffix: of its files, after the name of a view (``.md``); empty: it is never a file.
        render: ``"module:function"``, called with a `harness.boards.grid.View`, returns the text.
        of: ``view``, or ``boards`` for a format with one file of all boards: ``render`` is called
            with the list of `harness.boards.board.Board` and their views by the boards' names,
            ``suffix`` is the name of the file.
    """

    name: str
    suffix: str
    render: str
    of: Literal["view", "boards"] = "view"


@dataclass(frozen=True)
class BoardView:
    """A further view of boards, written by every format.

    ``make`` is ``"module:function"``, called with a `harness.boards.board.Board`; it returns a
    `harness.boards.grid.View`, or None where the board has nothing to show.
    """

    name: str
    make: str


@dataclass(frozen=True, eq=False)
class Metric:
    """A metric, computed from decisions or from scores. N samples, L labels.

    A metric of decisions is a function of sums over samples, so that one definition gives its
    point value, every resample of the bootstrap and every permutation::

        value(*(part.sum(axis=-2) for part in sums(truth, decided)))

    Attributes:
        name: key in records and on the command line.
        heading: its column's heading.
        doc: one line for ``harness list metrics``.
        sums: maps truth and decisions, bool [..., N, L] each, to parts [..., N, K_i]; None for a
            metric of scores.
        value: maps the sums of the parts, [..., K_i] each, to the metric, [...], or [..., L] with
            ``per_label``; a zero denominator gives 0 (`harness.protocols.metrics.ratio`).
        from_scores: maps `harness.protocols.metrics.Scored` to a float, or with ``per_label`` to L
            floats, None where undefined; None for a metric of decisions.
        lower_is_better: true for losses.
        label_kinds: kinds of data sets whose records hold it.
        columns: its place among the columns of a board, by kind of labels; without a kind the
            boards of such data have no column of it.
        per_label: one value a label, kept under ``per_label`` of a record.

    Raises:
        PluginError: neither ``sums`` with ``value`` nor ``from_scores`` is given, or both are.
    """

    name: str
    heading: str
    doc: str
    sums: Callable[[Any, Any], tuple[Any, ...]] | None = None
    value: Callable[..., Any] | None = None
    from_scores: Callable[[Scored], Any] | None = None
    lower_is_better: bool = False
    label_kinds: tuple[LabelKind, ...] = ("multilabel", "singlelabel")
    columns: Mapping[LabelKind, int] = field(default_factory=dict)
    per_label: bool = False

    def __post_init__(self) -> None:
        decisions = self.sums is not None and self.value is not None
        if decisions == (self.from_scores is not None) or (self.sums is None) != (
            self.value is None
        ):
            raise PluginError(f"metric {self.name!r}: give either sums and value, or from_scores")


@dataclass(frozen=True, eq=False)
class Suite:
    """A named list of dropout protocols.

    ``members`` maps a data set's `harness.protocols.dropout.Traits` to the names of the protocols
    beside ``full``, without version, in order; those that the data cannot have are left out.
    """

    name: str
    members: Callable[[Traits], Sequence[str]]
    doc: str = ""


def bounded(
    default: float,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> Any:
    """Return a dataclass field of a configuration whose values must lie in a range.

    The harness refuses others with the key's name before anything is built.

    Args:
        default: the field's default.
        least: smallest value. above: lower bound, exclusive.
        most: largest value. below: upper bound, exclusive.

    Example:
        >>> @dataclass(frozen=True)
        ... class Config:
        ...     dropout: float = bounded(0.1, least=0, below=1)
    """
    given = {"least": least, "above": above, "most": most, "below": below}
    return field(default=default, metadata={k: v for k, v in given.items() if v is not None})


@dataclass(frozen=True)
class TrainingConfig:
    """The recipe of the harness's one training loop; every field can be set per model and run.

    ``optimizer`` is one of ``adamw``, ``adam``, ``bertadam``, ``sgd``. ``clip_norm`` and
    ``clip_value`` are off at 0. ``warmup`` is the share of all steps (BertAdam). ``patience`` in
    epochs without improvement ends a run early; 0 never does. ``sampler`` is ``shuffle`` or
    ``class-balanced`` (with replacement, weight 1/class count; single-label data).
    """

    epochs: int = bounded(20, least=1)
    batch_size: int = bounded(64, least=1)
    eval_batch_size: int = bounded(64, least=1)
    optimizer: Literal["adamw", "adam", "bertadam", "sgd"] = "adamw"
    lr: float = bounded(1e-3, least=0)
    weight_decay: float = bounded(0.0, least=0)
    momentum: float = bounded(0.0, least=0)
    amsgrad: bool = False
    warmup: float = bounded(0.1, least=0, below=1)
    clip_norm: float = bounded(0.0, least=0)
    clip_value: float = bounded(0.0, least=0)
    drop_last: bool = True
    patience: int = bounded(0, least=0)
    lr_step_epochs: int = bounded(0, least=0)
    lr_step_gamma: float = bounded(1.0, least=0)
    sampler: Sampler = "shuffle"
    train_dropout: str = "full@1"


@dataclass(frozen=True)
class TaskInfo:
    """What a model is built for: the data set's spec as far as a network needs it.

    A checkpoint stores it, so that a model can be rebuilt without its data set. ``layout`` is the
    layout the model is given: ``grid`` only where both the data and the model have it, for a grid
    has a sequence view.
    """

    dataset: str
    modalities: tuple[ModalitySpec, ...]
    labels: tuple[str, ...]
    label_kind: LabelKind = "multilabel"
    layout: Layout = "sequence"
    aligned: bool = True
    personality_dim: int = 0
    threshold: float = 0.5
    extras: dict[str, str] = field(default_factory=dict)

    @property
    def num_labels(self) -> int:
        """Return L, the number of labels."""
        return len(self.labels)

    @property
    def cells(self) -> bool:
        """Return whether the model is given cells of persons x segments (`Batch.grid`)."""
        return LAYOUTS[self.layout].cells

    @classmethod
    def of(
        cls, spec: DatasetSpec, threshold: float, layouts: tuple[Layout, ...] = ("sequence",)
    ) -> TaskInfo:
        """Return the task of a data set at a declared decision threshold.

        ``layouts`` are those the model takes (`ModelSpec.layouts`).
        """
        return cls(
            dataset=spec.name,
            modalities=spec.modalities,
            labels=spec.labels,
            label_kind=spec.label_kind,
            layout=next((view for view in spec.layouts if view in layouts), spec.layout),
            aligned=spec.aligned,
            personality_dim=spec.personality_dim,
            threshold=threshold,
        )
