"""How a run is evaluated: by the harness's rules, or as a model's authors do (``run --compat``).

`EvaluationRules` owns all that an author's evaluation may change: the names of modalities, the
validation and test samples, the selected epoch, and the figures that are printed. The engine asks
the rules of a run; only `AuthorsRules` knows what an author does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from harness.engine.evaluate import (
    TEST,
    Metrics,
    evaluate_parts,
    metrics_at,
    places_of,
    scalar_metrics,
)
from harness.engine.loop import BatchSource, Scorer
from harness.engine.printed import printed, spec_of
from harness.engine.seeds import generator
from harness.engine.splits import SplitView, StoredTrainingData
from harness.errors import NoValidationError, UsageError
from harness.protocols.thresholds import TUNED, under
from harness.records.predictions import Predictions
from harness.records.record import finite
from harness.specs import CompatSpec, DatasetSpec, LabelKind, ModalitySpec, ModelSpec

PRINTED = ("jaccard", "micro_p", "micro_r", "micro_f1")


@dataclass(frozen=True)
class Selection:
    """Which epoch is taken: best in ``metric`` with ties to the later or first one, or the last.

    ``also`` names metrics whose own best epochs (ties to the later) are kept beside it.
    """

    metric: str
    mode: Literal["later", "first", "last"] = "later"
    also: tuple[str, ...] = ()


class EvaluationRules:
    """The harness's own evaluation."""

    facts: Mapping[str, Any] | None = None
    """The authors' evaluation as a record holds it; None: the harness's own."""

    def check(self, model: ModelSpec, dataset: DatasetSpec) -> None:
        """Refuse a data set that the evaluation was not written for.

        Raises:
            UsageError: says why.
        """

    def modalities(self, dataset: DatasetSpec) -> tuple[ModalitySpec, ...]:
        """Return the modalities in the data set's order, under the names that models are given."""
        return dataset.modalities

    def training_data(self, *shown: Any) -> StoredTrainingData:
        """Return training and validation; takes what `StoredTrainingData` takes."""
        return StoredTrainingData(*shown)

    def selection(self, dataset: DatasetSpec) -> Selection:
        """Return which epoch is taken.

        With several labels a sample "best in micro-F1" means at the threshold tuned on validation,
        by which boards are ordered: a threshold that was declared beforehand suits some models.
        """
        metric = dataset.selection_metric
        tuned = dataset.label_kind == "multilabel" and metric == "micro_f1"
        return Selection(TUNED if tuned else metric)

    def order(self, view: SplitView, seed: int) -> NDArray[np.int64] | None:
        """Return which samples of a split are scored, in order; None: every sample."""
        return None

    def metrics(
        self,
        parts: Sequence[Predictions],
        labels: Sequence[str],
        kind: LabelKind,
        declared: float,
        *,
        ranked: bool = True,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the figures of a run and its thresholds, as `evaluate_parts`."""
        return evaluate_parts(parts, labels, kind, declared, ranked=ranked)


@dataclass(frozen=True)
class AuthorsRules(EvaluationRules):
    """The evaluation of a model's authors (`harness.specs.CompatSpec`)."""

    compat: CompatSpec

    @property
    def facts(self) -> Mapping[str, Any]:  # type: ignore[override]
        """Return the evaluation as JSON values, as a record holds it."""
        facts: dict[str, Any] = finite(asdict(self.compat))
        return facts

    def check(self, model: ModelSpec, dataset: DatasetSpec) -> None:
        """Refuse single-label data, and data without the validation split that selects."""
        if dataset.label_kind != "multilabel":
            raise UsageError(
                f"--compat: the authors' evaluations are multi-label, {dataset.name} not."
            )
        if "valid" not in dataset.splits and self.compat.select != "last":
            raise NoValidationError(dataset.name, "--compat, which selects a model,")

    def modalities(self, dataset: DatasetSpec) -> tuple[ModalitySpec, ...]:
        """Return the modalities under the names that the authors' conversion gives them."""
        names: dict[str, str] = {}
        for base, first, second in self.compat.exchange:
            if base == dataset.base_name:
                names |= {first: second, second: first}
        return tuple(replace(m, name=names.get(m.name, m.name)) for m in dataset.modalities)

    def training_data(self, *shown: Any) -> StoredTrainingData:
        """Return training and validation as the authors' loaders give them."""
        return _AuthorsTrainingData(self.compat, *shown)

    def selection(self, dataset: DatasetSpec) -> Selection:
        """Return which epoch the authors take."""
        if self.compat.select == "val_acc_first":
            return Selection("jaccard", "first")
        if self.compat.select == "last":
            return Selection("micro_f1", "last")
        if self.compat.select == "per_metric_val":
            return Selection("micro_f1", also=tuple(m for m in PRINTED if m != "micro_f1"))
        return Selection("micro_f1")

    def order(self, view: SplitView, seed: int) -> NDArray[np.int64] | None:
        """Return which test samples the authors' loader keeps, in its order."""
        if view.split.name != TEST:
            return None
        return kept_order(len(view), self.compat.test_drop_last, generator(seed, "compat-test"))

    def metrics(
        self,
        parts: Sequence[Predictions],
        labels: Sequence[str],
        kind: LabelKind,
        declared: float,
        *,
        ranked: bool = True,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the figures as the authors print them, and the thresholds."""
        found, thresholds = evaluate_parts(parts, labels, kind, declared, ranked=ranked)
        others = [
            Metrics(p, places_of(p, labels, kind, under(thresholds, p.protocol), ranked=ranked))
            for p in parts
            if p.selected_for
        ]
        return printed(self.compat, found, others), thresholds


def rules_of(compat: CompatSpec | Mapping[str, Any] | None) -> EvaluationRules:
    """Return the rules of a model's card or of a record; None: the harness's own."""
    if compat is None:
        return EvaluationRules()
    if isinstance(compat, CompatSpec):
        return AuthorsRules(compat)
    return AuthorsRules(spec_of(compat))


def authors_rules(model: ModelSpec, dataset: DatasetSpec) -> EvaluationRules:
    """Return the rules of a model's authors on a data set.

    Raises:
        UsageError: no evaluation is known, or the data is not what it was written for.
    """
    if model.compat is None:
        raise UsageError(f"--compat: no public evaluation of {model.name!r} is known.")
    rules = rules_of(model.compat)
    rules.check(model, dataset)
    return rules


def kept_order(count: int, batch_size: int, drawn: torch.Generator) -> NDArray[np.int64] | None:
    """Return what a shuffled loader without its last incomplete batch yields, int [<= count].

    None means every sample: for a batch size of 0, and where not one batch would be left.
    """
    if not 0 < batch_size <= count:
        return None
    order: NDArray[np.int64] = torch.randperm(count, generator=drawn).numpy()
    return order[: count // batch_size * batch_size]


class _AuthorsTrainingData(StoredTrainingData):
    """Training and validation as an author's loaders give them; holds no test split either."""

    def __init__(self, compat: CompatSpec, *args: Any) -> None:
        super().__init__(*args)
        self._compat, self._current = compat, 0

    def epoch(self, epoch: int) -> BatchSource:
        """Return the training batches; the validation that follows is this epoch's."""
        self._current = epoch
        return super().epoch(epoch)

    def _ordered(
        self, order: NDArray[np.int64], size: int, drawn: torch.Generator
    ) -> NDArray[np.int64]:
        """Return the random order as it is: the authors' loaders know no lengths."""
        return order

    def validate(self, score: Scorer) -> dict[str, float] | None:
        """Return the figures of what the author's validation loader keeps in this epoch."""
        view = self._valid
        if view is None:
            return None
        drawn = generator(self._seed, f"compat-valid:{self._current}")
        order = kept_order(len(view), self._compat.val_drop_last, drawn)
        batches = view.batches(self._training.eval_batch_size, order=order)
        truth = np.asarray(view.split.labels)
        truth = truth if order is None else truth[order]
        spec = view.spec
        found = scalar_metrics(
            metrics_at(score(batches), truth, spec.labels, spec.label_kind, self._threshold)
        )
        return found | {"jaccard": round(found["jaccard"], self._compat.acc_round)}
