"""What is wrong with a data set and no loader notices: pairing, copies, constants, leaks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.data.pairing import Rows, better_pairings, natural

if TYPE_CHECKING:
    from harness.data.store import Store

BATCH = 512
# A column that tells a label apart so well (area under its curve) gives it away.
GIVEN_AWAY = 0.995
LEAST_WIDTH = 2
# Share of samples from which on equal rows of one view do harm.
MANY = 0.05


@dataclass(frozen=True)
class Finding:
    """One oddity.

    Attributes:
        check: which check: ``pairing``, ``duplicates``, ``constants``, ...
        text: a sentence about it.
        harmful: whether results on the data are in doubt; else it is a note.
    """

    check: str
    text: str
    harmful: bool = True


def findings(store: Store) -> list[Finding]:
    """Return what is odd about a prepared data set; an empty list says that no check found any.

    Args:
        store: the prepared data set.
    """
    rows, splits = rows_of(store)
    spec = store.spec
    found = [Finding("pairing", str(fit)) for fit in better_pairings(rows)]
    found += duplicates(rows)
    found += constants(rows)
    found += [Finding("given-away", text) for text in given_away(rows, spec.labels)]
    found += [Finding("groups", text) for text in shared_groups(rows, splits, spec.group_key)]
    found += [Finding("labels", text) for text in odd_labels(rows, splits, spec.labels)]
    return found


def rows_of(store: Store) -> tuple[Rows, list[str]]:
    """Return the samples of all splits in the order of their file, and the split of each.

    Sequences are means over valid positions; of grids it is the target person's row. The order is
    that of the numbers in the ids. Columns are those that the corpus stores beside the features.
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
        columns={name: [column[i] for i in order] for name, column in whole.items()},
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
