"""The tidy frame: every figure of every record as one `Value`, with all that it holds for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

from harness.errors import UnknownNameError
from harness.records.record import REFERENCES, RunRecord
from harness.statistics.measured import REAL

REFERENCE_ROLES = REFERENCES


class Key(NamedTuple):
    """What a figure is: a metric, at the ``declared`` or ``tuned`` threshold, of a slice."""

    metric: str
    threshold: str = "declared"
    slice: str = ""

    @property
    def name(self) -> str:
        """Return the name of its column."""
        return "_".join(p for p in (self.slice, self.tuned, self.metric) if p)

    @property
    def tuned(self) -> str:
        """Return ``tuned``, or nothing at the declared threshold."""
        return "" if self.threshold == "declared" else self.threshold


SORT_BY = Key("micro_f1")
TUNED = Key("micro_f1", "tuned")


def order_by(kind: str, trained: Iterable[Mapping[Key, float]]) -> Key:
    """Return what rows are ordered and tested by: micro-F1 at the threshold tuned on validation.

    With one label a sample there is no threshold, and where a trained model has no tuned one (no
    validation split) all of them are at the declared one.

    Args:
        kind: of the labels.
        trained: figures of the trained models' runs.
    """
    tuned = kind == "multilabel" and all(TUNED in values for values in trained)
    return TUNED if tuned else SORT_BY


@dataclass(frozen=True, order=True)
class Place:
    """What two runs must have in common to be compared.

    ``dataset`` is the data set's name, ``compat`` whether authors' own evaluations are reproduced,
    ``protocol`` the data set's protocol, ``dropout`` what is scored under. ``content`` is the hash
    of the data; of twins, recipe and size (`harness.boards.twins`). ``digest`` is the hash of the
    dropout masks: equal names with unequal masks never meet. Each twin has masks of its own, so
    that it is empty there. ``split`` is what is scored.
    """

    dataset: str
    compat: bool
    protocol: str
    content: str
    mask: str
    train_dropout: str
    dropout: str
    digest: str
    split: str

    @property
    def board(self) -> str:
        """Return the name of the board."""
        return f"{self.dataset}-compat" if self.compat else self.dataset

    @property
    def training(self) -> Place:
        """Return what is the same under every dropout protocol that is scored."""
        return replace(self, dropout="", digest="")

    @property
    def data(self) -> Place:
        """Return what is the same whatever was trained under."""
        return replace(self, train_dropout="")

    @property
    def facts(self) -> dict[str, str]:
        """Return the place as the first columns of a data file."""
        return {
            "dataset": self.protocol, "data_hash": self.content, "mask": self.mask,
            "train_dropout": self.train_dropout, "dropout": self.dropout, "split": self.split,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Value:
    """One figure of one run. ``label`` is empty for figures over all labels."""

    record: RunRecord
    place: Place
    key: Key
    value: float
    label: str = ""

    def as_row(self, setting: str) -> dict[str, Any]:
        """Return the value as a row of a long table; ``setting`` is its run's."""
        return {
            "run": self.record.id,
            "model": self.record.model["name"],
            "setting": setting,
            "role": self.record.role,
            "dataset": self.place.dataset,
            "data_hash": self.record.dataset["content_hash"],
            "seed": self.record.seed,
            "mask": self.place.mask,
            "train_dropout": self.place.train_dropout,
            "dropout": self.place.dropout,
            "split": self.place.split,
            "slice": self.key.slice,
            "label": self.label,
            "metric": self.key.metric,
            "threshold": self.key.threshold,
            "value": self.value,
        }


def frame(
    records: Iterable[RunRecord], split: str | None = None, labels: bool = True
) -> list[Value]:
    """Return every defined figure of the finished runs, in the order of the records.

    Args:
        records: runs of any data sets; failed ones have no figures.
        split: only figures of this split; None: of every split.
        labels: with the figures of single labels.
    """
    found: list[Value] = []
    for record in records:
        for dropout, by_split in record.metrics.items() if record.status == "ok" else ():
            for name, by_threshold in by_split.items():
                if split in (None, name):
                    place = place_of(record, dropout, name)
                    for threshold, figures in by_threshold.items():
                        found += _values(record, place, threshold, figures or {}, labels)
    return found


def scores_of(record: RunRecord, split: str) -> list[tuple[Place, dict[Key, float]]]:
    """Return a finished run's figures on a split by place, without those of single labels."""
    found = []
    for dropout, by_split in record.metrics.items() if record.status == "ok" else ():
        values: dict[Key, float] = {}
        for threshold, figures in by_split.get(split, {}).items():
            for part, own in _parts(figures or {}):
                for metric, value in own.items():
                    if isinstance(value, float | int):
                        values[_key(metric, threshold, part)] = float(value)
        if values:
            found.append((place_of(record, dropout, split), values))
    return found


@cache
def _key(metric: str, threshold: str, part: str) -> Key:
    return Key(metric, threshold, part)


def _parts(figures: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Return the figures of the whole split, under an empty name, and those of its slices."""
    return (("", figures), *figures.get("slices", {}).items())


def _values(
    record: RunRecord, place: Place, threshold: str, figures: Mapping[str, Any], labels: bool
) -> Iterable[Value]:
    for part, own in _parts(figures):
        for metric, value in own.items():
            if isinstance(value, float | int):
                yield Value(record, place, _key(metric, threshold, part), float(value))
    for label, own in figures.get("per_label", {}).items() if labels else ():
        for metric, value in own.items():
            if value is not None:
                yield Value(record, place, Key(metric, threshold), float(value), label)


def place_of(record: RunRecord, dropout: str, split: str = "test") -> Place:
    """Return where a run's figures under a dropout protocol stand."""
    return Place(
        dataset=record.dataset["name"],
        compat=record.compat is not None,
        protocol=record.protocols["dataset"],
        content=content_of(record),
        mask=record.dataset["mask"],
        train_dropout=record.protocols["train_dropout"],
        dropout=dropout,
        digest=digest_of(record, dropout, split) if twin_of(record) == REAL else "",
        split=split,
    )


def twin_of(record: RunRecord) -> int:
    """Return the number of the twin that a run is on; `REAL` where its data has none."""
    about = record.dataset.get("twin")
    return REAL if about is None else int(about["seed"])


def content_of(record: RunRecord) -> str:
    """Return what rows join by: the content hash; of a twin its recipe and size."""
    twin = record.dataset.get("twin")
    if twin is None:
        return str(record.dataset["content_hash"])
    return f"recipe {twin['version']}, {twin['size']}"


def short(content: str) -> str:
    """Return a content hash as people are shown it; recipe and size as they are."""
    return content if " " in content else content[:12]


def digest_of(record: RunRecord, dropout: str, split: str) -> str:
    """Return the digest of the dropout masks that a run was scored under."""
    about = record.protocols["dropout"].get(dropout, {}).get(split, {})
    return str(about.get("digest", ""))


def splits_of(record: RunRecord) -> tuple[str, ...]:
    """Return the splits that a run was scored on; of a failed one those it was asked for."""
    if record.status == "ok":
        return tuple(sorted({s for splits in record.metrics.values() for s in splits}))
    return ("valid",) if record.request.get("split") == "valid" else ("test", "valid")


def board_name(record: RunRecord) -> str:
    """Return the board a run belongs on: authors' own evaluations have one of their own."""
    return place_of(record, "").board


def on_board(records: Iterable[RunRecord], name: str) -> list[RunRecord]:
    """Return the records of a board.

    Raises:
        UnknownNameError: there are none.
    """
    known = list(records)
    mine = [r for r in known if board_name(r) == name]
    if not mine:
        raise UnknownNameError("data set with records", name, map(board_name, known))
    return mine
