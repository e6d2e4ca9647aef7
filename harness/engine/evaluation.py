"""Predictions of a trained model under dropout protocols, merged into its record."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.engine.checks import RunChecks
from harness.engine.compiled import compiled
from harness.engine.evaluate import TEST
from harness.engine.patterns import predict_view, predict_whole
from harness.engine.plan import RunPlan
from harness.engine.splits import SplitView, views_of
from harness.model import ModelPlugin
from harness.protocols.dropout import DropoutProtocol, SplitMasks
from harness.records.predictions import Predictions, replaced
from harness.records.record import RunRecord
from harness.records.request import command_of


@dataclass(frozen=True)
class Evaluation:
    """Predictions of one model under some protocols, and how the protocols turned out.

    ``seconds_per_sample`` is the mean over samples and protocols, which share what they can
    (`harness.engine.patterns`).
    """

    parts: list[Predictions]
    dropout: dict[str, dict[str, dict[str, Any]]]
    seconds_per_sample: float

    @classmethod
    def of(
        cls,
        plan: RunPlan,
        model: ModelPlugin,
        wanted: Mapping[str, Sequence[DropoutProtocol]],
        checks: RunChecks | None = None,
    ) -> Evaluation:
        """Predict each split under its protocols; no other split is opened.

        With ``checks`` the model is held to its contract on the first batch of each split before.
        """
        views = views_of(plan.store, plan.mask, model, tuple(wanted))
        size = plan.config.training.eval_batch_size
        step = compiled(model.predict_step) if plan.request.compile else None
        dropout: dict[str, dict[str, dict[str, Any]]] = {}
        seconds, count = 0.0, 0
        if checks is not None:
            for name, view in views.items():
                checks.prediction(model, view.batches(size, view.masks(wanted[name][0])))
        found: dict[tuple[str, str], Predictions] = {}
        for name, view in views.items():
            order = plan.rules.order(view, plan.request.seed)
            whole: list[tuple[DropoutProtocol, SplitMasks]] = []
            scored: list[tuple[DropoutProtocol, Any]] = []
            for protocol in wanted[name]:
                masks = view.masks(protocol)
                dropout.setdefault(protocol.id, {})[name] = masks.facts
                if masks.whole:
                    whole.append((protocol, masks))
                    continue
                started = time.perf_counter()
                scores = predict_view(model, view, masks, plan.compute, batch_size=size, step=step)
                scored.append((protocol, scores))
                seconds += time.perf_counter() - started
            started = time.perf_counter()
            shared = predict_whole(
                model, view, [m for _, m in whole], plan.compute, batch_size=size, step=step
            )
            seconds += time.perf_counter() - started
            scored += zip((p for p, _ in whole), shared, strict=True)
            count += len(scored) * len(view)
            for protocol, scores in scored:
                found[protocol.id, name] = part_of(view, protocol.id, scores, order)
        ids = dict.fromkeys(protocol.id for mine in wanted.values() for protocol in mine)
        parts = [found[i, name] for i in ids for name in views if (i, name) in found]
        return cls(parts, dropout, seconds / max(count, 1))

    def merged(
        self, plan: RunPlan, record: RunRecord, before: Sequence[Predictions]
    ) -> tuple[RunRecord, list[Predictions]]:
        """Return the record with these protocols, and all predictions, which it is scored over."""
        data, parts = record.dataset, replaced(before, self.parts)
        metrics, thresholds = plan.rules.metrics(
            parts, data["labels"], data["label_kind"], plan.config.threshold
        )
        dropout = merged_splits(record.protocols["dropout"], self.dropout)
        request = plan.recorded(dropout)
        scored = any(TEST in splits for splits in dropout.values())
        merged = replace(
            record,
            protocols={**record.protocols, "dropout": dropout},
            metrics=metrics,
            threshold=thresholds,
            request=request,
            command=command_of(request),
            tested_on=plan.tested_on if scored else None,
        )
        return RunRecord.from_dict(merged.as_dict()), parts


def merged_splits(
    known: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return what is known of protocols by split, with what is new of them."""
    names = dict.fromkeys([*known, *new])
    return {name: {**known.get(name, {}), **new.get(name, {})} for name in names}


def part_of(
    view: SplitView,
    protocol: str,
    scores: np.ndarray[Any, Any],
    order: np.ndarray[Any, Any] | None = None,
) -> Predictions:
    """Return the predictions of a split, with their truth.

    Args:
        view: the split, N samples.
        protocol: id of the dropout protocol.
        scores: of every sample, [N, L].
        order: rows of the split that are taken, in order, int [K]; None: all of them.
    """
    rows = np.arange(len(view)) if order is None else order
    return Predictions(
        split=view.split.name,
        protocol=protocol,
        ids=tuple(view.split.ids[i] for i in rows),
        groups=tuple(view.split.groups[i] for i in rows),
        scores=scores[rows].astype(np.float32),
        truth=np.asarray(view.split.labels).astype(np.int8)[rows],
        slices={name: inside[rows] for name, inside in view.split.slices.items()},
    )
