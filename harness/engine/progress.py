"""Showing how training goes: a bar with the current figures and the time left, on stderr."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from tqdm import tqdm

# The first step pays for caches and lazy initialisation; one of the next may meet a busy machine,
# so the median of three is taken.
_WARM_UP = 1
_TIMED = 3
_WORTH_SAYING = 60.0


class TrainingProgress:
    """The loop's observer: a tqdm bar, the epoch hook, and an estimate for long CPU runs.

    ``bar`` shows the bar where stderr is a terminal; ``on_epoch`` is given each epoch's log entry;
    ``estimate`` is called once, after a few steps, with how long the run will take; ``tell`` is
    given a line an epoch.
    """

    def __init__(
        self,
        title: str,
        metric: str,
        *,
        bar: bool = True,
        on_epoch: Callable[[Mapping[str, Any]], None] | None = None,
        estimate: Callable[[str], None] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._title, self._metric = title, metric
        self._bar_wanted = bar and sys.stderr.isatty()
        self._on_epoch, self._estimate, self._tell = on_epoch, estimate, tell
        self._bar: tqdm[Any] | None = None
        self._figures: dict[str, str] = {}
        self._left = self._steps = 0
        self._clock = 0.0
        self._seconds: list[float] = []

    def start(self, total_steps: int, done_steps: int) -> None:
        """Open the bar."""
        self._left, self._steps, self._clock = total_steps - done_steps, 0, time.perf_counter()
        self._seconds = []
        if self._bar_wanted:
            self._bar = tqdm(
                total=total_steps,
                initial=done_steps,
                desc=self._title,
                unit="step",
                dynamic_ncols=True,
                leave=False,
            )

    def step(self, epoch: int, loss: float) -> None:
        """Move the bar on by a step."""
        self._steps += 1
        self._tell_estimate()
        if self._bar is not None:
            figures = {"epoch": str(epoch + 1), "loss": f"{loss:.4f}", **self._figures}
            if math.isnan(loss):
                del figures["loss"]
            self._bar.set_postfix(figures, refresh=False)
            self._bar.update()

    def epoch(self, entry: Mapping[str, Any]) -> None:
        """Show an epoch's validation figure, and pass the entry on."""
        if entry["valid"] is not None:
            self._figures = {f"valid {self._metric}": f"{entry['valid'][self._metric]:.4f}"}
        if self._tell is not None:
            shown = ", ".join(f"{name} {value}" for name, value in self._figures.items())
            loss = entry.get("loss")
            told = [f"loss {loss:.4f}"] if isinstance(loss, float) else []
            told += [shown] if shown else []
            self._tell(f"{self._title}, epoch {entry['epoch'] + 1}: {', '.join(told) or 'done'}")
        if self._on_epoch is not None:
            self._on_epoch(entry)

    def stop(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _tell_estimate(self) -> None:
        if self._estimate is None or self._steps > _WARM_UP + _TIMED:
            return
        now = time.perf_counter()
        if self._steps > _WARM_UP:
            self._seconds.append(now - self._clock)
        self._clock = now
        if self._steps == _WARM_UP + _TIMED:
            step = statistics.median(self._seconds)
            seconds = step * (self._left - self._steps)
            if seconds >= _WORTH_SAYING:
                self._estimate(
                    f"{self._title}: about {duration(seconds)} of training on this machine "
                    f"({self._left} steps of {step:.1f} s). It may be interrupted and continued."
                )


def duration(seconds: float) -> str:
    """Return a time in words of one or two units: ``45 s``, ``3 min``, ``2 h 10 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
