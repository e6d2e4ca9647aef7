"""CMU-MOSEI's twins in the authors' files: aligned ``.pt``, unaligned ``.pkl``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness_corpora.specs import MOSEI_LABELS
from harness_corpora.twins import files, sample
from harness_corpora.twins.design import MOSEI_ALIGNED, MOSEI_UNALIGNED, Design

ALIGNED_FILE = Path("mosei") / "train_valid_test.pt"
UNALIGNED_FILE = Path("mosei") / "mosei_senti_data_noalign.pkl"

_SPECIALS = ("<blank>", "<unk>", "<s>", "</s>")
_TOKENS = {name: i for i, name in enumerate((*_SPECIALS, *MOSEI_LABELS))}
_UNALIGNED_KEYS = {"text": "text", "visual": "vision", "audio": "audio"}
# What the affect of a label set does to the sentiment column of the unaligned file.
_VALENCE = np.array([1.5, -1.0, -1.0, 0.0, -1.2, -0.3])


def write_aligned(
    root: Path, seed: int, size: str, *, pad: str = "end", legacy: bool = False
) -> None:
    """Write ``root/mosei/train_valid_test.pt`` of the aligned twin.

    Args:
        root: data root, made if it is not there.
        seed: a function of (twin version, seed) in every byte of the arrays.
        size: ``default`` or ``full``.
        pad: side of the zero rows, ``end`` or ``start``.
        legacy: the container of torch < 1.6.

    Raises:
        UsageError: unknown size. StorageError: the file cannot be written.
    """
    plan = MOSEI_ALIGNED
    counts = plan.counts(size)
    drawn = {
        split: sample.segments(plan, seed, split, n)
        for split, n in zip(sample.SPLITS, counts, strict=True)
    }
    _write_aligned(root / ALIGNED_FILE, plan, seed, drawn, pad=pad, legacy=legacy)


def write_unaligned(root: Path, seed: int, size: str, *, pad: str = "end") -> None:
    """Write both files of the unaligned twin.

    ``root/mosei/mosei_senti_data_noalign.pkl`` holds the features,
    ``root/mosei/train_valid_test.pt`` the emotion labels by row position (and aligned features
    drawn from the same labels). Arguments and errors as for `write_aligned`.

    Args:
        root: folder to write to.
        seed: seed of the generator.
        size: ``default`` or ``full``.
        pad: side of the zero rows, ``end`` or ``start``.
    """
    plan = MOSEI_UNALIGNED
    counts = plan.counts(size)
    drawn = {
        split: sample.segments(plan, seed, split, n)
        for split, n in zip(sample.SPLITS, counts, strict=True)
    }
    _write_aligned(root / ALIGNED_FILE, MOSEI_ALIGNED, seed, drawn, pad=pad)
    target = root / UNALIGNED_FILE
    with files.scratch(target) as scratch:
        content: dict[str, dict[str, Any]] = {}
        for split, segments in drawn.items():
            arrays = _features(plan, seed, split, segments, scratch, pad)
            entry: dict[str, Any] = {_UNALIGNED_KEYS[name]: x for name, x in arrays.items()}
            entry["labels"] = _sentiment(plan, seed, split, segments)
            entry["id"] = _identifiers(split, segments)
            content[split] = entry
        files.write_pickle(target, content)


def _write_aligned(
    target: Path,
    plan: Design,
    seed: int,
    drawn: dict[str, sample.Segments],
    *,
    pad: str,
    legacy: bool = False,
) -> None:
    with files.scratch(target) as scratch:
        content: dict[str, Any] = {}
        for split, segments in drawn.items():
            arrays = _features(plan, seed, split, segments, scratch, pad)
            entry: dict[str, Any] = {f"src-{name}": x for name, x in arrays.items()}
            entry["tgt"] = [
                [2, *(int(k) + 4 for k in np.flatnonzero(y)), 3] for y in segments.labels
            ]
            content[split] = entry
        content["dict"] = {"src": None, "tgt": dict(_TOKENS)}
        content["settings"] = Namespace(
            **{
                f"max_{name}_seq_len": plan.streams[0].max_length
                for name in ("text", "visual", "audio")
            }
        )
        files.write_torch(target, content, legacy=legacy)


def _features(
    plan: Design,
    seed: int,
    split: str,
    segments: sample.Segments,
    scratch: files.Scratch,
    pad: str,
) -> dict[str, NDArray[np.float32]]:
    """Return each modality's float32 [N, max_length, d]."""
    arrays = {}
    for stream in plan.streams:
        out = scratch.zeros((len(segments.labels), stream.max_length, stream.dim))
        sample.padded(plan, stream, seed, split, segments, out, pad)
        arrays[stream.name] = out
    return arrays


def _sentiment(
    plan: Design, seed: int, split: str, segments: sample.Segments
) -> NDArray[np.float32]:
    """Return a sentiment column float32 [N, 1, 1] in thirds within [-3, 3]; no task uses it."""
    rng = plan.rng(seed, split, "sentiment")
    raw = segments.labels @ _VALENCE + 0.7 * rng.standard_normal(len(segments.labels))
    return (np.rint(np.clip(raw, -3, 3) * 3) / 3).astype(np.float32)[:, None, None]


def _identifiers(split: str, segments: sample.Segments) -> list[list[str]]:
    """Return (video, start, end) strings; segments of a video follow one another."""
    rows: list[list[str]] = []
    clock, previous = 0.0, -1
    for group, duration in zip(segments.groups.tolist(), segments.duration.tolist(), strict=True):
        clock = clock if group == previous else 0.0
        rows.append([f"twin-{split}-{group:05d}", f"{clock:.3f}", f"{clock + duration:.3f}"])
        clock, previous = clock + duration, group
    return rows
