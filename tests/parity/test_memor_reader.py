"""Parity: MEmoR's reader against what the reference loader returned for tiny generated trees."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from harness_corpora.memor.corpus import held_out
from harness_corpora.memor.files import read_annotations, read_clips
from harness_corpora.memor.reader import Dims, Features, Sample, make_samples, read_features
from harness_corpora.specs import MEMOR_FINE_LABELS, MEMOR_LABELS
from tests.parity.golden import golden_files

FOLDERS = [f.parent for f in golden_files("memor-reader", "*/expected.safetensors")]


def dims_of(folder: Path) -> Dims:
    with safe_open(folder / "expected.safetensors", "np") as file:
        d = json.loads(file.metadata()["dims"])
    return Dims(d["face"], d["obj"], d["env"], d["a"], d["t"], d["p"])


def fields(sample: Sample, features: Features) -> dict[str, np.ndarray]:
    """Return a sample as the reference gives it: dense and flat, person-major."""
    index = features.index(sample)
    out: dict[str, np.ndarray] = {}
    for letter, name in (("v", "visual"), ("a", "audio"), ("t", "text")):
        rows = index[name].ravel()
        table = np.concatenate([features.tables[name], np.zeros_like(features.tables[name][:1])])
        out[f"U_{letter}"] = table[rows]
        out[f"M_{letter}"] = (rows >= 0).astype(np.int8)
    segments = len(sample.clip.seg_start)
    out["U_p"] = np.repeat(features.personality[list(sample.persons)], segments, axis=0)
    out["target_loc"] = sample.target.astype(np.int8)
    out["umask"] = np.ones(len(sample.target), dtype=np.int8)
    out["seg_len"], out["n_c"] = np.array([segments]), np.array([len(sample.persons)])
    return out


def test_there_are_golden_files() -> None:
    assert FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.name)
@pytest.mark.parametrize("version", ["fresh", "reference"])
def test_samples_are_the_references(folder: Path, version: str) -> None:
    expected = load_file(folder / "expected.safetensors")
    clips = read_clips(folder / "data.json")
    annotations = read_annotations(folder / "anno.json", "primary", MEMOR_LABELS)
    legacy = version == "reference"
    samples = make_samples(clips, annotations, legacy_accumulate=legacy)
    features = read_features(folder, samples, dims_of(folder))
    compared = 0
    for i, sample in enumerate(samples):
        for name, found in fields(sample, features).items():
            wanted = expected[f"{version}.{i}.{name}"]
            np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=1e-6, err_msg=f"{i} {name}")
            compared += 1
    assert compared == sum(name.startswith(f"{version}.") for name in expected)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.name)
def test_labels_and_held_out_samples_are_the_references(folder: Path) -> None:
    expected = load_file(folder / "expected.safetensors")
    for kind, labels in (("primary", MEMOR_LABELS), ("fine_grained", MEMOR_FINE_LABELS)):
        annotations = read_annotations(folder / "anno.json", kind, labels)
        found = [a.label for a in annotations]
        assert found == [int(expected[f"{kind}.{i}.label"][0]) for i in range(len(found))]
        assert np.bincount(found, minlength=len(labels)).tolist() == (
            expected[f"{kind}.class_counts"].tolist()
        )
        _, valid = held_out(annotations)
        assert sorted(expected["split.valid_idx"].tolist()) == [a.position for a in valid]
