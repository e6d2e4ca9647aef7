"""Records to groups whose figures may stand in one table, and no others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.errors import UnknownNameError
from harness.records.record import COMPLETE, RunRecord

REFERENCE_ROLES = ("trivial", "ceiling")


@dataclass(frozen=True, order=True)
class GroupKey:
    """What two runs must have in common to be compared.

    ``digest`` is the hash of the dropout masks themselves: equal names with unequal masks never
    meet in one table. ``dataset`` is the board's name. ``split`` is the split that is scored.
    """

    dataset: str
    dataset_id: str
    content_hash: str
    mask: str
    train_dropout: str
    dropout: str
    digest: str
    split: str


@dataclass(frozen=True)
class Group:
    """Runs that may be compared: finished ones and failed ones, each in id order."""

    key: GroupKey
    records: tuple[RunRecord, ...]
    failed: tuple[RunRecord, ...]

    @property
    def newest(self) -> str:
        """Return the UTC time of the newest run of the group."""
        return max(r.created for r in (*self.records, *self.failed))


def collect(records: Iterable[RunRecord], split: str = "test") -> list[Group]:
    """Return the groups of all records, sorted by key.

    Trivial rows and the ceiling are not trained under a dropout protocol: they join every group
    of their data, mask and dropout protocol. A failed run has no dropout masks: it joins every
    group of its data, mask and training, or one of its own under ``full@1``.
    """
    ordered = sorted(records, key=lambda r: r.id)
    finished = [r for r in ordered if r.status == "ok"]
    scored: dict[GroupKey, list[RunRecord]] = {}
    for record in finished:
        for key in _keys(record, split):
            scored.setdefault(key, []).append(record)
    trained = {k for k, rs in scored.items() if any(r.role == "model" for r in rs)}
    failed: dict[GroupKey, list[RunRecord]] = {}
    for record in (r for r in ordered if r.status != "ok"):
        home = _home(record, split)
        own = [k for k in trained if _training(k) == _training(home)]
        for key in own or [home]:
            failed.setdefault(key, []).append(record)
    keys = trained | set(failed)
    lonely = {k for k in scored if not any(_data(k) == _data(t) for t in keys)}
    groups = []
    for key in sorted(keys | lonely):
        shared = [
            r
            for other, rs in scored.items()
            if other != key and _data(other) == _data(key)
            for r in rs
            if r.role in REFERENCE_ROLES
        ]
        members = {r.id: r for r in (*scored.get(key, ()), *shared)}
        ids = sorted(members)
        groups.append(Group(key, tuple(members[i] for i in ids), tuple(failed.get(key, ()))))
    return groups


def board_name(record: RunRecord) -> str:
    """Return the board a run belongs on: authors' own evaluations have one of their own."""
    name = str(record.dataset["name"])
    return name if record.compat is None else f"{name}-compat"


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


def ablated(record: RunRecord) -> tuple[str, ...]:
    """Return the ablations in force in a run; empty: it is a full model.

    They are what the model's config field ``ablate`` holds (`harness.specs.ModelSpec`).
    """
    model = record.config.get("model")
    names = model.get("ablate") if isinstance(model, Mapping) else None
    if not isinstance(names, (list, tuple)):
        return ()
    return tuple(sorted({str(name) for name in names}))


def row_identity(record: RunRecord) -> str:
    """Return what makes runs of different seeds one row: all that was asked except the seed."""
    model = record.model
    if record.role in REFERENCE_ROLES:  # nothing of their training can be configured
        return json.dumps([record.role, model["name"], model["version"], model["plugin"]])
    asked = [
        record.role, model["name"], model["version"], model["variant"], model["plugin"],
        record.config, record.precision, sorted(record.dataset["modalities"]),
    ]  # fmt: skip
    asked += [] if record.compat is None else [record.compat]
    return json.dumps(asked, sort_keys=True)


def _keys(record: RunRecord, split: str) -> list[GroupKey]:
    home = _home(record, split)
    keys = []
    for dropout, by_split in record.metrics.items():
        if split in by_split:
            about = record.protocols["dropout"].get(dropout, {}).get(split, {})
            digest = str(about.get("digest", ""))
            keys.append(_with_dropout(home, dropout, digest))
    return keys


def _home(record: RunRecord, split: str) -> GroupKey:
    return GroupKey(
        dataset=board_name(record),
        dataset_id=record.protocols["dataset"],
        content_hash=record.dataset["content_hash"],
        mask=record.dataset["mask"],
        train_dropout=record.protocols["train_dropout"],
        dropout=COMPLETE,
        digest="",
        split=split,
    )


def _with_dropout(key: GroupKey, dropout: str, digest: str) -> GroupKey:
    return GroupKey(
        key.dataset, key.dataset_id, key.content_hash, key.mask, key.train_dropout, dropout,
        digest, key.split,
    )  # fmt: skip


def _training(key: GroupKey) -> tuple[str, ...]:
    return (key.dataset, key.dataset_id, key.content_hash, key.mask, key.train_dropout)


def _data(key: GroupKey) -> tuple[str, ...]:
    return (
        key.dataset, key.dataset_id, key.content_hash, key.mask, key.dropout, key.digest,
        key.split,
    )  # fmt: skip
