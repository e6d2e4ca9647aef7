"""What is wrong with a data set: what no loader notices, and what preparing it refused.

Pairing and order of rows, ids, copies, constants, leaks; `ADVICE` says of each check what is
demanded and how to mend it.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.data.pairing import Rows, fits, natural, shuffled
from harness.errors import DuplicateIdError, NotFiniteError

if TYPE_CHECKING:
    from harness.data.store import Store

BATCH = 512
# A column that tells a label apart so well (area under its curve) gives it away.
GIVEN_AWAY = 0.995
LEAST_WIDTH = 2
# Share of samples from which on equal rows of one view do harm.
MANY = 0.05


SHOWN = 3


@dataclass(frozen=True)
class Advice:
    """What a check demands (``contract``) and how what it found is mended (``remedy``)."""

    contract: str
    remedy: str


ADVICE: Mapping[str, Advice] = MappingProxyType(
    {
        "finite": Advice(
            "Every feature is a finite number; a modality that is not there has no rows.",
            "Leave out the rows, or prepare with --repair, which sets such values to 0.",
        ),
        "ids": Advice(
            "Every sample has an id of its own: masks, groups of copies and predictions go by it.",
            "Name samples by recording and position, in one spelling.",
        ),
        "pairing": Advice(
            "Row i of every modality belongs to row i of the labels.",
            "Join features and labels by id, never by the order of two files or of a listing.",
        ),
        "order": Advice(
            "Row i of every modality belongs to row i of the labels and of the groups.",
            "Look for a shuffled loader or a set of names where this modality was extracted, and "
            "join by id.",
        ),
        "duplicates": Advice(
            "Samples of different groups are different recordings.",
            "Take copies out, or give all samples of one recording one group.",
        ),
        "constants": Advice(
            "A feature column says something.",
            "Extract it again, or leave the column out.",
        ),
        "given-away": Advice(
            "No feature is the label itself.",
            "Leave the column out; look for labels or annotations among the features.",
        ),
        "groups": Advice(
            "Samples of one group stand in one split.",
            "Split by group (harness.data.partition), or say with boards that groups are shared.",
        ),
        "labels": Advice(
            "Each label occurs in each split, and not always.",
            "Split anew, or leave the label out: its scores say nothing.",
        ),
    }
)
"""Every check of a data set by name, in the order of the report."""


@dataclass(frozen=True)
class Finding:
    """One oddity.

    Attributes:
        check: which check, one of `ADVICE`.
        text: a sentence about it: what was seen.
        harmful: whether results on the data are in doubt; else it is a note.
    """

    check: str
    text: str
    harmful: bool = True

    @property
    def advice(self) -> Advice:
        """Return what the check demands, and how to mend it."""
        return ADVICE[self.check]


def findings(store: Store) -> list[Finding]:
    """Return what is odd about a prepared data set; an empty list says that no check found any.

    Args:
        store: the prepared data set.
    """
    rows, splits = rows_of(store)
    spec, known = store.spec, fits(rows)
    found = repaired(store.card["cleaned"])
    found += similar_ids(rows)
    found += [Finding("pairing", str(fit)) for fit in known if fit.pairing]
    found += [
        Finding("order", f"{m}: its rows fit the labels under no pairing, and those of one "
                f"{spec.group_key} are not alike, though both hold of other modalities")
        for m in shuffled(rows, known)
    ]  # fmt: skip
    found += duplicates(rows)
    found += constants(rows)
    found += [Finding("given-away", text) for text in given_away(rows, spec.labels)]
    found += [Finding("groups", text) for text in shared_groups(rows, splits, spec.group_key)]
    found += [Finding("labels", text) for text in odd_labels(rows, splits, spec.labels)]
    return found


def refused(error: NotFiniteError | DuplicateIdError) -> Finding:
    """Return why a data set could not be prepared: values that are no numbers, or equal ids."""
    if isinstance(error, NotFiniteError):
        return Finding("finite", str(error))
    return Finding("ids", str(error))


def repaired(cleaned: Mapping[str, Mapping[str, int]]) -> list[Finding]:
    """Return what of the features was no number and is 0 in the store.

    Args:
        cleaned: by split, counts of values by what was wrong with them.
    """
    return [
        Finding("finite", f"{split}: {count} values were set to 0 ({what})", False)
        for split, counts in cleaned.items()
        for what, count in counts.items()
        if count and ("nan" in what or "inf" in what)
    ]


def similar_ids(rows: Rows) -> list[Finding]:
    """Return which ids differ in case, spaces, or the form of a character alone."""
    seen: dict[str, str] = {}
    pairs = []
    for name in dict.fromkeys(rows.ids):
        other = seen.setdefault(
            "".join(unicodedata.normalize("NFKC", name).casefold().split()), name
        )
        if other != name:
            pairs.append(f"{other!r} and {name!r}")
    if not pairs:
        return []
    shown = "; ".join(pairs[:SHOWN]) + ("; ..." if len(pairs) > SHOWN else "")
    return [Finding("ids", f"{len(pairs)} ids differ in case or spaces alone: {shown}")]


def rows_of(store: Store) -> tuple[Rows, list[str]]:
    """Return the samples of all splits in the order of their file, and the split of each.

    Sequences are means over valid positions; of grids it is the target person's row. The order is
    that of the numbers in the ids. Columns are those that the corpus stores beside the features,
    the split and the group.
    """
    names: list[tuple[str, str, str]] = []
    labels: list[NDArray[np.float64]] = []
    pooled: dict[str, list[NDArray[np.float64]]] = {m: [] for m in store.spec.modality_names}
    columns: dict[str, list[str]] = {}
    for part in store.spec.splits:
        split = store.split(part)
        names += [(i, g, part) for i, g in zip(split.ids, split.groups, strict=True)]
        labels.append(split.labels.astype(np.float64))
        for name, column in split.extras.items():
            if not any(isinstance(value, list) for value in column[:1]):
                columns.setdefault(name, []).extend(map(str, column))
        loader = split.loader(
            layout="sequence", batch_size=BATCH, mask_option=store.spec.default_mask, labelled=True
        )
        for batch in loader:
            for m in store.spec.modality_names:
                mask = batch.mask[m].numpy()
                x = np.where(mask[..., None], batch.features[m].numpy(), 0.0).astype(np.float64)
                count = mask.sum(axis=1)[:, None]
                mean = x.sum(axis=1) / np.maximum(count, 1)
                pooled[m].append(np.where(count > 0, mean, np.nan))
    order = sorted(range(len(names)), key=lambda i: natural(names[i][0]))
    whole = {name: column for name, column in columns.items() if len(column) == len(names)}
    rows = Rows(
        ids=[names[i][0] for i in order],
        groups=[names[i][1] for i in order],
        labels=np.concatenate(labels)[order],
        features={m: np.concatenate(parts)[order] for m, parts in pooled.items()},
        columns={
            "split": [names[i][2] for i in order],
            store.spec.group_key: [names[i][1] for i in order],
            **{name: [column[i] for i in order] for name, column in whole.items()},
        },
    )
    return rows, [names[i][2] for i in order]


def duplicates(rows: Rows) -> list[Finding]:
    """Return what is known of equal features of samples that have nothing to do with each other.

    Equal features inside of a group are by design where samples share a recording; a view that
    takes few values (a condition, a class) repeats by nature. A recording that is there twice is
    equal in every view, and does harm; a few equal rows of one view (silence, no face) are a note.
    """
    seen: dict[str, tuple[int, str]] = {}
    for modality, x in rows.features.items():
        there = np.flatnonzero(np.isfinite(x).all(axis=1))
        if x.shape[1] < LEAST_WIDTH or not len(there):
            continue
        _, inverse, counts = np.unique(x[there], axis=0, return_inverse=True, return_counts=True)
        varied = len(counts) > max(32, len(there) // 100)
        held: dict[int, set[str]] = {}
        kinds = dict(zip(there.tolist(), inverse.ravel().tolist(), strict=True))
        for place, kind in kinds.items():
            if counts[kind] > 1 and x[place].any():
                held.setdefault(kind, set()).add(rows.groups[place])
        crossing = {kind for kind, groups in held.items() if len(groups) > 1}
        if not varied or not crossing:
            continue
        first = next(kind for kind in kinds.values() if kind in crossing)
        who = [rows.ids[place] for place, kind in kinds.items() if kind == first][:3]
        count = sum(int(counts[k]) for k in crossing)
        seen[modality] = (
            count,
            (
                f"{modality}: {count} samples of different groups have equal features, for example "
                f"{', '.join(who)}"
            ),
        )
    everywhere = len(seen) == len(rows.features)
    return [
        Finding("duplicates", text, everywhere or count > MANY * len(rows.ids))
        for count, text in seen.values()
    ]


def constants(rows: Rows) -> list[Finding]:
    """Return which feature columns never vary; it does harm where no other is left."""
    found = []
    for modality, x in rows.features.items():
        seen = x[np.isfinite(x).all(axis=1)]
        still = np.flatnonzero(seen.std(axis=0) == 0) if len(seen) else np.arange(x.shape[1])
        if len(still):
            places = ", ".join(map(str, still[:5])) + (", ..." if len(still) > 5 else "")
            text = f"{modality}: {len(still)} of {x.shape[1]} columns are constant ({places})"
            found.append(Finding("constants", text, len(still) == x.shape[1]))
    return found


def given_away(rows: Rows, labels: tuple[str, ...]) -> list[str]:
    """Return sentences about a single feature column that tells a label apart nearly perfectly.

    Args:
        rows: the data.
        labels: L names.
    """
    found = []
    for modality, x in rows.features.items():
        there = np.isfinite(x).all(axis=1)
        ranks = _ranks(x[there])
        for place, name in enumerate(labels):
            positive = rows.labels[there, place] > 0
            count = int(positive.sum())
            if not 5 <= count <= len(positive) - 5:
                continue
            area = (ranks[positive].sum(axis=0) - count * (count + 1) / 2) / (
                count * (len(positive) - count)
            )
            column = int(np.abs(area - 0.5).argmax())
            area_best = max(area[column], 1 - area[column])
            if area_best >= GIVEN_AWAY:
                found.append(
                    f"{modality}: column {column} alone gives {name} away (area under its ROC "
                    f"curve {area_best:.3f})"
                )
    return found


def _ranks(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean ranks, from 1, of the values of each column."""
    ranks = np.empty_like(x)
    for column in range(x.shape[1]):
        _, inverse, counts = np.unique(x[:, column], return_inverse=True, return_counts=True)
        ends = counts.cumsum()
        ranks[:, column] = (ends - (counts - 1) / 2)[inverse]
    return ranks


def shared_groups(rows: Rows, splits: list[str], key: str) -> list[str]:
    """Return sentences about groups that stand in more than one split.

    Args:
        rows: the data.
        splits: of each row.
        key: what a group is.
    """
    seen: dict[str, set[str]] = {}
    for group, split in zip(rows.groups, splits, strict=True):
        seen.setdefault(group, set()).add(split)
    pairs = Counter(" and ".join(sorted(s)) for s in seen.values() if len(s) > 1)
    return [f"{count} groups ({key}) stand in {where}" for where, count in sorted(pairs.items())]


def odd_labels(rows: Rows, splits: list[str], labels: tuple[str, ...]) -> list[str]:
    """Return sentences about labels that never or always occur in a split.

    Args:
        rows: the data.
        splits: of each row.
        labels: L names.
    """
    found = []
    own = np.array(splits)
    for split in dict.fromkeys(splits):
        share = rows.labels[own == split].mean(axis=0)
        for what, odd in (("never occurs", share == 0), ("always occurs", share == 1)):
            found += [f"{labels[i]} {what} in {split}" for i in np.flatnonzero(odd)]
    return found
