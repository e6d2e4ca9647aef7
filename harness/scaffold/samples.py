"""The data of a new data set: a small generated sample, or the card of a folder of arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from harness.errors import UsageError

GROUPS, EACH, POSITIONS = 60, 3, 6
WIDTHS = {"text": 8, "audio": 4}
LABELS = ("joy", "anger", "fear")
FOLDER_CORPUS = "harness.data.folder:FolderCorpus"


@dataclass(frozen=True)
class Card:
    """The card of a folder of arrays.

    Attributes:
        text: what follows its name, as YAML.
        keys: the keys of that.
        lines: what the arrays said, for the user.
        repair: whether preparing them needs ``--repair``.
    """

    text: str
    keys: frozenset[str]
    lines: tuple[str, ...]
    repair: bool


def write_sample(file: IO[bytes], name: str) -> None:
    """Write a generated sample as an npz archive; its labels can be learned.

    180 samples of 60 groups; ``ids``, ``groups``, ``labels`` uint8 [N, 3], ``label_names``,
    ``lengths`` [N], and the modalities, float32 [N, T, d]. Ids and groups begin with the data set's
    name, so that two new data sets share none (`--test-on`).
    """
    import numpy as np

    rng = np.random.default_rng(0)
    count = GROUPS * EACH
    labels = rng.integers(0, 2, (count, len(LABELS)))
    lengths = rng.integers(2, POSITIONS + 1, count)
    there = (np.arange(POSITIONS) < lengths[:, None])[..., None]
    arrays: dict[str, Any] = {
        "ids": np.array([f"{name}-{i:03}" for i in range(count)]),
        "groups": np.array([f"{name}-recording-{i // EACH:02}" for i in range(count)]),
        "labels": labels.astype(np.uint8),
        "label_names": np.array(LABELS),
        "lengths": lengths,
    }
    for modality, width in WIDTHS.items():
        signal = labels @ rng.normal(size=(len(LABELS), width))
        noise = rng.normal(size=(count, POSITIONS, width))
        arrays[modality] = np.where(there, signal[:, None] + noise, 0).astype(np.float32)
    np.savez_compressed(file, **arrays)


def card_of(name: str, title: str, folder: Path) -> Card:
    """Return the card of a folder of arrays (`harness.data.folder`), which stay where they are.

    Args:
        name: of the data set.
        title: what it is in words, where the folder does not say.
        folder: of the arrays.

    Raises:
        UsageError: there is no such folder.
        DataFormatError: the files are not as documented, or preparing them would fail.
        PluginError: the folder's own card holds what a card cannot.
    """
    import numpy as np
    import yaml

    from harness.data.folder import CARD, doubts, files_of, read_samples
    from harness.data.rows import lengths_of
    from harness.plugins.cards import dataset_of_card

    folder = folder.expanduser().absolute()
    if not folder.is_dir():
        raise UsageError(f"--from {folder}: there is no such folder.")
    files = files_of(folder)
    samples = read_samples(files)
    modalities = samples.modalities()
    lengths = [lengths_of(samples.features[m.name]) for m in modalities]
    aligned = all(np.array_equal(lengths[0], other) for other in lengths)
    content: dict[str, Any] = {
        "summary": title,
        "corpus": FOLDER_CORPUS,
        "modalities": [
            {"name": m.name, "key": m.key, "dim": m.dim, "max_length": m.max_length}
            for m in modalities
        ],
        "labels": [*samples.label_names],
        "label_kind": samples.label_kind,
        "aligned": aligned,
        "splits": [*samples.split_names],
        "group_key": "group",
        "mask_options": ["length"],
        "default_mask": "length",
        "preset": "tuned",
        **_told(folder / CARD),
        "files": [
            {
                "path": f"{name}/{f.name}",
                "description": "arrays of this data set",
                "also": [str(f)],
                "size": f.stat().st_size,
                "sha256": hashlib.sha256(f.read_bytes()).hexdigest(),
            }
            for f in files
        ],
    }
    spec = dataset_of_card({"name": name, **content}, str(folder / CARD))
    odd, repair = doubts(spec, samples, files)
    shapes = ", ".join(f"{m.name} ({m.dim} features, at most {m.max_length})" for m in modalities)
    drawn = (
        ""
        if samples.splits is not None
        else f", whole groups drawn by hash of {name}@{spec.version}"
    )
    lines = (
        f"{len(samples.ids)} samples of {len(set(samples.groups))} groups; {shapes}",
        f"labels ({samples.label_kind}): {', '.join(samples.label_names)}",
        f"splits: {', '.join(samples.split_names)}{drawn}",
        f"The files stay in {folder}; elsewhere they are expected as HARNESS_DATA/{name}/.",
        *(f"note: {sentence}" for sentence in odd),
    )
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    return Card(text, frozenset(content), lines, repair)


def _told(card: Path) -> dict[str, Any]:
    """Return what the card of an exported folder says beyond its arrays.

    Raises:
        DataFormatError: it is no mapping.
    """
    from harness.documents import fail, read_yaml, shown

    if not card.is_file():
        return {}
    content = read_yaml(card)
    if not isinstance(content, dict):
        raise fail(card, "", "a mapping of keys", shown(content))
    return {key: value for key, value in content.items() if key not in ("name", "corpus", "files")}
