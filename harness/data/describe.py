"""Facts about a prepared data set: statistics of a store, and a check of it against its source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.data.corpus import Corpus
from harness.data.layouts.stored import StoredSplit
from harness.data.store import DAMAGED, Store

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_PICKLES = (".pt", ".pkl", ".pickle")


def statistics(store: Store) -> dict[str, Any]:
    """Return counts, label, length and missingness statistics per split, as JSON values."""
    splits = {name: store.split(name) for name in store.spec.splits}
    return {
        "dataset": store.spec.name,
        "source": store.spec.source,
        "content_hash": store.content_hash,
        "labels": list(store.spec.labels),
        "group_key": store.spec.group_key,
        "splits": {name: split_statistics(split) for name, split in splits.items()},
        "shared_groups": _shared_groups(splits),
        "cleaned": store.card["cleaned"],
        "facts": store.card.get("facts", {}),
        "provenance": store.spec.provenance(),
        "published_label_share": list(store.spec.published_marginals),
    }


def split_statistics(split: StoredSplit) -> dict[str, Any]:
    """Return the statistics of one split.

    ``cooccurrence`` [L][L] counts pairs of labels (diagonal: single labels); ``label_set_sizes``
    are shares of samples with 0, 1, ... labels; lengths are quantiles of the valid positions. Of
    grids lengths count all cells, and missing is what the target person never has.
    """
    labels = split.labels.astype(np.int64)
    sizes = labels.sum(axis=1)
    names, longest = split.spec.modality_names, split.longest
    lengths = {
        name: {
            "stored_max": int(longest[i]),
            "valid": np.quantile(split.valid_lengths[:, i], QUANTILES).tolist(),
            "recorded": name in split.true_lengths,
        }
        for i, name in enumerate(names)
    }
    return {
        "samples": len(split),
        "groups": len(set(split.groups)),
        "label_share": labels.mean(axis=0).tolist(),
        "cardinality": float(sizes.mean()),
        "label_set_sizes": (np.bincount(sizes) / len(sizes)).tolist(),
        "label_sets": len({tuple(row) for row in labels.tolist()}),
        "cooccurrence": (labels.T @ labels).tolist(),
        "lengths": lengths,
        "missing_rate": dict(zip(names, (1 - split.available.mean(axis=0)).tolist(), strict=True)),
    }


def verify(store: Store, corpus: Corpus, root: Path) -> dict[str, Any]:
    """Return a check of a store: content, source files, globals asked, published counts, repairs.

    ``problems`` lists what is wrong; counts other than the published ones are noted there for
    real data only.

    Args:
        store: the prepared data set.
        corpus: its reader.
        root: folder of the authors' files.
    """
    from harness.data.prepare import changed_sources
    from harness.data.safe import globals_of

    problems: list[str] = []
    found = ""
    try:
        store.check(full=True)
        found = store.recompute_hash()
    except DAMAGED as error:
        problems.append(str(error).rstrip("."))
    if found not in ("", store.content_hash):
        problems.append(f"content hash is {found}, the card says {store.content_hash}")
    changed = [] if store.is_twin else changed_sources(store, corpus, root)
    problems += [f"{path} changed since it was prepared" for path in changed]
    counts, published = store.card["counts"], dict(corpus.published_counts)
    if not store.is_twin and published and counts != published:
        problems.append(f"samples per split are {counts}, published are {published}")
    files = [Path(s["path"]) for s in store.card["sources"]]
    there = [f for f in files if f.suffix in _PICKLES and f.is_file()]
    return {
        "dataset": store.spec.name,
        "source": store.spec.source,
        "content_hash": found or store.content_hash,
        "ok": not problems,
        "problems": problems,
        "counts": counts,
        "published_counts": published,
        "cleaned": store.card["cleaned"],
        "sources": store.card["sources"],
        "globals": {str(f): list(globals_of(f)) for f in there},
        "twin": store.card["twin"],
        "provenance": store.spec.provenance(),
    }


def _shared_groups(splits: dict[str, StoredSplit]) -> dict[str, int]:
    """Return how many groups each pair of splits shares (0: no leak from training to test)."""
    groups = {name: set(split.groups) for name, split in splits.items()}
    names = list(groups)
    return {
        f"{a}&{b}": len(groups[a] & groups[b]) for i, a in enumerate(names) for b in names[i + 1 :]
    }
