"""`Batch`: what a model sees. Features, masks and presence; labels only while training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harness.data.grid import Grid, grid_of_sequence, moved


@dataclass(frozen=True, eq=False)
class Batch:
    """A padded batch of B samples. Compared by identity: tensors have no truth value.

    Attributes:
        features: per modality name, float32 [B, T_m, d_m]; zero wherever ``mask`` is false because
            of dropout or a missing modality (selected, never multiplied).
        mask: per modality name, bool [B, T_m]; true where the model may attend. Under the mask
            option ``ones`` padding counts as attendable, as in the authors' loaders.
        present: bool [B, M], modalities in the task's order; effective availability A' after the
            dropout protocol.
        natural: bool [B, M]; availability A in the data, before any protocol.
        ids: the B sample ids.
        labels: float32 [B, L] in {0, 1} (one-hot for single-label data), or None: a batch for
            prediction carries no labels.
        personality: float32 [B, P, d_p] personality tokens, or None.
        personality_mask: bool [B, P], or None.
        grid: persons x segments, for models that take the layout ``grid`` on such data; then
            ``features`` and ``mask`` are empty. None: use `as_grid`.
        focus: int64 [B], in the sequence view of a grid the position asked about; else None.
            Always 0: the view is the target person's row with the target segment moved to the
            front (its order is otherwise kept), so that any model can recognise it by its position.
        speakers: int64 [B, T], who speaks at each position of a dialogue, numbered within the
            sample in the order of the parties' names, 0 for padding; T is that of the longest
            modality. None: the data does not say (`TaskInfo.speakers`). A grid's persons speak.
    """

    features: dict[str, Tensor]
    mask: dict[str, Tensor]
    present: Tensor
    natural: Tensor
    ids: tuple[str, ...]
    labels: Tensor | None = None
    personality: Tensor | None = None
    personality_mask: Tensor | None = None
    grid: Grid | None = None
    focus: Tensor | None = None
    speakers: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def device(self) -> torch.device:
        """Return the device the tensors are on."""
        return self.present.device

    @property
    def targets(self) -> Tensor:
        """Return the labels [B, L].

        Raises:
            ValueError: the batch is for prediction and carries none.
        """
        if self.labels is None:
            raise ValueError("this batch is for prediction and carries no labels")
        return self.labels

    def as_grid(self) -> Grid:
        """Return the grid, or a sequence as a grid of one person (`grid_of_sequence`)."""
        if self.grid is not None:
            return self.grid
        personality = self.personality
        if personality is not None and self.personality_mask is not None:
            personality = torch.where(self.personality_mask[..., None], personality, 0.0)
        return grid_of_sequence(self.features, self.mask, personality)

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on another device; itself where it is there."""
        return self if self.device == torch.device(device) else moved(self, device)

    def renamed(self, names: Mapping[str, str]) -> Batch:
        """Return the batch with its modalities under other names, in the order they had.

        Args:
            names: new name by old name; modalities that are not in it keep theirs.
        """

        def under(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {names.get(m, m): x for m, x in values.items()}

        grid = self.grid
        if grid is not None:
            grid = replace(grid, rows=under(grid.rows), index=under(grid.index))
        return replace(self, features=under(self.features), mask=under(self.mask), grid=grid)

    def select(self, places: Sequence[int]) -> Batch:
        """Return the samples at these places, in this order, with the padding they have here."""
        chosen = torch.as_tensor(list(places), dtype=torch.int64, device=self.device)

        def pick(t: Tensor | None) -> Tensor | None:
            return None if t is None else t[chosen]

        return replace(
            self,
            features={m: x[chosen] for m, x in self.features.items()},
            mask={m: x[chosen] for m, x in self.mask.items()},
            present=self.present[chosen],
            natural=self.natural[chosen],
            ids=tuple(self.ids[place] for place in places),
            labels=pick(self.labels),
            personality=pick(self.personality),
            personality_mask=pick(self.personality_mask),
            grid=None if self.grid is None else self.grid.select(chosen),
            focus=pick(self.focus),
            speakers=pick(self.speakers),
        )

    def keeping(self, kept: Tensor) -> Batch:
        """Return the batch without some modalities, as a dropout protocol would leave it.

        Null positions stay those of modalities that were missing before: call
        `with_null_positions` for those that are missing now.

        Args:
            kept: bool [B, M], on the batch's device; what is missing already stays so.
        """
        columns = dict(zip(self.mask, kept.unbind(1), strict=False))
        return replace(
            self,
            features={
                m: torch.where(columns[m][:, None, None], x, 0.0) for m, x in self.features.items()
            },
            mask={m: x & columns[m][:, None] for m, x in self.mask.items()},
            present=self.present & kept,
            grid=None if self.grid is None else self.grid.keeping(kept),
        )

    @property
    def ends(self) -> dict[str, Tensor]:
        """Return per modality how many positions lead up to the last attendable one, int64 [B]."""
        return {
            m: torch.where(x, torch.arange(1, x.shape[1] + 1, device=x.device), 0).amax(1)
            for m, x in self.mask.items()
        }

    def trimmed(self) -> Batch:
        """Return the batch without the positions at the end that no sample may attend to."""
        widths = {m: max(1, int(ends.max())) for m, ends in self.ends.items()}
        speakers = self.speakers
        return replace(
            self,
            features={m: x[:, : widths[m]] for m, x in self.features.items()},
            mask={m: x[:, : widths[m]] for m, x in self.mask.items()},
            speakers=None if speakers is None else speakers[:, : max(widths.values())],
        )

    def without_labels(self) -> Batch:
        """Return the batch as a model sees it in prediction."""
        return replace(self, labels=None)

    def with_null_positions(self) -> Batch:
        """Give a modality without any attendable position one null position (rule 4 of dropout).

        Position 0 becomes attendable with a zero vector; ``present`` stays false. Attention and
        pooling then stay finite, identically for every model with `needs_nonempty_mask`.
        """
        features, mask = dict(self.features), dict(self.mask)
        for name, valid in self.mask.items():
            empty = ~valid.any(dim=1)
            opened = valid.clone()
            opened[:, 0] = valid[:, 0] | empty
            mask[name] = opened
            features[name] = torch.where(empty[:, None, None], 0.0, self.features[name])
        return replace(self, features=features, mask=mask)
