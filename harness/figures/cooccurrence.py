"""Label co-occurrence: P(label j | label i) of the truth, and what a model makes of it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.boards.entrants import Reader, entrant, reader
from harness.boards.frame import board_name, on_board
from harness.boards.selecting import Chosen
from harness.errors import DataMissingError, UsageError
from harness.figures.canvas import (
    DIVERGING,
    FORMATS,
    About,
    drawing,
    finish,
    heat_map,
    seeds_text,
)
from harness.figures.request import FigureRequest, name_part
from harness.records.record import COMPLETE, RunRecord
from harness.specs import FigureKind

HEADS = (
    *("dataset", "given", "label", "given_count", "both_count", "true"),
    *("model", "predicted_mean", "predicted_std", "n", "difference"),
)


@dataclass(frozen=True)
class Predicted:
    """A model's co-occurrence: float [S, L, L] over S seeds, NaN where a label was not said.

    ``threshold`` (``declared`` or ``tuned``) is that of its decisions.
    """

    name: str
    setting: str
    seeds: tuple[int, ...]
    threshold: str
    share: NDArray[np.float64]

    def mean(self) -> NDArray[np.float64]:
        """Return the mean over the seeds that say the given label, [L, L]; NaN: none does."""
        return self._over_seeds(np.nanmean)

    def std(self) -> NDArray[np.float64]:
        """Return the sample standard deviation likewise; NaN below two seeds."""
        return self._over_seeds(np.nanstd, ddof=1)

    def _over_seeds(self, reduce: Any, **options: Any) -> NDArray[np.float64]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of cells that are all NaN
            reduced: NDArray[np.float64] = reduce(self.share, axis=0, **options)
        return reduced


@dataclass(frozen=True)
class CooccurrenceFigure:
    """Co-occurrence on one test set; ``both`` int [L, L] counts samples with both labels."""

    dataset: str
    source: str
    split: str
    labels: tuple[str, ...]
    samples: int
    both: NDArray[np.int64]
    predicted: Predicted | None = None

    def true(self) -> NDArray[np.float64]:
        """Return P(label of the column | label of the row), [L, L]; NaN without support."""
        return conditional(self.both)


def counted(decided: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many samples have both labels, int64 [L, L], of 0/1 decisions [N, L]."""
    values = decided.astype(np.int64)
    found: NDArray[np.int64] = values.T @ values
    return found


def conditional(both: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return P(j | i) = both[i, j] / both[i, i], float64 [L, L]; a row without label i is NaN."""
    given = np.diagonal(both).astype(np.float64)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        share: NDArray[np.float64] = np.where(given > 0, both / given, np.nan)
    return share


def truth_record(records: Iterable[RunRecord], dataset: str, split: str = "test") -> RunRecord:
    """Return the newest finished run of a data set that was scored on complete data.

    Raises:
        UnknownNameError: there is no run of the data set.
        DataMissingError: no run of it was scored.
    """
    mine = on_board(records, dataset)
    scored = [r for r in mine if r.status == "ok" and split in r.metrics.get(COMPLETE, {})]
    if not scored:
        raise DataMissingError(f"no run of {dataset} was scored on {split}; run one.")
    # A submission may cover part of the split only.
    return max(scored, key=lambda r: (r.role != "external", r.created, r.id))


def truth_figure(record: RunRecord, read: Reader, split: str = "test") -> CooccurrenceFigure:
    """Return the co-occurrence of the truth a run was scored against.

    Raises:
        UsageError: a sample has one label there, so labels cannot occur together.
        DataMissingError: the run's predictions are not there.
    """
    _check_kind(record)
    truth = read(record, COMPLETE, split).truth
    return CooccurrenceFigure(
        board_name(record), record.dataset["source"], split, tuple(record.dataset["labels"]),
        len(truth), counted(truth),
    )  # fmt: skip


def model_figure(chosen: Chosen, read: Reader) -> CooccurrenceFigure:
    """Return the co-occurrence of the truth and of a row's decisions, seed by seed.

    Decided is at the threshold that orders boards. On several twins the truth is that of all of
    them. Raises as `truth_figure` for data with one label a sample.
    """
    row, record = chosen.row, chosen.row.records[0]
    _check_kind(record)
    one = entrant(row, chosen.key, read, name=chosen.name, tuned=bool(row.key.tuned))
    share = np.stack([conditional(counted(d)) for part in one.parts for d in part.decided])
    truth = np.concatenate([part.truth for part in one.parts])
    return CooccurrenceFigure(
        board_name(record), record.dataset["source"], "test", one.parts[0].labels,
        len(truth), counted(truth),
        Predicted(one.name, row.setting, one.seeds, row.key.threshold, share),
    )  # fmt: skip


def _check_kind(record: RunRecord) -> None:
    if record.dataset["label_kind"] == "singlelabel":
        raise UsageError(
            f"{record.dataset['name']} has one label a sample: nothing occurs together."
        )


def draw(data: CooccurrenceFigure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw the truth and, for a model, predicted minus true; write the files and their numbers.

    Raises as `harness.figures.canvas.save`.
    """
    labels, predicted = list(data.labels), data.predicted
    side = max(3.0, 0.48 * len(labels) + 1.2)
    count = 1 if predicted is None else 2
    with drawing(count * (side + 0.7), side) as figure:
        panels = figure.subplots(1, count, squeeze=False)[0]
        image = heat_map(panels[0], data.true(), low=0.0, high=1.0)
        panels[0].set_title("True: P(column | row)")
        figure.colorbar(image, ax=panels[0], shrink=0.8)
        rows = [f"{n} ({c})" for n, c in zip(labels, np.diagonal(data.both), strict=True)]
        _ticks(panels[0], labels, rows)
        if predicted is not None:
            difference = predicted.mean() - data.true()
            off = np.abs(difference[np.isfinite(difference)])
            bound = max(0.1, float(off.max(initial=0.0)))
            image = heat_map(
                panels[1], difference, low=-bound, high=bound, cmap=DIVERGING, form="{:+.2f}"
            )
            at = f"{predicted.threshold} threshold"
            panels[1].set_title(f"Predicted by {predicted.name} ({at}) minus true")
            figure.colorbar(image, ax=panels[1], shrink=0.8)
            _ticks(panels[1], labels, labels)
        return finish(figure, stem, _about(data), formats, HEADS, _rows(data))


def _about(data: CooccurrenceFigure) -> About:
    notes = [
        "Each cell: share of the samples with the row's label that have the column's too; in "
        "brackets: samples with the row's label."
    ]
    if data.predicted is not None:
        notes.append(f"Decisions at the {data.predicted.threshold} threshold, mean over seeds.")
        if not np.isfinite(data.predicted.mean()).all():
            notes.append("Grey: no seed predicts the row's label.")
    return About(
        f"Label co-occurrence on {data.dataset}", data.dataset, data.source,
        f"{COMPLETE} on {data.split}, {data.samples} samples",
        "" if data.predicted is None else seeds_text([data.predicted.seeds]), tuple(notes),
    )  # fmt: skip


def _ticks(axes: Any, columns: Sequence[str], rows: Sequence[str]) -> None:
    axes.set_xticks(range(len(columns)), columns, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)


def _rows(data: CooccurrenceFigure) -> Iterable[tuple[object, ...]]:
    true, said = data.true(), data.predicted
    mean = np.full_like(true, np.nan) if said is None else said.mean()
    std = np.full_like(true, np.nan) if said is None else said.std()
    counts = np.zeros(len(true), int) if said is None else np.isfinite(said.share[..., 0]).sum(0)
    for i, given in enumerate(data.labels):
        for j, label in enumerate(data.labels):
            yield (
                *(data.dataset, given, label, int(data.both[i, i]), int(data.both[i, j])),
                *(float(true[i, j]), said.name if said else ""),
                *(float(mean[i, j]), float(std[i, j]), int(counts[i])),
                float(mean[i, j] - true[i, j]),
            )


def _compute(asked: FigureRequest) -> CooccurrenceFigure:
    read = reader(asked.store)
    if not asked.models:
        return truth_figure(truth_record(asked.records, asked["dataset"]), read)
    (chosen,) = asked.rows()
    return model_figure(chosen, read)


FIGURE = FigureKind(
    name="cooccurrence",
    summary="Draw P(label j | label i) of the test truth; with a MODEL also predicted minus true.",
    description="The truth comes from stored predictions of the data set's runs.",
    models="optional",
    examples=(
        "harness figure cooccurrence --dataset mosi",
        "harness figure cooccurrence ramer --dataset mosei-aligned-twin",
        "harness figure cooccurrence ramer --dataset mosi --records leaderboards/records",
    ),
    compute=_compute,
    draw=draw,
    stem=lambda asked, _: "-".join(
        (asked["dataset"], "cooccurrence", *map(name_part, asked.models))
    ),
)
