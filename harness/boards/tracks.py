"""Tracks: which protocols of training share a table of robustness, decided by `TRACKS` alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from harness.plugins import Registry
from harness.protocols.dropout.protocol import VERSION, own_families
from harness.records.record import COMPLETE
from harness.specs import ModelSpec


@dataclass(frozen=True)
class Track:
    """Protocols of training whose rows are compared with each other.

    Attributes:
        name: as boards print it.
        training: ids of the protocols.
        hiding: with them stand rows that were trained on complete data by a model that hides
            modalities itself in training (`harness.specs.ModelSpec.hides_modalities`).
    """

    name: str
    training: tuple[str, ...]
    hiding: bool = False


CLEAN = Track("clean-trained", (COMPLETE,))
DROPOUT = Track(
    "dropout-trained",
    tuple(f"{n}@{VERSION}" for n, family in own_families().items() if family.use == "training"),
    hiding=True,
)
TRACKS = (CLEAN, DROPOUT)
"""Models that were trained under one rate or pattern know the test condition: a track each."""


def tracks_of(training: Collection[str]) -> list[Track]:
    """Return the tracks of rows that were trained under these protocols, clean ones first.

    A track is there where a row was trained under one of its own protocols.
    """
    known = {name for track in TRACKS for name in track.training}
    found = [track for track in TRACKS if set(track.training) & set(training)]
    return found + [Track(name, (name,)) for name in sorted(set(training) - known)]


def trainings(name: str) -> tuple[str, ...]:
    """Return the protocols whose rows may stand in a track; of a protocol's name itself.

    Those on complete data are last: only rows of models that hide modalities stand there.
    """
    for track in TRACKS:
        if track.name == name:
            return (*track.training, *((COMPLETE,) if track.hiding else ()))
    return (name,)


def training_text(protocol: str, hides: bool) -> str:
    """Return how a row was trained, as people read it: ``train-mix``, ``full, hides itself``."""
    bare = protocol.partition("@")[0]
    return f"{bare}, hides itself" if hides and protocol == COMPLETE else bare


def spec_of(model: str, registry: Registry) -> ModelSpec | None:
    """Return what a model's card says; None: it is not installed here."""
    entry = registry.models.get(model)
    return None if entry is None else entry.spec
