"""What the authors' files of a data set should be, and what of it differs here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.data.corpus import Corpus
from harness.data.prepare import file_hash
from harness.data.store import Store
from harness.specs import NOT_STATED, SourceFile

# Shares of labels that differ by more than this from the published ones are named: four standard
# errors of a share of one half over 1,600 samples.
TOLERANCE = 0.05


def files_report(corpus: Corpus, root: Path) -> list[dict[str, Any]]:
    """Return what is expected of each source file, what was found, and what differs.

    Args:
        corpus: its reader.
        root: folder of the authors' files.
    """
    found = zip(corpus.spec.files, corpus.paths(root), strict=True)
    return [_file(file, path) for file, path in found]


def _file(file: SourceFile, path: Path) -> dict[str, Any]:
    there = path.is_file()
    size = path.stat().st_size if there else None
    digest = file_hash(path) if there else None
    differs = []
    if there and file.size and size != file.size:
        differs.append("size")
    if there and file.sha256 and digest != file.sha256:
        differs.append("sha256")
    return {
        "path": str(path),
        "what": file.description,
        "there": there,
        "size": size,
        "expected_size": file.size or NOT_STATED,
        "sha256": digest,
        "expected_sha256": file.sha256 or NOT_STATED,
        "differs": differs if there else ["not there"],
    }


def store_report(store: Store, corpus: Corpus) -> dict[str, Any]:
    """Return counts and label shares beside the published ones, and what differs.

    Published shares are over all splits where nobody published them by split.

    Args:
        store: the prepared data set.
        corpus: its reader.
    """
    spec, differs = store.spec, []
    counts, published = store.card["counts"], dict(corpus.published_counts)
    for split, expected in published.items():
        if counts.get(split) != expected:
            differs.append(f"{split}: {counts.get(split)} samples, published are {expected}")
    labels = np.concatenate([store.split(name).labels for name in spec.splits])
    shares = dict(zip(spec.labels, labels.mean(axis=0).tolist(), strict=True))
    stated = dict(zip(spec.labels, spec.published_marginals, strict=False))
    for label, share in stated.items():
        if abs(shares[label] - share) > TOLERANCE:
            differs.append(f"{label}: share {shares[label]:.3f}, published is {share:.3f}")
    return {
        "counts": counts,
        "published_counts": published or NOT_STATED,
        "label_share": shares,
        "published_label_share": stated or NOT_STATED,
        "cleaned": store.card["cleaned"],
        "differs": differs,
    }
