"""CMU-MOSEI as the multi-label papers use it: aligned and unaligned features, six emotions.

Files as documented by the loaders of TAILOR, CARAT, AMP and HHMPN (aligned) and MulT (unaligned).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.data.corpus import SplitArrays
from harness.data.rows import FlatRows
from harness.data.safe import load_pickle, load_torch
from harness.data.values import fail, shown, whole
from harness_corpora.checks import Cleaning, child, floats, one_hot_sets, section, trimmed
from harness_corpora.mosei_names import Lender, names_of
from harness_corpora.specs import ALIGNED_FILE, MOSEI_LABELS, UNALIGNED_FILE
from harness_corpora.twinned import TwinnedCorpus

BOS, EOS, FIRST_LABEL = 2, 3, 4
_SPELLINGS = {
    "happiness": "happy",
    "sadness": "sad",
    "angry": "anger",
    "surprised": "surprise",
    "disgusted": "disgust",
}
_COUNTS = MappingProxyType({"train": 16326, "valid": 1871, "test": 4659})


class _Mosei(TwinnedCorpus):
    """What both readers share: label tokens, cleaning, the twin."""

    reader_version: ClassVar[int] = 2
    published_counts: ClassVar[Mapping[str, int]] = _COUNTS

    def _arrays(
        self,
        path: Path,
        split: str,
        source: dict[str, Any],
        keys: Mapping[str, str],
        counts: dict[str, int],
        repair: bool,
    ) -> dict[str, FlatRows]:
        """Return the cleaned features by modality, releasing them from ``source``."""
        features: dict[str, FlatRows] = {}
        for m in self.spec.modalities:
            key = f"{split}/{keys[m.name]}"
            value = child(path, source, keys[m.name], split)
            array = floats(path, value, key, (None, m.max_length, m.dim))
            del value, source[keys[m.name]]
            cleaning = Cleaning(path, key, zero_minus_inf=m.key == "a", repair=repair)
            features[m.name] = trimmed(array, cleaning)
            cleaning.finish(counts)
        sizes = {keys[name]: len(array) for name, array in features.items()}
        if len(set(sizes.values())) > 1:
            raise fail(path, split, "the same number of samples in every array", str(sizes))
        return features


class MoseiAligned(_Mosei):
    """``train_valid_test.pt``: word-aligned features and label tokens."""

    _keys: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"text": "src-text", "visual": "src-visual", "audio": "src-audio"}
    )

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield train, valid and test."""
        path = root / ALIGNED_FILE.path
        data = load_torch(path, mapped=True)
        check_names(path, data)
        lender = Lender(root / UNALIGNED_FILE.path)
        for split in self.spec.splits:
            source = section(path, data, split)
            data[split] = None
            counts: dict[str, int] = {}
            labels = label_sets(path, child(path, source, "tgt", split), split)
            names = source.get("id")
            if names is None:
                text = floats(path, child(path, source, "src-text", split), split, (None,) * 3)
                names = lender.names(split, text)
                del text
            features = self._arrays(path, split, source, self._keys, counts, repair)
            n = len(next(iter(features.values())))
            if len(labels) != n:
                raise fail(path, f"{split}/tgt", f"{n} label lists", str(len(labels)))
            ids, groups = names_of(path, names, split, n)
            facts = {} if groups is ids else {"videos": len(set(groups))}
            yield SplitArrays(split, ids, groups, labels, features, cleaned=counts, facts=facts)

    def source_files(self, root: Path) -> list[Path]:
        """Return the file, and the unaligned one where it is there: it lends its ids."""
        lender = root / UNALIGNED_FILE.path
        return [*super().source_files(root), *([lender] if lender.is_file() else [])]

    def write_twin(self, root: Path, seed: int, size: str) -> None:
        """Write ``mosei/train_valid_test.pt`` of the twin."""
        from harness_corpora.twins.mosei import write_aligned

        write_aligned(root, seed, size)


class MoseiUnaligned(_Mosei):
    """``mosei_senti_data_noalign.pkl``; labels from the aligned file by row position."""

    _keys: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"text": "text", "visual": "vision", "audio": "audio"}
    )

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield train, valid and test."""
        path, label_path = root / UNALIGNED_FILE.path, root / ALIGNED_FILE.path
        labels = _labels_only(label_path, self.spec.splits)
        data = load_pickle(path, mapped=True)
        for split in self.spec.splits:
            source = section(path, data, split)
            data[split] = None
            counts: dict[str, int] = {}
            names = source.get("id")
            features = self._arrays(path, split, source, self._keys, counts, repair)
            n = len(next(iter(features.values())))
            if len(labels[split]) != n:
                raise fail(
                    path,
                    split,
                    f"as many samples as {label_path} has labels ({len(labels[split])})",
                    str(n),
                )
            ids, groups = names_of(path, names, split, n)
            yield SplitArrays(split, ids, groups, labels[split], features, cleaned=counts)

    def write_twin(self, root: Path, seed: int, size: str) -> None:
        """Write both files of the twin: features, and labels in the aligned file."""
        from harness_corpora.twins.mosei import write_unaligned

        write_unaligned(root, seed, size)


def check_names(path: Path, data: Any) -> None:
    """Check the token names the file states, where it states them.

    Raises:
        DataFormatError: a label token has another name than the published order gives it.
    """
    stated = data.get("dict") if isinstance(data, dict) else None
    target = stated.get("tgt") if isinstance(stated, dict) else None
    if target is None:
        return
    if not isinstance(target, dict):
        raise fail(path, "dict/tgt", "a dict of token names", shown(target))
    by_token = {whole(path, "dict/tgt", token): str(word).lower() for word, token in target.items()}
    for index, label in enumerate(MOSEI_LABELS):
        found = by_token.get(FIRST_LABEL + index, "nothing")
        if _SPELLINGS.get(found, found) != label:
            raise fail(path, f"dict/tgt token {FIRST_LABEL + index}", repr(label), repr(found))


def label_sets(path: Path, value: Any, split: str) -> NDArray[np.uint8]:
    """Return token lists ``[2, t1, ..., tk, 3]`` as uint8 [N, 6].

    Args:
        path: the file, for messages.
        value: what it holds under ``tgt``.
        split: ``train``, ``valid`` or ``test``.

    Raises:
        DataFormatError: no list or array of lists, wrong ends, tokens outside 4..9 or repeated.
    """
    key, labels = f"{split}/tgt", len(MOSEI_LABELS)
    if not isinstance(value, list | tuple | np.ndarray):
        raise fail(path, key, "a list or array of token lists", shown(value))
    sets: list[list[int]] = []
    for row, tokens in enumerate(value):
        where = f"{key}[{row}]"
        if not isinstance(tokens, list | tuple | np.ndarray):
            raise fail(path, where, "a list of tokens", shown(tokens))
        numbers = [whole(path, where, t) for t in tokens]
        if len(numbers) < 2 or (numbers[0], numbers[-1]) != (BOS, EOS):
            raise fail(path, where, f"tokens from {BOS} to {EOS}", str(numbers))
        chosen = [t - FIRST_LABEL for t in numbers[1:-1]]
        if any(not 0 <= c < labels for c in chosen) or len(set(chosen)) != len(chosen):
            last = FIRST_LABEL + labels - 1
            raise fail(path, where, f"different tokens {FIRST_LABEL}..{last}", str(numbers))
        sets.append(chosen)
    return one_hot_sets(sets, labels)


def _labels_only(path: Path, splits: Sequence[str]) -> dict[str, NDArray[np.uint8]]:
    """Return the labels of the aligned file; its features are let go of on return."""
    data = load_torch(path, mapped=True)
    check_names(path, data)
    return {s: label_sets(path, child(path, child(path, data, s), "tgt", s), s) for s in splits}
