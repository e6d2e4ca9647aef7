"""Scores of a split under many dropout protocols, each thing computed once.

Under a protocol for whole modalities (`harness.protocols.dropout.SplitMasks.whole`) a score is a
function of the sample and of the modalities it is left with. So of the 14 protocols of ``core@1``
on three modalities at most 7 give a sample different scores, and a model that splits its prediction
(`harness.model.ModelPlugin.encode`) encodes each modality twice: as it is, and as missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.conformance import check_scores
from harness.data.batch import Batch
from harness.engine.device import Compute
from harness.engine.predict import PredictStep, predict, predicting
from harness.engine.splits import SplitView
from harness.model import ModelPlugin, SharedEncodings
from harness.protocols.dropout import SplitMasks

BoolArray = NDArray[np.bool_]
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Patterns:
    """The distinct sets of modalities that protocols leave each of N samples, as K passes.

    Attributes:
        keep: bool [K, N, M], the modalities that a pass leaves; all false where a sample has no
            further set.
        used: bool [K, N], which samples a pass scores; all of them in the first.
        place: int64 [P, N], the pass that scores a sample under each of P protocols.
    """

    keep: BoolArray
    used: BoolArray
    place: NDArray[np.int64]

    @classmethod
    def of(cls, keeps: Sequence[BoolArray]) -> Patterns:
        """Return the passes of P protocols, each bool [N, M]; sets in order of appearance."""
        count, modalities = keeps[0].shape
        bits = 1 << np.arange(modalities, dtype=np.int64)
        passes: list[NDArray[np.int64]] = []
        place = np.zeros((len(keeps), count), dtype=np.int64)
        samples = np.arange(count)
        found = np.zeros(count, dtype=np.int64)
        for row, keep in enumerate(keeps):
            code = keep @ bits
            known = np.zeros(count, dtype=np.bool_)
            for number, taken in enumerate(passes):
                same = ~known & (taken == code)
                place[row, same] = number
                known |= same
            new = samples[~known]
            if len(new) and found[new].max() == len(passes):
                passes.append(np.full(count, -1, dtype=np.int64))
            for number in np.unique(found[new]):
                chosen = new[found[new] == number]
                passes[number][chosen] = code[chosen]
                place[row, chosen] = number
            found[new] += 1
        codes = np.stack(passes)
        used = codes >= 0
        keep = used[..., None] & ((np.maximum(codes, 0)[..., None] & bits) > 0)
        return cls(keep, used, place)

    def __len__(self) -> int:
        return len(self.used)


def predict_view(
    model: ModelPlugin,
    view: SplitView,
    masks: SplitMasks,
    compute: Compute,
    *,
    batch_size: int,
    step: PredictStep | None = None,
    rows: NDArray[np.int64] | None = None,
) -> Scores:
    """Return the scores of samples of a split, float32 [N, L] or [K, L], in their order.

    Args:
        model: the model.
        view: the split, N samples.
        masks: masks of a dropout protocol.
        compute: what is computed on.
        batch_size: samples per batch at full length (`SplitView.parts`).
        step: the compiled ``predict_step``.
        rows: indices of K samples, ascending; None: all of them.
    """
    parts = view.parts(batch_size, rows)
    found = predict(model, view.batches(batch_size, masks, parts=parts), compute, step)
    return found[np.argsort(np.concatenate(parts), kind="stable")]


def predict_whole(
    model: ModelPlugin,
    view: SplitView,
    masks: Sequence[SplitMasks],
    compute: Compute,
    *,
    batch_size: int,
    step: PredictStep | None = None,
) -> list[Scores]:
    """Return the scores [N, L] of a split under each of several masks for whole modalities.

    They are those of `harness.engine.predict.predict` under each of them, to rounding where
    encodings are shared.

    Args:
        model: the model.
        view: the split, N samples.
        masks: masks of dropout protocols, all of them `whole`.
        compute: what is computed on.
        batch_size: samples per batch at full length (`SplitView.parts`).
        step: the compiled ``predict_step``; encodings are not shared then.
    """
    if not masks:
        return []
    patterns = Patterns.of([m.keep for m in masks])
    if len(patterns) > 1 and step is None and view.separable and model.shares_encodings:
        scores = _shared(model, view, patterns, compute, batch_size)
    else:
        scores = np.zeros((*patterns.used.shape, model.task.num_labels), dtype=np.float32)
        for number, used in enumerate(patterns.used):
            own, rows = replace(masks[0], keep=patterns.keep[number]), np.flatnonzero(used)
            options: Any = {"batch_size": batch_size, "step": step, "rows": rows}
            scores[number, rows] = predict_view(model, view, own, compute, **options)
    samples = np.arange(len(view))
    return [scores[place, samples] for place in patterns.place]


def _shared(
    model: ModelPlugin, view: SplitView, patterns: Patterns, compute: Compute, batch_size: int
) -> Scores:
    """Return the scores [K, N, L] of encodings that the passes share."""
    scores = np.zeros((*patterns.used.shape, model.task.num_labels), dtype=np.float32)
    parts = view.parts(batch_size)
    with predicting(model):
        for rows, batch in zip(parts, view.batches(batch_size, parts=parts), strict=True):
            given = batch.without_labels().to(compute.device)
            with compute.autocast():
                shared = SharedEncodings(model, given)
            for number, used in enumerate(patterns.used[:, rows]):
                inside = None if used.all() else np.flatnonzero(used).tolist()
                if inside == []:
                    continue
                kept = torch.from_numpy(patterns.keep[number, rows[used]]).to(compute.device)
                with compute.autocast():
                    found = shared.scores(kept, inside)
                own = batch if inside is None else batch.select(inside)
                scores[number, rows[used]] = check_scores(model, found, own)
    return scores


@dataclass(frozen=True)
class RunScorer:
    """The `harness.engine.loop.Scorer` of a run; ``step`` is the compiled ``predict_step``."""

    model: ModelPlugin
    compute: Compute
    step: PredictStep | None = None

    def __call__(self, batches: Iterable[Batch]) -> Scores:
        """Return the scores of batches."""
        return predict(self.model, batches, self.compute, self.step)

    def under(self, view: SplitView, masks: Sequence[SplitMasks], batch_size: int) -> list[Scores]:
        """Return the scores of a split under each of several masks for whole modalities."""
        return predict_whole(
            self.model, view, masks, self.compute, batch_size=batch_size, step=self.step
        )
