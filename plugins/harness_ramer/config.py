"""Hyper-parameters of both variants, and the ablations of the paper's table 4."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.errors import ConfigError, UnknownNameError
from harness.plugins.cards import read_card
from harness.specs import ModalitySpec, TaskInfo, bounded

ABLATIONS: dict[str, str] = {
    a.name: a.removes for a in read_card("harness_ramer:ramer.yaml").ablations
}
"""Names that the option ``ablate`` takes and what each removes, as the card lists them."""

ORTHOGONALITY = ("orthogonality", "orthogonality_specific")
ADVERSARIAL = ("adversarial_common", "adversarial_specific")
LEVELS = ("clf_alpha", "clf_beta", "clf_gamma")
DISTANCES = ("rec_decoded", "rec_beta", "rec_gamma")

ZEROED: dict[str, tuple[str, ...]] = {
    "w/o-Lsc": ADVERSARIAL,
    "w/o-C": ("adversarial_common", "orthogonality", "common_semantic"),
    "w/o-S": ("adversarial_specific", *ORTHOGONALITY),
    "w/o-Lscl": ("contrastive",),
    "w/o-codec": ("rec_decoded",),
    "w/o-Xbeta": ("clf_beta", "rec_beta"),
    "w/o-Xgamma": ("clf_gamma", "rec_gamma"),
    "w/o-Lorth": ORTHOGONALITY,
    "w/o-Lcml": ("common_semantic",),
    "w/o-adv": (*ADVERSARIAL, *ORTHOGONALITY),
    "w/o-rec": (*LEVELS, *DISTANCES, "contrastive"),
}
"""The terms of eq. 13 that an ablation gives weight zero; what else it changes is structure."""

POSITIONS = 500
"""Rows of every position table, as the authors' (more where a sequence is longer)."""

PAPER_ORDER = ("v", "a", "t")
ORDERS: dict[str, tuple[str, ...]] = {
    "order-vtaC": ("v", "t", "a"),
    "order-tavC": ("t", "a", "v"),
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


def fusion_order(off: frozenset[str], modalities: Sequence[ModalitySpec]) -> tuple[int, ...]:
    """Return the modalities' indices in the order of fusion.

    Args:
        off: the ablations in force.
        modalities: the task's modalities. The paper's v, a, t come first, others follow in the
            task's order.

    Raises:
        ConfigError: an order ablation on data with other modalities than v, a and t.
    """
    keys = [m.key for m in modalities]
    for name in off & set(ORDERS):
        if sorted(keys) != sorted(PAPER_ORDER):
            raise ConfigError(
                f"{name!r} does not fit this data set: it orders the modalities "
                f"{', '.join(PAPER_ORDER)}; the data has {', '.join(keys)}."
            )
        return tuple(keys.index(key) for key in ORDERS[name])
    known = [key for key in PAPER_ORDER if key in keys]
    return tuple(keys.index(key) for key in [*known, *(k for k in keys if k not in known)])


@dataclass(frozen=True)
class SharedConfig:
    """Options of both variants. Defaults are those of the authors' launch scripts.

    Attributes:
        hidden_size: H, the width of every per-label vector.
        intermediate_size: inner width of an encoder's feed-forward block.
        heads: attention heads of the encoders and of the fusion.
        layers: encoder layers of every modality that ``modality_layers`` does not name.
        modality_layers: encoder layers by modality name.
        dropout: of the encoders.
        commonality_dropout: of G.
        projection_size: P, the width of the latent space.
        prototype_momentum: of the prototypes' moving average.
        queue_size: past embeddings that enter the contrast.
        temperature: eta of eq. 11.
        alpha_weight, beta_weight, gamma_weight: the lambdas of eq. 8.
        contrastive_weight: lambda_s of eq. 13.
        adversarial_weight, orthogonality_weight, commonality_weight: lambda_a, lambda_o and
            lambda_c of eq. 5.
        shuffle_weight: weight of L_suf (eq. 12).
        ablate: names of `ABLATIONS`.
    """

    hidden_size: int = bounded(256, least=1)
    intermediate_size: int = bounded(256, least=1)
    heads: int = bounded(8, least=1, divides="hidden_size")
    layers: int = bounded(3, least=0)
    modality_layers: dict[str, int] = field(default_factory=dict)
    dropout: float = bounded(0.3, least=0, most=1)
    commonality_dropout: float = bounded(0.3, least=0, most=1)
    projection_size: int = bounded(64, least=1)
    prototype_momentum: float = bounded(0.99, least=0, most=1)
    queue_size: int = bounded(8192, least=1)
    temperature: float = bounded(0.07, above=0)
    alpha_weight: float = 0.01
    beta_weight: float = 0.1
    gamma_weight: float = 1.0
    contrastive_weight: float = 1.0
    adversarial_weight: float = 0.01
    orthogonality_weight: float = 5e-6
    commonality_weight: float = 0.5
    shuffle_weight: float = 1.0
    ablate: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            self._check(name, value)
        for modality, layers in self.modality_layers.items():
            self._check(f"modality_layers.{modality}", layers)
        if self.hidden_size % self.heads:
            raise ConfigError(
                f"model.hidden_size {self.hidden_size} is no multiple of model.heads {self.heads}."
            )
        weights = self.weights()
        if not any(weights[name] for name in (*LEVELS, "shuffle")):
            raise ConfigError(
                "nothing that classifies is left: model.ablate and the weights of eq. 8 and 12 "
                "switch both classifiers off."
            )

    def encoder(self, modality: str, positions: int = 0) -> dict[str, Any]:
        """Return the arguments of a modality's `harness.nn.encoder.ModalityEncoder`.

        Args:
            modality: name of the modality, or ``personality``.
            positions: length of its longest sequence.
        """
        return {
            "hidden": self.hidden_size,
            "layers": self.modality_layers.get(modality, self.layers),
            "heads": self.heads,
            "intermediate": self.intermediate_size,
            "max_positions": max(POSITIONS, positions),
            "dropout": self.dropout,
        }

    def _check(self, name: str, value: object) -> None:
        """Refuse a number that no layer or loss can take.

        Raises:
            ConfigError: it names the option.
        """
        if not isinstance(value, int | float):
            return
        if name.endswith("_weight"):
            if not 0 <= value < math.inf:
                raise ConfigError(f"model.{name} is {value}; a weight is a number from 0 up.")
        elif name.endswith(("dropout", "momentum")):
            if not 0 <= value < 1:
                raise ConfigError(f"model.{name} is {value}; it must be in [0, 1).")
        elif name == "temperature":
            from harness.nn.contrastive import MIN_TEMPERATURE  # needs torch; listings do not

            if not MIN_TEMPERATURE <= value < math.inf:
                raise ConfigError(f"model.{name} is {value}; the least is {MIN_TEMPERATURE}.")
        else:
            least = 0 if "layers" in name or name == "align_to" else 1
            if value < least:
                raise ConfigError(f"model.{name} is {value}; it must be at least {least}.")

    def off(self) -> frozenset[str]:
        """Return the ablations in force."""
        return switches(self.ablate)

    def uses_personality(self, task: TaskInfo) -> bool:
        """Return whether a task has personality and it is not ablated."""
        return task.personality_dim > 0 and "w/o-personality" not in self.off()

    def weights(self) -> dict[str, float]:
        """Return the weight of each term of eq. 13, zero for those that are ablated."""
        weights = {
            "shuffle": self.shuffle_weight,
            "clf_alpha": self.alpha_weight,
            "clf_beta": self.beta_weight,
            "clf_gamma": self.gamma_weight,
            **self.distance_weights(),
            "contrastive": self.contrastive_weight,
            "adversarial_common": self.adversarial_weight,
            "adversarial_specific": self.adversarial_weight,
            "orthogonality": self.orthogonality_weight,
            "common_semantic": self.commonality_weight,
        }
        off = self.off()
        levels = [name for name in LEVELS if name.replace("clf_", "w/o-X") not in off]
        weights[levels[-1]] = self.gamma_weight  # the last level that is left takes its weight
        gone = {term for name in off for term in ZEROED.get(name, ())}
        return {term: 0.0 if term in gone else weight for term, weight in weights.items()}

    def distance_weights(self) -> dict[str, float]:
        """Return the weights of the terms of L_rec."""
        raise NotImplementedError


@dataclass(frozen=True)
class RamerConfig(SharedConfig):
    """The paper variant.

    Attributes:
        head_dropout: of f_m, D and the progressive fusion.
        inference_prototypes: at inference the mix of eq. 9 (``soft``), or the likelier prototype
            (``hard``), as in the authors' code.
        norm: of eq. 7: ``frobenius`` as printed, ``mse`` as in the authors' code.
        reconstruction_weight: lambda_r of eq. 13. The paper gives no value; the authors' 1 belongs
            to ``mse``: with ``frobenius`` it makes X_alpha collapse to a constant.
    """

    head_dropout: float = bounded(0.1, least=0, most=1)
    inference_prototypes: Literal["soft", "hard"] = "soft"
    norm: Literal["frobenius", "mse"] = "frobenius"
    reconstruction_weight: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm not in ("frobenius", "mse"):
            raise ConfigError("model.norm must be 'frobenius' or 'mse'.")
        if self.inference_prototypes not in ("soft", "hard"):
            raise ConfigError("model.inference_prototypes must be 'soft' or 'hard'.")

    def distance_weights(self) -> dict[str, float]:
        """Return lambda_r for both distances of eq. 7."""
        return {name: self.reconstruction_weight for name in ("rec_decoded", "rec_beta")}

    def weights(self) -> dict[str, float]:
        """Return the weight of each term of eq. 13, zero for those that are ablated."""
        no_slots = self.off() >= {"w/o-C", "w/o-S"}
        return super().weights() | ({"shuffle": 0.0} if no_slots else {})


@dataclass(frozen=True)
class RamerPublicConfig(SharedConfig):
    """The authors' published code.

    Attributes:
        personality_layers: encoder layers of the personality tokens.
        max_positions: rows of an encoder's position table (at least the longest sequence).
        align_to: 0: native lengths. Else modalities longer than this are resampled to it by
            CARAT's soft aligner.
        inference_prototypes: at inference the likelier prototype (``hard``, as published), or the
            mix of eq. 9 (``soft``).
        contrast_block: rows of the similarity matrix held at once (memory only).
        recon_mse_weight, beta_mse_weight, gamma_mse_weight: weights of the distances of X~_alpha,
            X_beta and X_gamma to X_alpha.
        specificity_dropout, discriminator_dropout: of f_m and of D.
        cml_dropout: on the logits of the commonality's classifier.
    """

    personality_layers: int = bounded(3, least=0)
    max_positions: int = bounded(500, least=0)
    align_to: int = bounded(0, least=0)
    inference_prototypes: Literal["soft", "hard"] = "hard"
    contrast_block: int = bounded(1024, least=1)
    recon_mse_weight: float = 1.0
    beta_mse_weight: float = 1.0
    gamma_mse_weight: float = 0.0
    specificity_dropout: float = bounded(0.1, least=0, most=1)
    discriminator_dropout: float = bounded(0.1, least=0, most=1)
    cml_dropout: float = bounded(0.1, least=0, most=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inference_prototypes not in ("soft", "hard"):
            raise ConfigError("model.inference_prototypes must be 'soft' or 'hard'.")

    def off(self) -> frozenset[str]:
        """Return the ablations in force; refuses those the code has no place for."""
        return switches(self.ablate, IMPOSSIBLE_IN_PUBLIC)

    def distance_weights(self) -> dict[str, float]:
        """Return the three weights of the code's distances."""
        weights = (self.recon_mse_weight, self.beta_mse_weight, self.gamma_mse_weight)
        return dict(zip(DISTANCES, weights, strict=True))

    def weights(self) -> dict[str, float]:
        """Return the weight of each term, zero for those that are ablated."""
        gone = self.off() & {"w/o-S", "w/o-Lorth", "w/o-adv"}
        pairs = 0.0 if gone else self.orthogonality_weight
        return super().weights() | {"orthogonality_specific": pairs}

    def encoder(self, modality: str, positions: int = 0) -> dict[str, Any]:
        """Return the arguments of a modality's encoder, with the options that only this has."""
        options = super().encoder(modality) | {"max_positions": max(self.max_positions, positions)}
        own_layers = modality == "personality" and modality not in self.modality_layers
        return options | ({"layers": self.personality_layers} if own_layers else {})
