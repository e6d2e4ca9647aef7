"""M3ED from the authors' feature pickle (DialogueRNN format); one sample per dialogue (CARAT)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.data.corpus import SplitArrays
from harness.data.safe import load_pickle
from harness.data.values import fail, name, shown, whole
from harness_corpora.checks import child, clean, float_array, one_hot_sets
from harness_corpora.specs import M3ED_FILE, M3ED_LABELS
from harness_corpora.twinned import TwinnedCorpus

# What stands where in the list. Index 4 is audio and 5 visual; CARAT's script exchanges the names.
UTTERANCES, SPEAKERS, LABELS, SENTENCES = 0, 1, 2, 6
FEATURES = MappingProxyType({"text": 3, "audio": 4, "visual": 5})
SPLITS = MappingProxyType({"train": 7, "valid": 8, "test": 9})
OBJECTS = 10


class M3ed(TwinnedCorpus):
    """Dialogues as sequences of utterances; the label is the set of their emotions."""

    published_counts: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"train": 685, "valid": 126, "test": 179}
    )

    def missing(self, root: Path) -> list[Path]:
        """Return the expected file unless some pickle is in its folder."""
        return [] if self._candidates(root) else [root / M3ED_FILE.path]

    def source_files(self, root: Path) -> list[Path]:
        """Return the pickle that is read: the one CARAT uses, or the only one there.

        Raises:
            DataFormatError: several pickles, none of which has the expected name.
        """
        found = self._candidates(root)
        if len(found) > 1:
            names = ", ".join(p.name for p in found)
            raise fail(root / "m3ed", "*.pkl", f"{Path(M3ED_FILE.path).name} or one file", names)
        return found

    def _candidates(self, root: Path) -> list[Path]:
        expected = root / M3ED_FILE.path
        return [expected] if expected.is_file() else sorted(expected.parent.glob("*.pkl"))

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield train, valid and test."""
        path = self.source_files(root)[0]
        data = load_pickle(path)
        if not isinstance(data, list | tuple) or len(data) != OBJECTS:
            size = f" of {len(data)}" if isinstance(data, list | tuple) else ""
            raise fail(path, "top level", f"a list of {OBJECTS} objects", shown(data) + size)
        for split in self.spec.splits:
            yield self._split(path, data, split, repair)

    def _split(self, path: Path, data: Sequence[Any], split: str, repair: bool) -> SplitArrays:
        dialogues = data[SPLITS[split]]
        if not isinstance(dialogues, list | tuple | np.ndarray):
            raise fail(path, f"[{SPLITS[split]}]", f"{split} dialogue ids", shown(dialogues))
        key = f"[{SPLITS[split]}] {split}"
        ids = [name(path, f"{key}[{i}]", d, "a dialogue id") for i, d in enumerate(dialogues)]
        counts: dict[str, int] = {}
        features: dict[str, list[NDArray[np.float32]]] = {m.name: [] for m in self.spec.modalities}
        sets: list[list[int]] = []
        lengths, speakers = [], []
        for dialogue in ids:
            labels = _dialogue_labels(path, data, dialogue)
            n = len(labels)
            for m in self.spec.modalities:
                index = FEATURES[m.name]
                key = f"[{index}] {m.name}, dialogue {dialogue!r}"
                value = child(path, data[index], dialogue, f"[{index}]")
                array = float_array(path, value, key, (n, m.dim))
                kept = clean(path, array, f"{split} {m.name}", counts, repair=repair)
                features[m.name].append(kept[: m.max_length])
            sets.append(labels)
            lengths.append(n)
            turns = child(path, data[SPEAKERS], dialogue, f"[{SPEAKERS}]")
            where = f"[{SPEAKERS}] {dialogue}"
            if not isinstance(turns, str | list | tuple | np.ndarray) or len(turns) != n:
                many = str(len(turns)) if isinstance(turns, list | tuple) else shown(turns)
                raise fail(path, where, f"{n} speakers", many)
            letters = [name(path, f"{where}[{i}]", s, "a letter") for i, s in enumerate(turns)]
            if any(len(letter) != 1 for letter in letters):
                raise fail(path, where, "one letter a turn", repr(letters))
            speakers.append("".join(letters))
        limits = {m.name: np.minimum(lengths, m.max_length) for m in self.spec.modalities}
        return SplitArrays(
            split,
            ids,
            ids,
            one_hot_sets(sets, len(M3ED_LABELS)),
            features,
            lengths={name: np.asarray(v, dtype=np.int64) for name, v in limits.items()},
            cleaned=counts,
            extras={"utterances": lengths, "speakers": speakers},
        )

    def write_twin(self, root: Path, seed: int, size: str) -> None:
        """Write the twin's pickle in the authors' format."""
        from harness_corpora.twins.m3ed import write

        write(root, seed, size)


def _dialogue_labels(path: Path, data: Sequence[Any], dialogue: str) -> list[int]:
    """Return the emotion of every utterance, also of those beyond the kept positions.

    Raises:
        DataFormatError: no utterances, or an emotion outside 0..6.
    """
    key = f"[{LABELS}] {dialogue}"
    value = child(path, data[LABELS], dialogue, f"[{LABELS}]")
    if not isinstance(value, list | tuple | np.ndarray) or len(value) == 0:
        raise fail(path, key, "a list of at least one emotion", shown(value))
    labels = [whole(path, f"{key}[{i}]", v) for i, v in enumerate(value)]
    if not all(0 <= v < len(M3ED_LABELS) for v in labels):
        raise fail(path, key, f"emotions 0..{len(M3ED_LABELS) - 1}", str(labels))
    return labels
