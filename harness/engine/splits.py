"""What training and evaluation get of a store: views of single splits, never the store itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.batch import Batch
from harness.data.grid_loader import open_loader
from harness.data.loader import BatchLoader, class_balanced_order, mask_request
from harness.data.store import Store, StoredSplit
from harness.engine.evaluate import FULL, TEST, VALID, metrics_at, scalar_metrics
from harness.engine.loop import BatchSource
from harness.engine.seeds import generator
from harness.errors import DataFormatError
from harness.protocols.dropout import (
    DropoutProtocol,
    MaskRequest,
    SplitMasks,
    Traits,
    parse,
    suite,
    train_mix,
)
from harness.specs import DatasetSpec, Layout, MaskOption, TrainingConfig

TRAIN = "train"
TRAIN_MIX = "train-mix"


class SplitView:
    """One split under a mask option; ``null_positions`` is the model's wish (rule 4).

    ``layout`` is what the model is given (`TaskInfo.layout`).
    """

    def __init__(
        self,
        split: StoredSplit,
        spec: DatasetSpec,
        mask: MaskOption,
        null_positions: bool,
        layout: Layout = "sequence",
    ) -> None:
        if not len(split.ids):
            raise DataFormatError(f"split {split.name!r} of {spec.name} is empty.")
        self.split, self.spec, self.mask = split, spec, mask
        self._null_positions, self._layout = null_positions, layout

    def __len__(self) -> int:
        return len(self.split.ids)

    def request(self) -> MaskRequest:
        """Return the split as dropout protocols see it."""
        return mask_request(self.split, self.spec)

    def masks(self, protocol: DropoutProtocol) -> SplitMasks:
        """Return the masks of a protocol for this split."""
        return protocol.masks(self.request())

    def batches(
        self,
        batch_size: int,
        masks: SplitMasks | None = None,
        *,
        labelled: bool = False,
        shuffle: torch.Generator | None = None,
        order: NDArray[np.int64] | None = None,
        drop_last: bool = False,
    ) -> BatchLoader:
        """Return the split's batches: in fixed order, shuffled, or in the ``order`` given."""
        return open_loader(
            self.split,
            self.spec,
            layout=self._layout,
            batch_size=batch_size,
            mask_option=self.mask,
            masks=masks,
            generator=shuffle,
            order=order,
            drop_last=drop_last,
            labelled=labelled,
            null_positions=self._null_positions,
        )


class TrainingSplit:
    """The training split as models see it in `setup_fit` and `fit` (`harness.model.FitData`)."""

    def __init__(self, view: SplitView) -> None:
        self._view = view

    @property
    def labels(self) -> Tensor:
        """Return the labels, float32 [N, L], in fixed order."""
        return torch.from_numpy(np.asarray(self._view.split.labels, dtype=np.float32))

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yield the split once, labelled, in fixed order, without dropping any sample."""
        yield from self._view.batches(batch_size, labelled=True)

    def __len__(self) -> int:
        return len(self._view)


class StoredTrainingData:
    """Training and validation split of a store; holds no way to the test split.

    Validation is undropped for a model trained on whole data, and the mean over ``core@1`` for one
    trained under ``train-mix@1``: what it is meant to be good at.
    """

    def __init__(
        self,
        store: Store,
        mask: MaskOption,
        null_positions: bool,
        training: TrainingConfig,
        threshold: float,
        seed: int,
        layout: Layout = "sequence",
    ) -> None:
        spec = store.spec
        self._train = SplitView(store.split(TRAIN), spec, mask, null_positions, layout)
        self._valid = (
            SplitView(store.split(VALID), spec, mask, null_positions, layout)
            if VALID in spec.splits
            else None
        )
        self._training, self._threshold, self._seed = training, threshold, seed
        self._fit = TrainingSplit(self._train)
        protocol = parse(training.train_dropout)
        self._request = None if protocol.id == FULL else self._train.request()
        self._protocol = protocol
        self._valid_masks: list[SplitMasks | None] = [None]
        if self._valid is not None and protocol.family == TRAIN_MIX:
            core = suite("core@1", Traits.of(spec))
            self._valid_masks = [self._valid.masks(p) for p in core]

    @property
    def fit(self) -> TrainingSplit:
        """Return the training split as models see it."""
        return self._fit

    def epoch(self, epoch: int) -> BatchSource:
        """Return the labelled training batches of an epoch.

        The last batch is dropped where the recipe says so, unless it is the only one.
        """
        size = self._training.batch_size
        drawn = generator(self._seed, f"order:{epoch}")
        balanced = self._training.sampler == "class-balanced"
        labels = self._train.split.labels
        held_out = None if self._valid is None else self._valid.split.labels
        return self._train.batches(
            size,
            self._train_masks(epoch),
            labelled=True,
            shuffle=None if balanced else drawn,
            order=class_balanced_order(labels, drawn, held_out) if balanced else None,
            drop_last=self._training.drop_last and len(self._train) >= size,
        )

    def validate(self, score: Callable[[BatchSource], Any]) -> dict[str, float] | None:
        """Return the mean validation metrics at the declared threshold; None without the split."""
        if self._valid is None:
            return None
        spec, truth = self._valid.spec, np.asarray(self._valid.split.labels)
        found = []
        for masks in self._valid_masks:
            scores = score(self._valid.batches(self._training.eval_batch_size, masks))
            full = metrics_at(scores, truth, spec.labels, spec.label_kind, self._threshold)
            found.append(scalar_metrics(full))
        return {name: float(np.mean([f[name] for f in found])) for name in found[0]}

    def _train_masks(self, epoch: int) -> SplitMasks | None:
        if self._request is None:
            return None
        if self._protocol.family == TRAIN_MIX:
            return train_mix(self._request, epoch)
        return self._protocol.masks(self._request)


def evaluation_views(
    store: Store,
    mask: MaskOption,
    null_positions: bool,
    splits: Sequence[str] = (VALID, TEST),
    layout: Layout = "sequence",
) -> dict[str, SplitView]:
    """Return the splits a selected model is scored on. Call this after selection, not before."""
    return {
        name: SplitView(store.split(name), store.spec, mask, null_positions, layout)
        for name in splits
        if name in store.spec.splits
    }
