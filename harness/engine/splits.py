"""What training and evaluation get of a store: views of single splits, never the store itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.batch import Batch
from harness.data.layouts.stored import StoredSplit
from harness.data.lengths import batches_within, bucketed, uneven
from harness.data.loader import class_balanced_order
from harness.data.store import Store
from harness.engine.evaluate import FULL, TEST, VALID, metrics_at, scalar_metrics
from harness.engine.loop import BatchSource, Scorer
from harness.engine.seeds import generator
from harness.errors import DataFormatError
from harness.model import ModelPlugin
from harness.protocols.dropout import (
    DropoutProtocol,
    SplitMasks,
    Traits,
    suite,
    training_masks,
    training_protocol,
)
from harness.protocols.thresholds import TUNED, tuned_micro_f1
from harness.specs import Layout, MaskOption, TrainingConfig

TRAIN = "train"
PAIRED = "train-paired"
# Numbers of a batch's padded features, and samples, up to which a larger batch costs no memory that
# matters and saves calls: 85 samples of MOSEI at full length, all of MOSI's validation split.
EVALUATED = 1 << 21
MOST_EVALUATED = 1024


class SplitView:
    """One split as a model is given it.

    Args:
        split: the stored split.
        mask: mask option.
        model: decides the layout (`TaskInfo.layout`), whether modalities without positions get a
            null position (rule 4 of dropout), whether padding is left out, and under which names
            modalities are given: those of its task, column by column. None: batches as the store
            has them.

    Raises:
        DataFormatError: the split is empty.
    """

    def __init__(
        self, split: StoredSplit, mask: MaskOption, model: ModelPlugin | None = None
    ) -> None:
        if not len(split.ids):
            raise DataFormatError(f"split {split.name!r} of {split.spec.name} is empty.")
        self.split, self.spec, self.mask = split, split.spec, mask
        self._options: dict[str, Any] = {"mask_option": mask}
        self._names: dict[str, str] = {}
        if model is not None:
            self._options |= {
                "layout": model.task.layout,
                "null_positions": model.needs_nonempty_mask,
                "trim": not model.reads_padding,
            }
            given = (m.name for m in model.task.modalities)
            pairs = zip(self.spec.modality_names, given, strict=True)
            self._names = {name: other for name, other in pairs if name != other}

    def __len__(self) -> int:
        return len(self.split)

    @property
    def separable(self) -> bool:
        """Return whether dropping a modality leaves the batch's others exactly as they are."""
        return self.split.separable(self._layout)

    @cached_property
    def ends(self) -> NDArray[np.int64] | None:
        """Return the positions that samples need, int64 [N, M]; None: length says nothing here."""
        if not self._options.get("trim"):
            return None
        return self.split.ends(self.mask, self._layout)

    @property
    def _layout(self) -> Layout:
        layout: Layout = self._options.get("layout", "sequence")
        return layout

    def bucketed(
        self, order: NDArray[np.int64], batch_size: int, drawn: torch.Generator
    ) -> NDArray[np.int64]:
        """Return a random order of samples, by length where that saves padding."""
        if self.ends is None or not uneven(self.ends):
            return order
        return bucketed(order, self.ends, batch_size, drawn)

    def parts(
        self, batch_size: int, rows: NDArray[np.int64] | None = None
    ) -> list[NDArray[np.int64]]:
        """Return the batches in which samples are scored, each an array of their indices.

        Samples are sorted by length where that saves padding. A batch holds as many of them as
        have the padded features of ``batch_size`` samples of full length, or `EVALUATED` numbers
        where those are fewer: memory stays what the recipe's batch size takes, and short samples
        come in large batches.

        Args:
            batch_size: samples per batch at full length.
            rows: which samples; None: all of them.
        """
        rows = np.arange(len(self)) if rows is None else rows
        ends = self.ends
        if ends is None:
            return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
        if uneven(ends):
            rows = rows[np.argsort(ends[rows].sum(axis=1), kind="stable")]
        full = sum(m.max_length * m.dim for m in self.spec.modalities)
        dims = [m.dim for m in self.spec.modalities]
        return batches_within(rows, ends, dims, max(batch_size * full, EVALUATED), MOST_EVALUATED)

    def masks(self, protocol: DropoutProtocol) -> SplitMasks:
        """Return the masks of a protocol for this split."""
        return protocol.masks(self.split.mask_request())

    def batches(
        self, batch_size: int, masks: SplitMasks | None = None, **options: Any
    ) -> BatchSource:
        """Return the split's batches.

        Args:
            batch_size: samples per batch.
            masks: masks of a dropout protocol; None: no dropout.
            options: ``order``, ``parts``, ``drop_last``, ``labelled``, as of
                `harness.data.loader.BatchLoader`.
        """
        loader = self.split.loader(batch_size=batch_size, masks=masks, **self._options, **options)
        return RenamedBatches(loader, self._names) if self._names else loader


class RenamedBatches:
    """Batches whose modalities have other names, in the order they had."""

    def __init__(self, batches: BatchSource, names: Mapping[str, str]) -> None:
        self._batches, self._names = batches, names

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            yield batch.renamed(self._names)


class TrainingSplit:
    """The training split as models see it in `setup_fit` and `fit` (`harness.model.FitData`).

    Args:
        view: the split.
        masks: what is missing of it; None: nothing is dropped.
    """

    def __init__(self, view: SplitView, masks: SplitMasks | None = None) -> None:
        self._view, self._masks = view, masks

    @property
    def labels(self) -> Tensor:
        """Return the labels, float32 [N, L], in fixed order."""
        return torch.from_numpy(np.asarray(self._view.split.labels, dtype=np.float32))

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yield the split once, labelled, in fixed order, without dropping any sample."""
        yield from self._view.batches(batch_size, self._masks, labelled=True)

    def __len__(self) -> int:
        return len(self._view)


class StoredTrainingData:
    """Training and validation split of a store; holds no way to the test split.

    Validation is undropped for a model trained on whole data, and the mean over ``core@1`` for one
    trained under a protocol of training such as ``train-mix@1``.

    Args:
        store: the prepared data set.
        mask: mask option.
        model: the model that is trained.
        training: batch sizes, sampler and training dropout.
        threshold: declared decision threshold of the validation metrics.
        seed: training seed, for the order of samples.
    """

    def __init__(
        self,
        store: Store,
        mask: MaskOption,
        model: ModelPlugin,
        training: TrainingConfig,
        threshold: float,
        seed: int,
    ) -> None:
        views = views_of(store, mask, model, (TRAIN, VALID))
        self._train, self._valid = views[TRAIN], views.get(VALID)
        self._training, self._threshold, self._seed = training, threshold, seed
        self._fit = TrainingSplit(self._train)
        traits = Traits.of(store.spec, mask)
        protocol = training_protocol(training.train_dropout, traits)
        self._request = None if protocol.id == FULL else self._train.split.mask_request()
        self._protocol = protocol
        self._paired = model.wants_complete and protocol.family == PAIRED
        self._valid_masks: list[SplitMasks] = []
        if self._valid is not None:
            self._valid_masks = [SplitMasks(self._valid.split.natural, None, None, 0.0, "")]
        if self._valid is not None and protocol.for_training:
            core = suite("core@1", traits)
            self._valid_masks = [self._valid.masks(p) for p in core]

    @property
    def fit(self) -> TrainingSplit:
        """Return the training split, nothing dropped, for `ModelPlugin.setup_fit`."""
        return self._fit

    @property
    def fit_once(self) -> TrainingSplit:
        """Return the training split for a model without epochs: masked as the first epoch is."""
        return TrainingSplit(self._train, self._train_masks(0))

    def epoch(self, epoch: int) -> BatchSource:
        """Return the labelled training batches of an epoch.

        The last batch is dropped where the recipe says so, unless it is the only one.
        """
        return self._epoch(epoch, self._train_masks(epoch))

    def complete(self, epoch: int) -> BatchSource | None:
        """Return the batches of `epoch` before anything is dropped; None: the model sees none.

        A model that asks for them (`ModelPlugin.wants_complete`) sees them under `PAIRED` alone.
        """
        return self._epoch(epoch, None) if self._paired else None

    def _epoch(self, epoch: int, masks: SplitMasks | None) -> BatchSource:
        size = self._training.batch_size
        drawn = generator(self._seed, f"order:{epoch}")
        if self._training.sampler == "class-balanced":
            held_out = None if self._valid is None else self._valid.split.labels
            order = class_balanced_order(self._train.split.labels, drawn, held_out)
        else:
            order = torch.randperm(len(self._train), generator=drawn).numpy()
        return self._train.batches(
            size,
            masks,
            labelled=True,
            order=self._ordered(order, size, drawn),
            drop_last=self._training.drop_last and len(self._train) >= size,
        )

    def validate(self, score: Scorer) -> dict[str, float] | None:
        """Return the mean validation metrics at the declared threshold; None without the split.

        With several labels a sample micro-F1 at the tuned threshold stands beside them.
        """
        if self._valid is None:
            return None
        spec, truth = self._valid.spec, np.asarray(self._valid.split.labels)
        size = self._training.eval_batch_size
        scores = score.under(self._valid, self._valid_masks, size)
        found = [
            scalar_metrics(metrics_at(s, truth, spec.labels, spec.label_kind, self._threshold))
            for s in scores
        ]
        means = {name: float(np.mean([f[name] for f in found])) for name in found[0]}
        if spec.label_kind == "multilabel":
            means[TUNED] = tuned_micro_f1(scores, truth)
        return means

    def _ordered(
        self, order: NDArray[np.int64], size: int, drawn: torch.Generator
    ) -> NDArray[np.int64]:
        """Return the order of an epoch's samples, from a random one."""
        return self._train.bucketed(order, size, drawn)

    def _train_masks(self, epoch: int) -> SplitMasks | None:
        if self._request is None:
            return None
        return training_masks(self._protocol, self._request, epoch)


def views_of(
    store: Store,
    mask: MaskOption,
    model: ModelPlugin | None = None,
    splits: Sequence[str] = (VALID, TEST),
) -> dict[str, SplitView]:
    """Return views of those of the splits that the data set has, by name.

    The test split is opened after selection, never before.

    Args:
        store: the prepared data set.
        mask: mask option.
        model: the model that is given the views; see `SplitView`.
        splits: names of splits.
    """
    return {
        name: SplitView(store.split(name), mask, model)
        for name in splits
        if name in store.spec.splits
    }
