"""A plugin file whose data and model depend on modalities in a known way; nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.data.corpus import Corpus, SplitArrays
from harness.hookspecs import hookimpl
from harness.model import FitData, ModelPlugin, StepContext
from harness.specs import DatasetSpec, ModalitySpec, ModelSpec

# Rows labels, columns text and audio.
PLANTED = np.array([[2.0, 0.2], [0.3, 1.8], [1.2, 0.9]])


class Known(Corpus):
    """Modality m shows label l with strength PLANTED[l, m], on coordinate l."""

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        for number, name in enumerate(self.spec.splits):
            rng = np.random.default_rng(number)
            labels = (rng.random((80, 3)) < 0.4).astype(np.uint8)
            shown = {
                m.name: (2.0 * labels - 1.0) * PLANTED[:, j] + rng.standard_normal((80, 3))
                for j, m in enumerate(self.spec.modalities)
            }
            yield SplitArrays(
                name, [f"{name}{i}" for i in range(80)], [f"g{i // 4}" for i in range(80)], labels,
                {m: [x[None].astype(np.float32) for x in rows] for m, rows in shown.items()},
            )  # fmt: skip

    def write_twin(self, root: Path, seed: int, size: str) -> None:
        root.mkdir(parents=True, exist_ok=True)

    def ceiling_scores(self, split: Any, keep: Any, seed: int) -> np.ndarray:
        shown = np.stack([split.padded(np.arange(len(split)), {"text": 1, "audio": 1})[m][:, 0]
                          for m in ("text", "audio")], axis=2)  # fmt: skip
        logit = np.log(0.4 / 0.6) + (2 * PLANTED * shown * keep.keep[:, None, :]).sum(axis=2)
        return 1 / (1 + np.exp(-logit))

    def planted_dependence(self) -> np.ndarray | None:
        return PLANTED if self.spec.source == "twin" else None


@dataclass(frozen=True)
class KnownConfig:
    """``ablate``: ``mixed`` makes the specificity of the modalities alike."""

    ablate: tuple[str, ...] = ()


class Best(ModelPlugin):
    """The largest evidence of any modality, with the true strengths."""

    Config = KnownConfig
    iterative = False

    def __init__(self, config: KnownConfig, task: object) -> None:
        super().__init__(config, task)
        self.register_buffer("strength", torch.tensor(PLANTED, dtype=torch.float32))

    def fit(self, data: FitData, ctx: StepContext) -> None:
        """Learn nothing."""

    def evidence(self, batch: Batch) -> Tensor:
        shown = [batch.features[m.name].sum(1) for m in self.task.modalities]
        return torch.stack(shown, dim=2) * self.strength

    def predict_step(self, batch: Batch) -> Tensor:
        return self.evidence(batch).amax(dim=2).sigmoid()

    def analysis(self, batch: Batch) -> dict[str, Tensor]:
        evidence = self.evidence(batch)
        apart = 0.0 if self.config.ablate else 6.0
        place = apart * torch.eye(2)[None, None] + 0.1 * evidence[..., None]
        return {
            "available": batch.present,
            "winner_only": evidence.argmax(dim=2),
            "specificity": place,
            "commonality": evidence[..., None].expand(-1, -1, -1, 2),
            "flat": evidence.flatten(1),
        }


class Silent(Best):
    """The same without anything to analyse."""

    def analysis(self, batch: Batch) -> dict[str, Tensor]:
        return {}


@hookimpl
def harness_datasets() -> list[DatasetSpec]:
    modalities = (ModalitySpec("text", "t", 3, 1), ModalitySpec("audio", "a", 3, 1))
    return [DatasetSpec("known", "known_plugin:Known", modalities, ("x", "y", "z"), has_twin=True)]


@hookimpl
def harness_models() -> list[ModelSpec]:
    return [
        ModelSpec("best", "known_plugin:Best", "largest evidence", ""),
        ModelSpec("silent", "known_plugin:Silent", "no analysis", ""),
    ]
