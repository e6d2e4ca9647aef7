"""Data sets that each break one check of `harness check --dataset`, and one that breaks none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import harness

SIZES = {"train": 180, "valid": 60, "test": 60}
WIDTHS = {"eeg": 6, "gaze": 4, "skin": 5}
LABELS = ("joy", "fear", "calm")
EACH = 4  # samples a group


class Sound(harness.Corpus):
    """Two things show in every modality: the labels, and who is recorded (the group)."""

    def source_files(self, root: Path) -> list[Path]:
        return [Path(__file__)]

    def made(self) -> dict[str, dict[str, Any]]:
        rng = np.random.default_rng(0)
        codes = {m: rng.normal(size=(len(LABELS), d)) for m, d in WIDTHS.items()}
        splits: dict[str, dict[str, Any]] = {}
        for split, n in SIZES.items():
            labels = rng.integers(0, 2, (n, len(LABELS))).astype(np.uint8)
            split_data: dict[str, Any] = {
                "ids": [f"{split}-{i}" for i in range(n)],
                "groups": [f"{split}-g{i // EACH}" for i in range(n)],
                "labels": labels,
            }
            for m, d in WIDTHS.items():
                who = np.repeat(rng.normal(size=(n // EACH, d)), EACH, axis=0)
                split_data[m] = labels @ codes[m] + who + 0.5 * rng.normal(size=(n, d))
            splits[split] = split_data
        return splits

    def broken(self, splits: dict[str, dict[str, Any]]) -> None:
        """Break it."""

    def read(self, root: Path, *, repair: bool = False) -> Iterator[harness.SplitArrays]:
        splits = self.made()
        self.broken(splits)
        for name, s in splits.items():
            features = {m: [row[None].astype(np.float32) for row in s[m]] for m in WIDTHS}
            lengths = {m: np.ones(len(s["ids"]), np.int64) for m in WIDTHS}
            yield harness.SplitArrays(name, s["ids"], s["groups"], s["labels"], features, lengths)


FAULTS: dict[str, tuple[str, Callable[[dict[str, dict[str, Any]]], None]]] = {}
"""By name: the check that finds it, and what breaks it."""


def fault(check: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def add(function: Callable[..., None]) -> Callable[..., None]:
        FAULTS[function.__name__.replace("_", "-")] = (check, function)
        return function

    return add


@fault("finite")
def not_a_number(splits):  # type: ignore[no-untyped-def]
    splits["valid"]["gaze"][3, 1] = np.nan


@fault("ids")
def same_id(splits):  # type: ignore[no-untyped-def]
    splits["train"]["ids"][7] = splits["train"]["ids"][8]


@fault("ids")
def same_id_in_two_splits(splits):  # type: ignore[no-untyped-def]
    splits["test"]["ids"][7] = splits["train"]["ids"][8]


@fault("ids")
def id_in_two_spellings(splits):  # type: ignore[no-untyped-def]
    splits["train"]["ids"][7] = "Train-8"


@fault("pairing")
def late_in_each_split(splits):  # type: ignore[no-untyped-def]
    for s in splits.values():
        s["gaze"] = np.roll(s["gaze"], 2, axis=0)


@fault("pairing")
def turned_round(splits):  # type: ignore[no-untyped-def]
    for s in splits.values():
        s["skin"] = s["skin"][::-1]


@fault("pairing")
def late_in_each_group(splits):  # type: ignore[no-untyped-def]
    for s in splits.values():
        grouped = s["eeg"].reshape(-1, EACH, WIDTHS["eeg"])
        s["eeg"] = np.roll(grouped, 1, axis=1).reshape(-1, WIDTHS["eeg"])


@fault("order")
def shuffled(splits):  # type: ignore[no-untyped-def]
    for k, s in enumerate(splits.values()):
        s["gaze"] = s["gaze"][np.random.default_rng(k).permutation(len(s["gaze"]))]


@fault("duplicates")
def recorded_twice(splits):  # type: ignore[no-untyped-def]
    for m in WIDTHS:
        splits["test"][m][:EACH] = splits["train"][m][:EACH]
    splits["test"]["labels"][:EACH] = splits["train"]["labels"][:EACH]


@fault("constants")
def says_nothing(splits):  # type: ignore[no-untyped-def]
    for s in splits.values():
        s["skin"][:] = 3.0


@fault("given-away")
def label_among_features(splits):  # type: ignore[no-untyped-def]
    for s in splits.values():
        s["eeg"][:, 2] = s["labels"][:, 1]


@fault("groups")
def group_in_two_splits(splits):  # type: ignore[no-untyped-def]
    splits["test"]["groups"][:EACH] = splits["train"]["groups"][:EACH]


@fault("labels")
def label_never_occurs(splits):  # type: ignore[no-untyped-def]
    splits["test"]["labels"][:, 2] = 0


def _corpus(function: Callable[..., None]) -> type[Sound]:
    name = function.__name__.title().replace("_", "")
    return type(name, (Sound,), {"broken": lambda self, splits: function(splits)})


globals().update({c.__name__: c for c in (_corpus(f) for _, f in FAULTS.values())})


@harness.hookimpl
def harness_datasets() -> list[harness.DatasetSpec]:
    names = {"sound": "Sound"}
    names |= {n: f.__name__.title().replace("_", "") for n, (_, f) in FAULTS.items()}
    modalities = tuple(harness.ModalitySpec(m, m[0], d, 1) for m, d in WIDTHS.items())
    return [
        harness.DatasetSpec(
            name, f"faulty_sets:{corpus}", modalities, LABELS, group_key="person",
            mask_options=("length",), default_mask="length",
        )
        for name, corpus in names.items()
    ]  # fmt: skip
