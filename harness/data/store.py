"""A prepared data set: memory-mapped Arrow files with a card, read without `datasets` or torch.

One Arrow stream per split (``train.arrow``, see `harness.data.layouts`); ``card.json`` records
where the data came from.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import paths
from harness.data.content import content_hash
from harness.data.layouts import SPLITS
from harness.data.layouts.stored import StoredSplit
from harness.errors import DataFormatError, UsageError
from harness.specs import DatasetSpec, ModalitySpec, SourceFile

SCHEMA_VERSION = 1


class Store:
    """A prepared data set. ``notice`` is a message for the user, or empty."""

    def __init__(self, path: Path, card: Mapping[str, Any], notice: str = "") -> None:
        self.path = path
        self.card = dict(card)
        self.notice = notice
        self.spec: DatasetSpec = spec_from_json(card["spec"])
        self.content_hash: str = card["content_hash"]
        self._splits: dict[str, StoredSplit] = {}

    @property
    def is_twin(self) -> bool:
        """Return whether the data is generated."""
        return self.spec.source == "twin"

    def split(self, name: str) -> StoredSplit:
        """Return a split, opened once.

        Raises:
            UsageError: the data set has no such split.
            DataFormatError: the store is damaged.
        """
        if name not in self.spec.splits:
            raise UsageError(
                f"{self.spec.name} has no split {name!r}; it has {', '.join(self.spec.splits)}."
            )
        if name not in self._splits:
            path = self.path / f"{name}.arrow"
            kind = SPLITS[self.spec.layout]
            self._splits[name] = kind(name, path, self.spec, self.card["feature_sd"])
        return self._splits[name]

    def recompute_hash(self) -> str:
        """Return the content hash of what is on disk now (equal to the card's if intact)."""
        return content_hash(self.spec, self.split_hashes())

    def split_hashes(self) -> dict[str, str]:
        """Return the content hashes of the splits that are on disk now, by name."""
        shared: dict[str, Any] = {}
        return {name: self.split(name).digest(shared) for name in self.spec.splits}


def open_store(name: str) -> Store | None:
    """Return the prepared store of that name under `harness.paths.stores_dir`, or None.

    Raises:
        DataFormatError: its card is damaged, or of another schema version.
    """
    return read_store(paths.stores_dir() / name)


def read_store(path: Path) -> Store | None:
    """Return the store in a folder, or None where there is no card."""
    card = path / "card.json"
    if not card.is_file():
        return None
    with paths.storage_errors(card):
        text = card.read_text()
    try:
        content = json.loads(text)
        if content["schema"] != SCHEMA_VERSION:
            raise _damaged(card, f"schema {content['schema']}, expected {SCHEMA_VERSION}")
        return Store(path, content)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise _damaged(card, repr(error)) from error


def spec_to_json(spec: DatasetSpec) -> dict[str, Any]:
    """Return a spec as JSON values."""
    return dataclasses.asdict(spec)


def spec_from_json(value: Mapping[str, Any]) -> DatasetSpec:
    """Return the spec that `spec_to_json` wrote."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    fields["modalities"] = tuple(ModalitySpec(**m) for m in value["modalities"])
    fields["files"] = tuple(SourceFile(**f) for f in value["files"])
    return DatasetSpec(**fields)


def _damaged(path: Path, reason: str) -> DataFormatError:
    return DataFormatError(
        f"{path} is damaged ({reason}). Delete the folder {path.parent} and prepare it again."
    )
