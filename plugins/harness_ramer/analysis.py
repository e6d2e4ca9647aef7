"""What figures 3 and 4 of the paper are drawn from, and what is measured of the mechanisms."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.model import Diagnostics, ModelPlugin, StepContext, StepOutput
from harness.nn.objective import Objective
from harness.nn.scorers import LabelScorer

if TYPE_CHECKING:
    from harness_ramer.ramer import Reconstruction

# Axes of the tensors that `shown` returns (`harness.model.ModelPlugin.analysis_axes`).
AXES = dict.fromkeys(("X_alpha", "X_beta", "X_gamma", "specificity", "commonality"), "BLMH")


class Inspected(ModelPlugin):
    """The training step of both variants, and its mechanisms laid open."""

    analysis_axes = AXES
    shared_parameters = ("embedding.*",)

    @abstractmethod
    def features(self, batch: Batch) -> Any:
        """Return one forward pass, with ``rec``, ``specificity`` and ``commonality``."""

    @abstractmethod
    def step_objective(self, batch: Batch, ctx: StepContext) -> Objective:
        """Return eq. 13 of a labelled batch."""

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        """Return eq. 13."""
        objective = self.step_objective(batch, ctx)
        return StepOutput(objective.total, objective.terms)

    def loss_terms(self, batch: Batch, ctx: StepContext) -> dict[str, Tensor]:
        """Return the weighted terms of eq. 13."""
        return self.step_objective(batch, ctx).weighted

    def diagnostics(self, batch: Batch) -> Diagnostics:
        """Return what D judges and X_alpha and X_gamma for the probe, and eq. 7's pairs."""
        f = self.features(batch)
        return measured(f.rec, f.specificity, f.commonality, batch.present)


def measured(
    rec: Reconstruction, specificity: Tensor, commonality: Tensor, available: Tensor
) -> Diagnostics:
    """Return the diagnostics; those of ablated parts are absent.

    Args:
        rec: levels, float [B, M, L, H] each.
        specificity: S [B, M, L, H], or [B, 0, L, H].
        commonality: C, likewise.
        available: bool [B, M].
    """
    parts = {"S": specificity, "C": commonality}
    parts = {name: x for name, x in parts.items() if x.shape[1]}
    parts |= {f"X_{name}": x for name, x in rec.levels.items()}
    alpha = rec.levels["alpha"]
    levels = {"X~_alpha": rec.decoded, "D~": rec.intrinsic}
    levels |= {f"X_{name}": x for name, x in rec.levels.items() if name != "alpha"}
    return Diagnostics(available, parts, {name: (x, alpha) for name, x in levels.items()})


def shown(
    levels: Mapping[str, Tensor],
    usable: Mapping[str, Tensor],
    scorer: LabelScorer | None,
    specificity: Tensor,
    commonality: Tensor,
) -> dict[str, Tensor]:
    """Return the tensors of `ModelPlugin.analysis`; those of ablated parts are absent.

    Args:
        levels: X_alpha, X_beta and X_gamma, float [B, M, L, H], under ``alpha``, ``beta``,
            ``gamma``.
        usable: bool [B, M] for each level: modalities that may win a label.
        scorer: of eq. 8; None where it is not trained.
        specificity: S [B, M, L, H], or [B, 0, L, H].
        commonality: C [B, M, L, H], or [B, 0, L, H].

    Returns:
        ``available`` bool [B, M], what the sample has; ``X_<level>``, ``specificity``,
        ``commonality`` [B, L, M, H]; ``embeddings`` [B, L, M, 2, H], S then C;
        ``winner_<level>`` int64 [B, L], the modality (task order) that wins a label.
    """
    out = {"available": usable["alpha"]}
    for name, level in levels.items():
        out[f"X_{name}"] = level.transpose(1, 2)
        if scorer is not None:
            out[f"winner_{name}"] = scorer(level, usable[name])[1]
    parts = {"specificity": specificity, "commonality": commonality}
    out |= {name: part.transpose(1, 2) for name, part in parts.items() if part.shape[1]}
    if out.keys() >= parts.keys():
        out["embeddings"] = torch.stack([out["specificity"], out["commonality"]], dim=3)
    return out
