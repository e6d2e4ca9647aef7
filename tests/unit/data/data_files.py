"""Made files in the authors' formats, tiny, and specs cut to fit them."""

from __future__ import annotations

import argparse
import dataclasses
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.specs import DatasetSpec, ModalitySpec
from harness_corpora.specs import M3ED, MOSEI_ALIGNED, MOSEI_UNALIGNED

ALIGNED_DIMS = {"text": 5, "visual": 3, "audio": 4}
COUNTS = {"train": 7, "valid": 3, "test": 4}
NAMES = {"happy": 4, "sad": 5, "anger": 6, "surprise": 7, "disgust": 8, "fear": 9}


def small(spec: DatasetSpec, dims: dict[str, int], lengths: dict[str, int]) -> DatasetSpec:
    """Return a spec with other sizes."""
    modalities = tuple(
        ModalitySpec(m.name, m.key, dims[m.name], lengths[m.name]) for m in spec.modalities
    )
    return dataclasses.replace(spec, modalities=modalities)


ALIGNED = small(MOSEI_ALIGNED, ALIGNED_DIMS, dict.fromkeys(ALIGNED_DIMS, 6))
UNALIGNED = small(MOSEI_UNALIGNED, ALIGNED_DIMS, {"text": 6, "visual": 9, "audio": 8})
DIALOGUES = small(M3ED, ALIGNED_DIMS, dict.fromkeys(ALIGNED_DIMS, 6))


def token_lists(n: int) -> list[list[int]]:
    """Return label token lists; the first is the empty set, the second out of order."""
    sets = [[], [8, 4], *([4 + i % 6] for i in range(n))]
    return [[2, *s, 3] for s in sets[:n]]


def sequences(
    rng: np.random.Generator, n: int, length: int, dim: int, pad: str = "end"
) -> np.ndarray:
    """Return [n, length, dim] with 2..length real rows, padded with zero rows at one end."""
    out = rng.normal(size=(n, length, dim))
    for i in range(n):
        short = int(rng.integers(0, length - 1))
        rows = slice(length - short, None) if pad == "end" else slice(0, short)
        out[i, rows] = 0.0
    return out


def aligned(
    dtype: str = "float32", pad: str = "end", object_labels: bool = False
) -> dict[str, Any]:
    """Return the content of a ``train_valid_test.pt``."""
    rng = np.random.default_rng(3)
    data: dict[str, Any] = {}
    for split, n in COUNTS.items():
        tokens: Any = token_lists(n)
        if object_labels:
            tokens = np.empty(n, dtype=object)
            tokens[:] = token_lists(n)
        data[split] = {
            f"src-{m}": sequences(rng, n, 6, d, pad).astype(dtype) for m, d in ALIGNED_DIMS.items()
        } | {"tgt": tokens}
        data[split]["src-audio"][0, 0, 1] = -np.inf
    specials = {"<blank>": 0, "<unk>": 1, "<s>": 2, "</s>": 3}
    data["dict"] = {"src": None, "tgt": specials | NAMES}
    data["settings"] = argparse.Namespace(max_text_seq_len=6)
    return data


def write_aligned(root: Path, data: dict[str, Any], legacy: bool = False) -> Path:
    """Write ``mosei/train_valid_test.pt``."""
    path = root / "mosei" / "train_valid_test.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(data, path, _use_new_zipfile_serialization=not legacy)
    return path


def unaligned(with_ids: bool = True) -> dict[str, Any]:
    """Return the content of a ``mosei_senti_data_noalign.pkl``."""
    rng = np.random.default_rng(4)
    data: dict[str, Any] = {}
    for split, n in COUNTS.items():
        data[split] = {
            "text": sequences(rng, n, 6, 5),
            "vision": sequences(rng, n, 9, 3),
            "audio": sequences(rng, n, 8, 4),
            "labels": rng.normal(size=(n, 1, 1)),
        }
        if with_ids:
            rows = [[f"{split}-video{i // 2}", str(i), str(i + 1)] for i in range(n)]
            data[split]["id"] = np.array(rows)
    return data


def write_unaligned(root: Path, data: dict[str, Any]) -> Path:
    """Write ``mosei/mosei_senti_data_noalign.pkl``."""
    path = root / "mosei" / "mosei_senti_data_noalign.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(data, protocol=2))
    return path


def dialogues() -> list[Any]:
    """Return the ten objects of an M3ED pickle; ``d_0`` is longer than what is kept."""
    rng = np.random.default_rng(5)
    lengths = {"d_0": 9, "d_1": 3, "d_2": 6, "e_0": 4, "f_0": 2}
    data: list[Any] = [OrderedDict() for _ in range(7)]
    for name, n in lengths.items():
        data[0][name] = [f"A_{name}_{i}" for i in range(n)]
        data[1][name] = ["AB"[i % 2] for i in range(n)]
        data[2][name] = [1] * n
        data[3][name] = rng.normal(size=(n, 5)).astype(np.float32)
        data[4][name] = rng.normal(size=(n, 4))
        data[5][name] = rng.normal(size=(n, 3)).astype(np.float32)
        data[6][name] = np.array([f"sentence {i}" for i in range(n)])
    data[2]["d_0"][8] = 5
    data[4]["d_1"][1] = 0.0
    return [*data, ["d_0", "d_1", "d_2"], ["e_0"], ["f_0"]]


def write_dialogues(root: Path, data: Any, name: str = "features.pkl") -> Path:
    """Write a pickle into ``m3ed/``."""
    path = root / "m3ed" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(data))
    return path
