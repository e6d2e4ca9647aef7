"""Data sets that are made of others: tested on another corpus, or in folds of whole groups."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace

from harness.errors import UsageError
from harness.specs.data import NOT_STATED, DatasetSpec, ModalitySpec

CROSS = "cross@1"
"""The protocol of training on one data set and testing on another; never edited in place."""
ON = "-on-"
"""What stands between their names in the name of the data set that is made of them."""
FOLDS = "folds@1"
"""The protocol of folds by whole groups; never edited in place."""
TEST = "test"
_FOLDED = re.compile(
    r"(?P<base>.+)-(?:(?P<count>\d+)folds|by-(?P<key>(?:(?!-on-)[^.])+))(?:\.(?P<fold>\d+))?"
)


@dataclass(frozen=True)
class LabelMap:
    """Which labels of one data set mean the same as which of another, for ``--test-on``.

    Without one, labels of the same name are taken to mean the same.

    Attributes:
        source: the data set that is trained on. target: the one that is tested on.
        labels: names of the source's labels to names of the target's, each at most once. Labels
            without a counterpart are left out of training and test.
        why: what says so, a sentence without a full stop; boards print it.
    """

    source: str
    target: str
    labels: Mapping[str, str]
    why: str

    @property
    def name(self) -> str:
        """Return the name of the data set that it makes."""
        return f"{self.source}{ON}{self.target}"


@dataclass(frozen=True)
class DerivedSpec(DatasetSpec):
    """A data set that is made of others when it is prepared.

    Attributes (beyond those of `DatasetSpec`):
        protocol: how it is made, ``cross@1`` or ``folds@1``.
        bases: the data sets it is made of: the one trained on, the one tested on.
        base_labels: for each of them the names of its labels, in the order of ``labels``.
        folds: number of folds, 0: a fold a group. fold: which one, from 1; 0: all of them.
    """

    protocol: str = ""
    bases: tuple[DatasetSpec, ...] = ()
    base_labels: tuple[tuple[str, ...], ...] = ()
    folds: int = 0
    fold: int = 0

    @property
    def whole_name(self) -> str:
        """Return the name without the number of a fold: that of the board."""
        return self.name.removesuffix(f".{self.fold}") if self.fold else self.name

    @property
    def id(self) -> str:
        """Return the protocol id, with those of the data sets it is made of."""
        if self.protocol == FOLDS:
            named = f"{self.folds}folds" if self.folds else f"by-{self.group_key}"
            return f"{self.bases[0].id}-{named}/{self.protocol}"
        return f"{ON.join(base.id for base in self.bases)}/{self.protocol}"

    @property
    def base_name(self) -> str:
        """Return its name without a fold: figures printed for its parts are not about it."""
        return self.whole_name

    @property
    def recipe_name(self) -> str:
        """Return the name of the data set that is trained on."""
        return self.bases[0].recipe_name


def cross_spec(
    source: DatasetSpec, target: DatasetSpec, maps: Iterable[LabelMap] = ()
) -> DerivedSpec:
    """Return the data set with training and validation of one and the test split of another.

    Args:
        source: trained and selected on.
        target: tested on.
        maps: declared maps of labels.

    Raises:
        UsageError: they do not fit; says which is which and why.
    """
    pairs, why = _pairs(source, target, maps)
    reason = _misfit(source, target) or _unmapped(source, target, pairs)
    if reason:
        raise UsageError(f"{source.name} cannot be tested on {target.name}: {reason}.")
    wider = {m.name: m.max_length for m in target.modalities}
    masks = tuple(m for m in source.mask_options if m in target.mask_options)
    left = [n for n in source.labels if n not in pairs]
    left += [f"{target.name}'s {n}" for n in target.labels if n not in pairs.values()]
    told = [f"{s.id}: {s.labelling or NOT_STATED}" for s in (source, target)]
    told += [why, *([f"left out: {', '.join(left)}"] if left else ())]
    licences = {s.id: s.licence or NOT_STATED for s in (source, target)}
    return DerivedSpec(
        name=f"{source.name}{ON}{target.name}",
        corpus="harness.data.derived:CrossCorpus",
        modalities=tuple(_wider(m, wider[m.name]) for m in source.modalities),
        labels=tuple(pairs),
        label_kind=source.label_kind,
        layout=source.layout,
        aligned=source.aligned,
        position_unit=source.position_unit,
        party_column=source.party_column if target.party_column else "",
        personality_dim=source.personality_dim,
        sampler=source.sampler,
        threshold=source.threshold,
        splits=(*(s for s in source.splits if s != TEST), TEST),
        group_key=target.group_key,
        mask_options=masks,
        default_mask=source.default_mask if source.default_mask in masks else masks[0],
        selection_metric=source.selection_metric,
        files=tuple(dict.fromkeys((*source.files, *target.files))),
        summary=f"trained and selected on {source.id}, tested on {target.id}",
        licence="; ".join(f"{name}: {text}" for name, text in licences.items()),
        citation="; ".join(filter(None, (source.citation, target.citation))),
        origin=f"{source.id} and {target.id}; {why}",
        labelling="; ".join(told),
        redistribute=source.redistribute and target.redistribute,
        preset=source.preset,
        conclusion=f"how well models that saw {source.id} alone, their thresholds included, do on "
        f"the test split of {target.id}; nothing about models that were trained on it",
        protocol=CROSS,
        bases=(source, target),
        base_labels=(tuple(pairs), tuple(pairs.values())),
    )


def folded_name(dataset: str, folds: str) -> str:
    """Return the name of a data set in folds, as ``--folds`` asks for it.

    Args:
        dataset: its name.
        folds: a number, or what its groups are (``speaker``): a fold a group.
    """
    return f"{dataset}-{folds}folds" if folds.isdigit() else f"{dataset}-by-{folds}"


def fold_parts(name: str) -> tuple[str, int, str, int] | None:
    """Return data set, number of folds, kind of group and fold of a name; None: it has no folds."""
    found = _FOLDED.fullmatch(name)
    if found is None:
        return None
    return found["base"], int(found["count"] or 0), found["key"] or "", int(found["fold"] or 0)


def fold_spec(base: DatasetSpec, folds: int, key: str = "", fold: int = 0) -> DerivedSpec:
    """Return a data set in folds, or one of them.

    Args:
        base: all of its splits are taken together.
        folds: number of folds; 0: a fold a group.
        key: with 0, what a group is: ``base.group_key``.
        fold: which one, from 1; 0: all.

    Raises:
        UsageError: it cannot be divided so.
    """
    reason = ""
    if isinstance(base, DerivedSpec):
        reason = "it is made of other data sets itself"
    elif base.source == "twin":
        reason = "it is generated: further twins are further samples"
    elif base.cells:
        reason = "it is persons x segments, whose clips its splits share"
    elif base.group_key == "sample":
        reason = "it says nothing of groups: samples of one person would be on two sides"
    elif not folds and key != base.group_key:
        reason = f"its groups are {base.group_key!r}, not {key!r}"
    elif folds == 1 or fold > folds > 0:
        reason = f"there is no fold {fold} of {folds}" if fold else "give at least 2 folds"
    if reason:
        raise UsageError(f"{base.name} cannot be divided into folds: {reason}.")
    own = {f.name: getattr(base, f.name) for f in fields(DatasetSpec)}
    what = f"{folds} folds" if folds else f"a fold a {key}"
    name = folded_name(base.name, str(folds) if folds else key)
    return DerivedSpec(
        **own
        | {
            "name": f"{name}.{fold}" if fold else name,
            "corpus": "harness.data.derived:FoldCorpus",
            "version": 1,
            "splits": ("train", "valid", TEST),
            "has_twin": False,
            "summary": f"{base.summary or base.name}; {what}, each {base.group_key} tested once",
            "superseded": "",
            "conclusion": "a difference between two rows that share no letter holds for these "
            f"samples in these folds; their features may follow from splits that {base.id} had",
        },
        protocol=FOLDS,
        bases=(base,),
        base_labels=(base.labels,),
        folds=folds,
        fold=fold,
    )


def _wider(modality: ModalitySpec, length: int) -> ModalitySpec:
    return replace(modality, max_length=max(modality.max_length, length))


def _pairs(
    source: DatasetSpec, target: DatasetSpec, maps: Iterable[LabelMap]
) -> tuple[dict[str, str], str]:
    """Return the target's label of each of the source's that has one, and what says so."""
    for known in maps:
        if (known.source, known.target) == (source.name, target.name):
            pairs = {n: known.labels[n] for n in source.labels if n in known.labels}
            return pairs, f"{', '.join(f'{a} = {b}' for a, b in pairs.items())} ({known.why})"
    same = {n: n for n in source.labels if n in target.labels}
    return same, "those of the same name are taken to mean the same"


def _misfit(source: DatasetSpec, target: DatasetSpec) -> str:
    """Return why no model of one can be tested on the other, whatever the labels; or nothing."""
    for spec in (source, target):
        if isinstance(spec, DerivedSpec):
            return f"{spec.name} is made of two data sets itself"
        if spec.source == "twin":
            return f"{spec.name} is generated: what was planted in one twin is in no other data"
        if spec.cells:
            return f"{spec.name} is persons x segments, whose rows two data sets cannot share"
    if source.name == target.name:
        return "it is the same data set; leave --test-on out"
    if TEST not in target.splits:
        return f"{target.name} has no test split"
    widths = [{m.name: m.dim for m in s.modalities} for s in (source, target)]
    if widths[0] != widths[1]:
        told = [", ".join(f"{n} {d}" for n, d in sorted(w.items())) for w in widths]
        return f"the modalities and their widths are {told[0]}, and {told[1]}"
    for what in ("label_kind", "aligned", "position_unit", "personality_dim"):
        values = [getattr(s, what) for s in (source, target)]
        if values[0] != values[1]:
            return f"{what} is {values[0]!r}, and {values[1]!r}"
    if not set(source.mask_options) & set(target.mask_options):
        told = [", ".join(s.mask_options) for s in (source, target)]
        return f"they share no mask option ({told[0]}; {told[1]})"
    return ""


def _unmapped(source: DatasetSpec, target: DatasetSpec, pairs: Mapping[str, str]) -> str:
    """Return what is wrong with the labels, or nothing."""
    stray = [n for n in pairs.values() if n not in target.labels]
    if stray:
        return f"the declared map of labels names {stray[0]!r}, which {target.name} has not"
    if len(set(pairs.values())) < len(pairs):
        return "the declared map of labels gives two labels the same counterpart"
    names = f"{', '.join(source.labels)}; {', '.join(target.labels)}"
    advice = "a plugin declares what means the same (harness.LabelMap, harness_label_maps)"
    if not pairs:
        return f"no label has a counterpart ({names}); {advice}"
    if source.label_kind == "singlelabel" and not (
        len(pairs) == len(source.labels) == len(target.labels)
    ):
        return f"with one label a sample each label needs a counterpart ({names}); {advice}"
    return ""
