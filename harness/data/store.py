"""A prepared data set: memory-mapped Arrow files with a card, read without `datasets` or torch.

One Arrow stream per split (``train.arrow``, see `harness.data.layouts`); ``card.json`` records
where the data came from.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from harness import paths
from harness.data.content import content_hash
from harness.data.layouts import SPLITS
from harness.data.layouts.stored import StoredSplit
from harness.data.values import read_json_object
from harness.errors import (
    DataFormatError,
    DataMissingError,
    HarnessError,
    NoValidationError,
    UsageError,
)
from harness.records import artefacts
from harness.specs import DatasetSpec, DerivedSpec, ModalitySpec, SourceFile

SCHEMA_VERSION = 1
CARD = "card.json"
_SEED = "-seed"
# What is said of a store that is not what was prepared.
DAMAGED = (DataFormatError, DataMissingError)


class Store:
    """A prepared data set. ``notice`` is a message for the user, or empty."""

    def __init__(self, path: Path, card: Mapping[str, Any], notice: str = "") -> None:
        self.path = path
        self.card = dict(card)
        self.notice = notice
        self.spec: DatasetSpec = spec_from_json(card["spec"])
        self.content_hash: str = card["content_hash"]
        self._splits: dict[str, StoredSplit] = {}
        self._checked = False

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
        if name == "valid" and name not in self.spec.splits:
            raise NoValidationError(self.spec.name, f"split {name!r}")
        if name not in self.spec.splits:
            raise UsageError(
                f"{self.spec.name} has no split {name!r}; it has {', '.join(self.spec.splits)}."
            )
        self.check()
        return self._opened(name)

    def check(self, *, full: bool = False) -> None:
        """Check that the files are those that the card speaks of; once, unless ``full``.

        The first time a store without digests (of an earlier version) is opened, its content is
        compared with the content hash, and the digests are taken.

        Args:
            full: hash the files even where they look as they did when last verified.

        Raises:
            DataMissingError: a file is not there.
            DataFormatError: a file is damaged, or another one than was prepared.
        """
        if self._checked and not full:
            return
        if "files" not in self.card:
            self._take_digests()
        for name, digest in self.card["files"].items():
            artefacts.check(self.path / name, digest, self._remedy, full=full)
        self._checked = True

    def recompute_hash(self) -> str:
        """Return the content hash of what is on disk now (equal to the card's if intact)."""
        return content_hash(self.spec, self.split_hashes())

    def split_hashes(self) -> dict[str, str]:
        """Return the content hashes of the splits that are on disk now, by name."""
        shared: dict[str, Any] = {}
        return {name: self._opened(name).digest(shared) for name in self.spec.splits}

    def digests(self) -> dict[str, str]:
        """Return the digests of the files of the splits by name, and remember them as verified."""
        found = {}
        for path in sorted(self.path.glob("*.arrow")):
            found[path.name] = artefacts.digest_of(path)
            artefacts.remember(path, found[path.name])
        return found

    @property
    def _remedy(self) -> str:
        return f"prepare it again: `{_preparing(self.path)}`"

    def _opened(self, name: str) -> StoredSplit:
        if name not in self._splits:
            path = self.path / f"{name}.arrow"
            if not path.is_file():
                raise DataMissingError(f"{path} is missing; {self._remedy}.")
            kind = SPLITS[self.spec.layout]
            split = kind(name, path, self.spec, self.card["feature_sd"])
            if "train" in self.spec.splits:
                split.training = lambda: self._opened("train")
            self._splits[name] = split
        return self._splits[name]

    def _take_digests(self) -> None:
        found = self.recompute_hash()
        if found != self.content_hash:
            raise DataFormatError(
                f"{self.path} is not what its {CARD} says (its content hash is {found}); "
                f"{self._remedy}."
            )
        self.card["files"] = self.digests()
        # Where the store cannot be written, its content is hashed again next time.
        with contextlib.suppress(HarnessError, OSError), locked(self.path):
            now = read_store(self.path)
            if now is not None and now.content_hash == found and "files" not in now.card:
                write_card(self.path, self.card)


def store_name(name: str, twin_seed: int | Literal["*"] | None = None) -> str:
    """Return the folder's name of a data set's store; each twin seed has a store of its own.

    With ``*`` it is the pattern of the stores of all twins.
    """
    return name if twin_seed is None else f"{name}{_SEED}{twin_seed}"


def open_store(name: str, twin_seed: int | None = None) -> Store | None:
    """Return a data set's prepared store under `harness.paths.stores_dir`, or None.

    Args:
        name: the data set, or the twin.
        twin_seed: seed of a twin; None: real data.

    Raises:
        DataFormatError: its card is damaged, or of another schema version.
    """
    return read_store(paths.stores_dir() / store_name(name, twin_seed))


def read_store(path: Path) -> Store | None:
    """Return the store in a folder, or None where there is no card.

    Raises:
        DataFormatError: its card is damaged, or of another schema version.
    """
    card = path / CARD
    with paths.storage_errors(card):
        if not card.is_file():
            return None
    remedy = f"Prepare it again: `{_preparing(path)}`."
    content = read_json_object(card, remedy)
    reason = ""
    if content.get("schema") != SCHEMA_VERSION:
        reason = f"schema {content.get('schema')}, expected {SCHEMA_VERSION}"
    # An earlier version wrote neither digests of the files nor one of the card.
    elif ("files" in content or "digest" in content) and content.get("digest") != _digest(content):
        reason = "its content is not what was written"
    else:
        try:
            return Store(path, content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = repr(error)
    raise DataFormatError(f"{card} is damaged ({reason}). {remedy}")


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write the card of a store, with a digest of itself."""
    card["digest"] = _digest(card)
    paths.atomic_write_text(folder / CARD, json.dumps(card, indent=1) + "\n")


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of a folder that is about to be made, and clear what a killed maker left.

    Raises:
        StorageError: its parent cannot be written, or has no locks.
    """
    with paths.storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with paths.file_lock(target.parent / f".{target.name}.lock"):
        for stale in target.parent.glob(f".{target.name}.*"):
            if stale.is_dir():
                shutil.rmtree(stale, ignore_errors=True)
        yield


def spec_to_json(spec: DatasetSpec) -> dict[str, Any]:
    """Return a spec as JSON values."""
    return dataclasses.asdict(spec)


def spec_from_json(value: Mapping[str, Any]) -> DatasetSpec:
    """Return the spec that `spec_to_json` wrote."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    fields["modalities"] = tuple(ModalitySpec(**m) for m in value["modalities"])
    if "bases" in value:
        fields["bases"] = tuple(spec_from_json(base) for base in value["bases"])
        fields["base_labels"] = tuple(tuple(names) for names in value["base_labels"])
    fields["files"] = tuple(
        SourceFile(**{**f, "also": tuple(f.get("also", ()))}) for f in value["files"]
    )
    return (DerivedSpec if "bases" in value else DatasetSpec)(**fields)


def _preparing(path: Path) -> str:
    """Return the command that makes a store again, by its folder's name."""
    name, twin, seed = path.name.rpartition(_SEED)
    if twin and seed.isdigit():
        return f"harness data twin {name} --seed {seed}"
    return f"harness data prepare {path.name} --force"


def _digest(card: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in card.items() if key != "digest"}
    return artefacts.digest_of_bytes(json.dumps(rest, sort_keys=True).encode())
