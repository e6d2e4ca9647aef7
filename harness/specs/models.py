"""Models as their cards describe them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from harness.specs.data import DatasetSpec
from harness.specs.kinds import CompatSelect, LabelKind, Layout, Role


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


CHECK_WARNINGS: Mapping[str, tuple[str, ...]] = {
    "parameters": (
        "in no optimiser", "in more than one optimiser", "no gradient in the first epoch",
    ),
    "padding": ("masked positions",),
}  # fmt: skip
"""What a warning of a run says, by the check of `harness check` that then fails."""


@dataclass(frozen=True)
class ExpectedFailure:
    """A check of `harness check` that a model is known to fail, and why that is right."""

    check: str
    reason: str


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
    ``not_compiled`` says why ``run --compile`` refuses the model on a CPU; empty: it is compiled.
    ``made_for_missing``: its paper is about missing modalities; boards and figures say so.
    ``hides_modalities``: it hides modalities itself in training, so that it has seen incomplete
    samples whatever it was trained under (`harness.boards.tracks`).
    ``expected_failed_checks`` names checks of ``harness check`` that it fails for a good reason.
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
    not_compiled: str = ""
    made_for_missing: bool = False
    hides_modalities: bool = False
    expected_failed_checks: tuple[ExpectedFailure, ...] = ()

    def announces(self, warning: str) -> bool:
        """Return whether a warning of a run is of a check that the card expects to fail."""
        checks = (e.check for e in self.expected_failed_checks)
        return any(mark in warning for check in checks for mark in CHECK_WARNINGS.get(check, ()))

    @property
    def variant(self) -> str:
        """Return the name of the variant that this model itself is, or an empty string."""
        own = (v.name for v in self.variants if not v.settings and not v.model)
        return next(own, "")


# What a model card may state beside the configuration.
CARD_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(ModelSpec) if f.name != "defaults")
SEARCH = "search"
"""Key of a card: what `harness tune` found, by layout."""
