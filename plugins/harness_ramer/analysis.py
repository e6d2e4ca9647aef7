"""What figures 3 and 4 of the paper are drawn from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from harness.nn.scorers import LabelScorer

# Axes of the tensors that `shown` returns (`harness.model.ModelPlugin.analysis_axes`).
AXES = dict.fromkeys(("X_alpha", "X_beta", "X_gamma", "specificity", "commonality"), "BLMH")


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
