"""CMU-MOSEI's twins in the authors' files: aligned ``.pt``, unaligned ``.pkl``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness_corpora.specs import ALIGNED_FILE, MOSEI_LABELS, UNALIGNED_FILE
from harness_corpora.twins import files
from harness_corpora.twins.plan import MOSEI_ALIGNED, MOSEI_UNALIGNED, Plan
from harness_corpora.twins.sample import Drawn, ModalityFrames, draw, sentiment_thirds

_SPECIALS = ("<blank>", "<unk>", "<s>", "</s>")
_TOKENS = {name: i for i, name in enumerate((*_SPECIALS, *MOSEI_LABELS))}
_UNALIGNED_KEYS = {"text": "text", "visual": "vision", "audio": "audio"}


def write_aligned(
    root: Path, seed: int, size: str, *, pad: str = "end", legacy: bool = False
) -> None:
    """Write ``root/mosei/train_valid_test.pt`` of the aligned twin.

    Besides the authors' keys each split has ``id``, as the unaligned file has it.

    Args:
        root: data root, made if it is not there.
        seed: the arrays are a function of it, the same bytes on every machine.
        size: ``default`` or ``full``.
        pad: side of the zero rows, ``end`` or ``start``.
        legacy: the container of torch < 1.6.

    Raises:
        UsageError: unknown size. StorageError: the file cannot be written.
    """
    plan = MOSEI_ALIGNED
    drawn = {split: draw(plan, seed, split, n) for split, n in plan.counts(size).items()}
    _write_aligned(root, seed, drawn, pad=pad, legacy=legacy)


def write_unaligned(root: Path, seed: int, size: str, *, pad: str = "end") -> None:
    """Write both files of the unaligned twin.

    ``root/mosei/mosei_senti_data_noalign.pkl`` holds the features,
    ``root/mosei/train_valid_test.pt`` the emotion labels by row position, and aligned features of
    the same samples. Errors as for `write_aligned`.

    Args:
        root: folder to write to.
        seed: seed of the twin.
        size: ``default`` or ``full``.
        pad: side of the zero rows, ``end`` or ``start``.
    """
    plan = MOSEI_UNALIGNED
    drawn = {split: draw(plan, seed, split, n) for split, n in plan.counts(size).items()}
    _write_aligned(root, seed, drawn, pad=pad)
    target = root / UNALIGNED_FILE.path
    with files.scratch(target) as scratch:
        content: dict[str, dict[str, Any]] = {}
        for split, samples in drawn.items():
            arrays = _features(plan, seed, split, samples, scratch, pad)
            entry: dict[str, Any] = {_UNALIGNED_KEYS[name]: x for name, x in arrays.items()}
            thirds = sentiment_thirds(plan, seed, split, samples)
            entry["labels"] = (thirds / 3).astype(np.float32)[:, None, None]
            entry["id"] = _identifiers(split, samples)
            content[split] = entry
        files.write_pickle(target, content)


def _write_aligned(
    root: Path, seed: int, drawn: Mapping[str, Drawn], *, pad: str, legacy: bool = False
) -> None:
    plan, target = MOSEI_ALIGNED, root / ALIGNED_FILE.path
    with files.scratch(target) as scratch:
        content: dict[str, Any] = {}
        for split, samples in drawn.items():
            arrays = _features(plan, seed, split, samples, scratch, pad)
            entry: dict[str, Any] = {f"src-{name}": x for name, x in arrays.items()}
            entry["tgt"] = [
                [2, *(int(k) + 4 for k in np.flatnonzero(y)), 3] for y in samples.labels
            ]
            entry["id"] = _identifiers(split, samples)
            content[split] = entry
        content["dict"] = {"src": None, "tgt": dict(_TOKENS)}
        content["settings"] = Namespace(
            **{f"max_{m.name}_seq_len": m.max_length for m in plan.modalities}
        )
        files.write_torch(target, content, legacy=legacy)


def _features(
    plan: Plan, seed: int, split: str, samples: Drawn, scratch: files.Scratch, pad: str
) -> dict[str, NDArray[np.float32]]:
    """Return each modality's float32 [N, max_length, d], zero where there is no frame."""
    arrays = {}
    for modality in plan.modalities:
        source = ModalityFrames(plan, modality, seed, split, samples)
        out = scratch.zeros((len(samples.labels), modality.max_length, modality.dim))
        for i, length in enumerate(source.lengths.tolist()):
            place = slice(0, length) if pad == "end" else slice(-length, None)
            out[i, place] = source.frames(i)[0]
        arrays[modality.name] = out
    return arrays


def _identifiers(split: str, samples: Drawn) -> list[list[str]]:
    """Return (video, start, end) strings, times in seconds within the video."""
    rows: list[list[str]] = []
    clock, previous = 0, -1
    for video, ms in zip(samples.video.tolist(), samples.amount.tolist(), strict=True):
        start = clock if video == previous else 0
        clock, previous = start + ms, video
        times = (f"{t // 1000}.{t % 1000:03d}" for t in (start, clock))
        rows.append([f"twin-{split}-{video:05d}", *times])
    return rows
