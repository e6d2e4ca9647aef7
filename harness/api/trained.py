"""`TrainedModel`: a run's selected model, applied to splits, batches or arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api.arrays import Split
from harness.errors import UnknownNameError, UsageError
from harness.protocols.dataset import position_mask
from harness.records.record import COMPLETE, RunRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.data.batch import Batch
    from harness.engine.device import Compute
    from harness.model import ModelPlugin
    from harness.plugins import Registry
    from harness.specs import ModalitySpec, TaskInfo

Samples = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """The selected model of a finished run.

    Attributes:
        record: the run; None: a folder with nothing but a checkpoint.
        module: the torch module in evaluation mode.
        compute: its device and precision.
    """

    record: RunRecord | None
    module: ModelPlugin
    compute: Compute

    @property
    def task(self) -> TaskInfo:
        """Return what the model was built for: modalities, labels, layout."""
        return self.module.task

    def predict(
        self,
        data: Split | Batch | Samples,
        *,
        lengths: Mapping[str, Sequence[int] | NDArray[np.integer]] | None = None,
        masks: Mapping[str, Any] | None = None,
        personality: NDArray[np.floating] | None = None,
        dropout: str = COMPLETE,
        batch_size: int | None = None,
    ) -> NDArray[np.float32]:
        """Return the scores of N samples, float32 [N, L] in [0, 1].

        Args:
            data: a split of `harness.dataset`, a `harness.Batch`, or a mapping from modality names
                to features: [N, T, d], or N arrays [T_i, d] (T_i = 0: the sample lacks the
                modality); None where no sample has it. Padding is masked as in training.
            lengths: per modality, int [N]; rows beyond are padding. Of a mapping only.
            masks: per modality, N arrays bool [T_i] of the positions to attend, in place of the
                mask option trained under. Of a mapping only.
            personality: float [N, d_p], for models of data with personality; None: unknown. Of a
                mapping only.
            dropout: dropout protocol to apply to a split.
            batch_size: samples of a split at a time; None: as the run was evaluated. Anything else
                is one batch.

        Raises:
            UsageError: features, labels or options do not fit the model.
            RunFailedError: a score is NaN or infinite.

        Example:
            >>> model.predict({"text": np.zeros((2, 50, 300)), "audio": None, "visual": None})
        """
        from harness.data.batch import Batch
        from harness.engine.predict import predict
        from harness.engine.trained import batches_for

        given = {"lengths": lengths, "masks": masks, "personality": personality}
        wrong = [name for name, value in given.items() if value is not None]
        wrong = [] if isinstance(data, Mapping) else wrong
        wrong += [] if isinstance(data, Split) or dropout == COMPLETE else ["dropout"]
        if wrong:
            raise UsageError(f"predict takes no {wrong[0]} with a {type(data).__name__}.")
        batches: Iterable[Batch]
        if isinstance(data, Split):
            batches = batches_for(
                self.module, self.record, data.stored,
                dropout=dropout, batch_size=batch_size,
            )  # fmt: skip
        elif isinstance(data, Batch | Mapping):
            if isinstance(data, Mapping):
                option = self.record.dataset["mask"] if self.record is not None else "ones"
                data = batch_of(data, self.task, option, lengths or {}, masks or {}, personality)
            batches = [data.with_null_positions() if self.module.needs_nonempty_mask else data]
        else:
            raise UsageError(
                "predict takes a split of harness.dataset, a harness.Batch, or a mapping from "
                f"modality names to arrays, not a {type(data).__name__}."
            )
        with self.compute.deterministic():
            return predict(self.module, batches, self.compute)

    def analysis(
        self, data: Split, wanted: Callable[[str], bool] = bool, batch_size: int | None = None
    ) -> tuple[dict[str, NDArray[Any]], list[str]]:
        """Return tensors of the model's `analysis` over a split.

        Args:
            data: a split of `harness.dataset`.
            wanted: called with a tensor's name; whether it is kept.
            batch_size: as for `predict`.

        Returns:
            arrays [N, ...] by name, and the names of all tensors that the model gives.
        """
        import torch

        from harness.engine.trained import batches_for

        batches = batches_for(self.module, self.record, data.stored, batch_size=batch_size)
        kept: dict[str, list[NDArray[Any]]] = {}
        names: list[str] = []
        with torch.no_grad(), self.compute.deterministic():
            for batch in batches:
                found = self.module.analysis(batch.without_labels().to(self.compute.device))
                names = list(found)
                for name in filter(wanted, found):
                    kept.setdefault(name, []).append(found[name].detach().cpu().numpy())
        return {name: np.concatenate(parts) for name, parts in kept.items()}, names

    def decide(
        self, scores: NDArray[np.floating], threshold: str | float = "declared"
    ) -> NDArray[np.uint8]:
        """Return the labels predicted by scores, uint8 [N, L].

        Args:
            scores: [N, L], of `predict`.
            threshold: ``declared``, ``tuned`` (on validation) or a number; single-label data
                takes the label with the highest score and no threshold.
        """
        from harness.protocols.thresholds import apply, argmax

        if self.task.label_kind == "singlelabel":
            return argmax(scores)
        if isinstance(threshold, str):
            stored = self.record.threshold if self.record is not None else {}
            if threshold not in ("declared", "tuned"):
                raise UnknownNameError("threshold", threshold, ("declared", "tuned"))
            known = stored.get(threshold)
            if known is None:
                raise UsageError(f"the run has no {threshold} threshold; give a number.")
            threshold = float(known)
        return apply(scores, threshold)


def open_model(
    folder: Path, record: RunRecord | None, registry: Registry, device: str
) -> TrainedModel:
    """Return the model of a run's folder.

    Args:
        folder: where its checkpoint is.
        record: the run; None: not known.
        registry: the plugins, with the model's.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        DataMissingError: there is no checkpoint.
        DataFormatError: it is broken or does not fit the model's code.
        UnknownNameError: the model's plugin is not loaded.
    """
    from harness.engine.checkpoint import load_checkpoint
    from harness.engine.device import choose

    compute = choose(device, "fp32" if record is None else record.precision)
    return TrainedModel(
        record, load_checkpoint(folder, registry, record).to(compute.device), compute
    )


def batch_of(
    arrays: Samples,
    task: TaskInfo,
    mask_option: str,
    lengths: Mapping[str, Any],
    masks: Mapping[str, Any],
    personality: NDArray[np.floating] | None = None,
) -> Batch:
    """Return samples given as arrays as one batch, padded and masked as in training.

    Args:
        arrays: per modality, [N, T, d] or N arrays [T_i, d], or None.
        task: what the model was built for.
        mask_option: the mask option it was trained under.
        lengths: per modality, int [N].
        masks: per modality, N arrays bool [T_i].
        personality: float [N, d_p], or None.

    Raises:
        UsageError: a modality is missing, unknown or of another shape, or the counts differ.
    """
    import torch

    from harness.data.batch import Batch

    if task.cells:
        raise UsageError(
            "the model takes grids: give a split of harness.dataset or a harness.Batch with grid."
        )
    names = [m.name for m in task.modalities]
    for what, given in (("features", arrays), ("lengths", lengths), ("masks", masks)):
        for name in given:
            if name not in names:
                raise UnknownNameError(f"modality in {what}", name, names)
    counts = {name: len(value) for name, value in arrays.items() if value is not None}
    if set(arrays) != set(names) or len(set(counts.values())) != 1:
        raise UsageError(
            f"give features of {', '.join(names)} for the same samples (None: no sample has the "
            f"modality); found {', '.join(f'{n}: {c} samples' for n, c in counts.items())}."
        )
    total = next(iter(counts.values()))
    features: dict[str, Any] = {}
    attended: dict[str, Any] = {}
    present = torch.ones(total, len(names), dtype=torch.bool)
    for column, m in enumerate(task.modalities):
        rows = _checked(m, arrays[m.name], lengths.get(m.name), total)
        stored = np.array([len(x) for x in rows])
        width = m.max_length if mask_option == "ones" else max(1, int(stored.max(initial=0)))
        values = np.zeros((total, width, m.dim), dtype=np.float32)
        for place, x in enumerate(rows):
            values[place, : len(x)] = x[:width]
        mask = position_mask(mask_option, values, stored, stored)
        if m.name in masks:
            mask = np.zeros((total, width), dtype=np.bool_)
            for place, chosen in enumerate(masks[m.name]):
                mask[place, : stored[place]] = np.asarray(chosen, dtype=np.bool_)[: stored[place]]
            values[~mask] = 0.0
            stored = np.where(mask.any(axis=1), stored, 0)
        present[:, column] = torch.from_numpy(stored > 0)
        features[m.name], attended[m.name] = torch.from_numpy(values), torch.from_numpy(mask)
    tokens = known = None
    if personality is not None and np.shape(personality) != (total, task.personality_dim):
        raise UsageError(
            f"personality has the shape {np.shape(personality)}, expected "
            f"{(total, task.personality_dim)}."
        )
    if task.personality_dim:
        tokens = torch.zeros(total, 1, task.personality_dim)
        if personality is not None:
            tokens[:, 0] = torch.as_tensor(np.asarray(personality, dtype=np.float32))
        known = torch.full((total, 1), personality is not None)
    ids = tuple(map(str, range(total)))
    return Batch(features, attended, present, present, ids, None, tokens, known)


def _checked(m: ModalitySpec, values: Any, lengths: Any, total: int) -> list[NDArray[np.float32]]:
    """Return the rows of each sample, float32 [T_i, d], without padding."""
    if values is None:
        return [np.zeros((0, m.dim), dtype=np.float32)] * total
    rows = [np.asarray(x, dtype=np.float32) for x in values]
    if lengths is not None:
        if len(lengths) != total:
            raise UsageError(f"{m.name}: {len(lengths)} lengths for {total} samples.")
        rows = [x[: int(n)] for x, n in zip(rows, lengths, strict=True)]
    for place, x in enumerate(rows):
        if x.ndim != 2 or x.shape[1] != m.dim or not np.isfinite(x).all():
            raise UsageError(
                f"{m.name}, sample {place}: expected finite features of shape (T, {m.dim}), found "
                f"shape {x.shape}."
            )
    return rows
