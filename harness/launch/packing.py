"""Which run starts next: so many at a time, or packed onto one GPU by measured memory.

Nothing here starts a process or asks a device, so that every decision can be tested alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

from harness.records.fingerprint import canonical_json

MARGIN = 1.2
"""A run's share is its measured peak times this: its allocator keeps more than is in use."""
CONTEXT = 1_000_000_000
"""Bytes that a process takes of a GPU beside its tensors: driver, kernels, workspaces."""
AGAIN = 1.5
"""After a run was out of memory beside others, its peak counts as at least so much more."""
# What of a request has no part in how much memory its run takes; as of `RunRequest`.
_NO_SIZE = (
    "seed", "twin_seed", "trial", "until", "bar", "lines", "isolated", "rerun", "log", "real",
)  # fmt: skip
_NO_SIZE_SETTINGS = tuple(
    f"training.{key}="
    for key in ("epochs", "steps", "lr", "weight_decay", "warmup", "schedule", "clip_norm",
                "clip_value", "patience", "lr_step_epochs", "lr_step_gamma")
)  # fmt: skip


class Turns(Protocol):
    """Whose turn it is; places are positions in a sequence of runs."""

    def next(self) -> int | None:
        """Return a run that starts now, and count it as running; None: none for now."""

    def ended(self, place: int, peak: float | None = None, *, out_of_memory: bool = False) -> bool:
        """Note that a run has ended; return whether it will start again.

        Args:
            place: of the run.
            peak: memory of the device that it took, in bytes; None: not measured.
            out_of_memory: whether it ended for lack of the device's memory.
        """

    def stop(self) -> None:
        """Give no further turn."""


class InOrder:
    """One after the other, so many at a time."""

    def __init__(self, total: int, at_once: int) -> None:
        self._waiting = list(reversed(range(total)))
        self._free = at_once

    def next(self) -> int | None:
        """Return the next run while fewer than so many are under way."""
        if not self._waiting or not self._free:
            return None
        self._free -= 1
        return self._waiting.pop()

    def ended(self, place: int, peak: float | None = None, *, out_of_memory: bool = False) -> bool:
        """Note that a run has ended; it does not start again."""
        self._free += 1
        return False

    def stop(self) -> None:
        """Give no further turn."""
        self._waiting.clear()


class Packing:
    """Runs that share one device, by what earlier runs of the same size took of its memory.

    A run of a size that is not measured is alone, and so is one that needs more than there is. A
    run that was out of memory beside others starts again, alone; its size is then measured anew,
    and counts for at least `AGAIN` times as much as before.

    Args:
        sizes: per run what its memory depends on (`size_of`).
        capacity: memory of the device that runs may take, in bytes.
        at_once: runs at a time.
        peaks: what is measured already; further measurements are added to it.
    """

    def __init__(
        self,
        sizes: Sequence[Hashable],
        capacity: float,
        at_once: int,
        peaks: dict[Hashable, float] | None = None,
    ) -> None:
        self.sizes = sizes
        self.capacity = capacity
        self.at_once = at_once
        self.peaks = {} if peaks is None else peaks
        """Per size the highest measured peak, in bytes."""
        self.running: dict[int, float] = {}
        """Per run that is under way its share in bytes; `capacity` where it is alone."""
        self._waiting = list(range(len(sizes)))
        self._alone: set[int] = set()
        self._least: dict[Hashable, float] = {}
        self._stopped = False

    def share(self, place: int) -> float | None:
        """Return the bytes that are set aside for a run; None: it has to be alone."""
        peak = self.peaks.get(self.sizes[place])
        if peak is None or place in self._alone:
            return None
        share = peak * MARGIN + CONTEXT
        return share if share <= self.capacity else None

    def next(self) -> int | None:
        """Return the first run that fits beside those under way; see `Turns`."""
        if len(self.running) >= self.at_once:
            return None
        left = self.capacity - sum(self.running.values())
        for place in self._waiting:
            share = self.share(place)
            if not self.running or (share is not None and share <= left):
                self._waiting.remove(place)
                self.running[place] = self.capacity if share is None else share
                return place
        return None

    def ended(self, place: int, peak: float | None = None, *, out_of_memory: bool = False) -> bool:
        """Note what a run took; True: it was out of memory beside others, and starts again."""
        packed = self.running.pop(place) < self.capacity
        size = self.sizes[place]
        if out_of_memory:
            if size in self.peaks:
                self._least[size] = self.peaks.pop(size) * AGAIN
            if not packed or self._stopped:
                return False
            self._alone.add(place)
            self._waiting.insert(0, place)
            return True
        if peak is not None:
            known = (self.peaks.get(size, 0.0), self._least.get(size, 0.0))
            self.peaks[size] = max(float(peak), *known)
        return False

    def stop(self) -> None:
        """Give no further turn."""
        self._stopped = True
        self._waiting.clear()


def size_of(request: Mapping[str, Any]) -> str:
    """Return what the memory of a run depends on: equal for runs that differ in nothing else.

    Args:
        request: fields of `harness.engine.request.RunRequest`, as JSON.
    """
    kept = {key: value for key, value in request.items() if key not in _NO_SIZE}
    settings = kept.get("overrides") or ()
    kept["overrides"] = [text for text in settings if not text.startswith(_NO_SIZE_SETTINGS)]
    return canonical_json(kept)
