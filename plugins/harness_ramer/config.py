"""Hyper-parameters of both variants and the ablations of the paper's table 4."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from harness.errors import ConfigError, UnknownNameError

ABLATIONS: dict[str, str] = {
    "w/o-Lsc": "table 4 (1): no adversarial losses L_C and L_S (eq. 1, 2)",
    "w/o-C": "table 4 (2): no commonality: its slot and its losses",
    "w/o-S": "table 4 (3): no specificity: its slots and its losses",
    "w/o-Lscl": "table 4 (4): no supervised contrastive loss (eq. 11)",
    "w/o-codec": "table 4 (5): no encoders and decoders: Z and X~ are X_alpha itself",
    "w/o-Xbeta": "table 4 (6): no first level: the second is fed with what the first would be",
    "w/o-Xgamma": "table 4 (7): no second level: X_beta takes its place",
    "w/o-Xbeta-Xgamma": "table 4 (8): no reconstruction: X_alpha takes its place",
    "order-vtaC": "table 4 (9): fusion order v, t, a, C",
    "order-tavC": "table 4 (10): fusion order t, a, v, C",
    "w/o-shuffle": "c_zeta is trained on the unshuffled slots",
    "w/o-personality": "personality is ignored; on grids the attentions stay",
    "w/o-Lorth": "no orthogonality loss (eq. 4)",
    "w/o-Lcml": "no common semantic loss (eq. 3)",
    "w/o-adv": "the authors' switch: no L_C, L_S and L_orth",
    "w/o-rec": "the authors' switch: no L_lsr, L_scl and L_rec (eq. 7, 8, 11)",
}

ORDERS: dict[str, tuple[str, ...]] = {
    "order-vtaC": ("v", "t", "a", "C"),
    "order-tavC": ("t", "a", "v", "C"),
}

IMPOSSIBLE_IN_PUBLIC: dict[str, str] = {
    "order-vtaC": "the authors' code has no operation that depends on an order of fusion",
    "order-tavC": "the authors' code has no operation that depends on an order of fusion",
    "w/o-shuffle": "the authors' shuffle is a fixed reversal that changes no loss already",
}


def switches(ablate: Iterable[str], impossible: dict[str, str] | None = None) -> frozenset[str]:
    """Return the ablations in force, with `w/o-Xbeta-Xgamma` resolved into its two parts.

    Raises:
        UnknownNameError: a name that is none of `ABLATIONS`.
        ConfigError: one that this variant cannot do, or two fusion orders at once.
    """
    chosen = set(ablate)
    for name in sorted(chosen):
        if name not in ABLATIONS:
            raise UnknownNameError("ablation", name, ABLATIONS)
        if impossible and name in impossible:
            raise ConfigError(
                f"ramer-public cannot do {name!r}: {impossible[name]}. Use the model 'ramer'."
            )
    if chosen >= set(ORDERS):
        raise ConfigError("two fusion orders at once: choose order-vtaC or order-tavC.")
    if "w/o-Xbeta-Xgamma" in chosen:
        chosen |= {"w/o-Xbeta", "w/o-Xgamma"}
    return frozenset(chosen)


@dataclass(frozen=True)
class SharedConfig:
    """What both variants have. Defaults are the authors' launch scripts.

    Attributes:
        hidden_size: d, width of every per-label vector.
        intermediate_size: inner width of an encoder's feed-forward block.
        heads: attention heads of the encoders.
        layers: encoder layers of every modality, unless ``modality_layers`` names it.
        modality_layers: encoder layers by modality name.
        personality_layers: encoder layers of the personality tokens.
        dropout: of the encoders.
        max_positions: rows of an encoder's position table (at least the longest sequence).
        align_to: 0: native lengths. Else modalities longer than this are resampled to it by
            CARAT's soft aligner.
        projection_size: p, width of the latent space.
        prototype_momentum: kappa of the moving average.
        inference_prototypes: arg-max prototype (``hard``, as published) or the mix of eq. 9.
        queue_size: past embeddings that enter the contrast.
        temperature: eta of eq. 11.
        contrast_block: rows of the similarity matrix held at once (memory only).
        alpha_weight, beta_weight, gamma_weight: lambdas of eq. 8.
        recon_mse_weight, beta_mse_weight, gamma_mse_weight: weights of the distances of X~_alpha,
            X_beta and X_gamma to X_alpha (eq. 7 has the first two).
        contrastive_weight: lambda_s of eq. 13.
        adversarial_weight, orthogonality_weight, commonality_weight: lambda_a, lambda_o and
            lambda_c of eq. 5.
        shuffle_weight: weight of L_suf (eq. 12).
        specificity_dropout, commonality_dropout, discriminator_dropout: between Linear and
            activation of f_m, G and D.
        ablate: names of `ABLATIONS`.
    """

    hidden_size: int = 256
    intermediate_size: int = 256
    heads: int = 8
    layers: int = 3
    modality_layers: dict[str, int] = field(default_factory=dict)
    personality_layers: int = 3
    dropout: float = 0.3
    max_positions: int = 500
    align_to: int = 0
    projection_size: int = 64
    prototype_momentum: float = 0.99
    inference_prototypes: Literal["hard", "soft"] = "hard"
    queue_size: int = 8192
    temperature: float = 0.07
    contrast_block: int = 1024
    alpha_weight: float = 0.01
    beta_weight: float = 0.1
    gamma_weight: float = 1.0
    recon_mse_weight: float = 1.0
    beta_mse_weight: float = 1.0
    gamma_mse_weight: float = 0.0
    contrastive_weight: float = 1.0
    adversarial_weight: float = 0.01
    orthogonality_weight: float = 5e-6
    commonality_weight: float = 0.5
    shuffle_weight: float = 1.0
    specificity_dropout: float = 0.1
    commonality_dropout: float = 0.3
    discriminator_dropout: float = 0.1
    ablate: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        positive = ("hidden_size", "heads", "projection_size", "queue_size", "contrast_block")
        for name in positive:
            if getattr(self, name) < 1:
                raise ConfigError(f"model.{name} is {getattr(self, name)}; it must be at least 1.")
        if self.hidden_size % self.heads:
            raise ConfigError(
                f"model.hidden_size {self.hidden_size} is no multiple of model.heads {self.heads}."
            )
        if self.align_to < 0:
            raise ConfigError(f"model.align_to is {self.align_to}; 0 keeps native lengths.")
        if self.inference_prototypes not in ("hard", "soft"):
            raise ConfigError("model.inference_prototypes must be 'hard' or 'soft'.")
        self.off()

    def off(self) -> frozenset[str]:
        """Return the ablations in force."""
        return switches(self.ablate)


@dataclass(frozen=True)
class RamerConfig(SharedConfig):
    """The paper variant: what the equations say, and their options.

    Attributes:
        reconstruction_weight: lambda_r of eq. 13.
        norm: ``mse`` as the authors' code, ``frobenius`` as eq. 7 is printed.
        adversarial: ``reversal``: one backward pass through a gradient-reversal layer;
            ``alternating``: D is stepped first, then everything else against the new D.
        specificity_orthogonality: also between the S of two modalities, as TAILOR.
        total_aug_clf_weight: weight of c_zeta's loss on the unshuffled slots.
        recon_clf_weight: weight of the classification loss of X~_alpha.
        fusion_order: modality keys and ``C``; empty: ``v, a, t, C``.
        fusion_dropout: of the progressive fusion.
        sample_stacks, slot_stacks, shuffle_passes: sizes of the stack shuffle.
    """

    reconstruction_weight: float = 1.0
    norm: Literal["mse", "frobenius"] = "mse"
    adversarial: Literal["reversal", "alternating"] = "reversal"
    specificity_orthogonality: bool = False
    total_aug_clf_weight: float = 0.0
    recon_clf_weight: float = 0.0
    fusion_order: tuple[str, ...] = ()
    fusion_dropout: float = 0.1
    sample_stacks: int = 4
    slot_stacks: int = 3
    shuffle_passes: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm not in ("mse", "frobenius"):
            raise ConfigError("model.norm must be 'mse' or 'frobenius'.")
        if self.adversarial not in ("reversal", "alternating"):
            raise ConfigError("model.adversarial must be 'reversal' or 'alternating'.")
        for name in ("sample_stacks", "slot_stacks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"model.{name} must be at least 1.")
        if self.fusion_order and self.off() & set(ORDERS):
            raise ConfigError(
                "model.fusion_order and an order ablation at once: give one of the two."
            )

    def order(self) -> tuple[str, ...]:
        """Return the fusion order asked for; empty: the default."""
        for name in ORDERS:
            if name in self.off():
                return ORDERS[name]
        return tuple(self.fusion_order)


@dataclass(frozen=True)
class RamerPublicConfig(SharedConfig):
    """The authors' published code.

    Attributes:
        cml_dropout: on the logits of the commonality's classifier.
    """

    cml_dropout: float = 0.1

    def off(self) -> frozenset[str]:
        """Return the ablations in force; refuses those the code has no place for."""
        return switches(self.ablate, IMPOSSIBLE_IN_PUBLIC)
