"""Every data set says where it comes from; versions of one are told apart by name."""

from __future__ import annotations

import pytest

from harness.errors import UnknownNameError, UsageError
from harness.plugins import load
from harness.specs import NOT_STATED, DatasetSpec

SPECS = {name: entry.spec for name, entry in load().datasets.items()}
OPEN = ("mosi", "mosi-video", *(name for name in SPECS if name.startswith("diag-")))
"""Data sets whose samples may be passed on."""


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_no_field_of_the_provenance_is_empty_without_words(spec: DatasetSpec) -> None:
    for field in ("origin", "labelling", "label_order", "licence", "citation", "summary"):
        assert getattr(spec, field).strip(), field
    for modality in spec.modalities:
        assert modality.extractor and modality.trained_on, modality.name
    for file in spec.files:
        known = (file.size and file.sha256) or spec.source == "twin"
        assert known or "SHA-256" in spec.origin or "licence" in spec.origin, file.path
    assert NOT_STATED not in map(str, spec.provenance().values())
    assert len(spec.published_marginals) in (0, len(spec.labels))


def test_only_what_is_licensed_may_be_passed_on() -> None:
    assert {s.base_name for s in SPECS.values() if s.redistribute} == set(OPEN)
    registry = load()
    twins = [registry.dataset(f"{name}-twin") for name, s in SPECS.items() if s.has_twin]
    assert twins and all(twin.redistribute for twin in twins)
    assert all("generated" in twin.origin for twin in twins)


def test_a_version_is_asked_for_by_name_or_by_protocol() -> None:
    registry = load()
    assert registry.dataset("mosi").id == "mosi@2" == registry.dataset("mosi@2").id
    assert registry.dataset("mosi@2").name == "mosi"
    assert registry.dataset("mosi@1").name == "mosi@1" == registry.dataset("mosi", "mosi@1").name
    assert registry.dataset("mosi@1").base_name == "mosi"
    assert registry.dataset("music-emotions").id == "music-emotions@1"
    assert registry.dataset("music-emotions", "music-emotions@2").splits[1] == "valid"
    assert registry.dataset("mosei-aligned@1").name == "mosei-aligned"
    assert registry.dataset("mosei-aligned-twin@1").source == "twin"
    assert ".760" in registry.dataset("mosi@1").superseded
    for name in ("mosi@3", "mosi@", "nothing@1", "mosei-aligned@2"):
        with pytest.raises(UnknownNameError):
            registry.dataset(name)
    with pytest.raises(UsageError):
        registry.dataset_name("mosei-aligned", "mosi@1")
    assert registry.dataset_name("gone") == "gone"
