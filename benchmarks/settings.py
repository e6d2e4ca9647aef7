"""What `benchmarks.steps` measures: every model at its paper's size, and the settings of peers.

A `Reference` is what another code takes for the same step, in products of its own machine, so that
machines do not matter. Their sources are in its ``source``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from harness.plugins import load
from harness.specs import DatasetSpec, ModalitySpec

DATASETS = {"sequence": "mosei-aligned", "grid": "memor-primary"}


@dataclass(frozen=True)
class Reference:
    """Another code's figures.

    Attributes:
        products: time of its training step in products.
        target: how many times as fast ours should be; None: there is none.
        peak_gb: its peak resident memory; above the built model where ``above_built``.
        memory_target: what share of that ours may take.
        source: whose figures.
    """

    products: float
    target: float | None = None
    peak_gb: float | None = None
    above_built: bool = False
    memory_target: float | None = None
    source: str = ""


@dataclass(frozen=True)
class Setting:
    """A model, its configuration, and the batches it is given.

    Attributes:
        name: of the row.
        model: the model's name.
        dataset: a data set's name, or ``peer:T`` (`peer_data`), ``peer-768:T``.
        config: over the preset ``paper``, as in a user's file.
        mask: mask option; under ``ones`` batches are full sequences. Otherwise they are the
            batches of an epoch over clips whose lengths are drawn as the twin draws them.
        lengths: shortest and longest clip, uniform; None: full length.
        reference: another code's figures for it.
    """

    name: str
    model: str
    dataset: str
    config: Mapping[str, Any] = field(default_factory=dict)
    mask: str = "ones"
    lengths: tuple[int, int] | None = None
    reference: Reference | None = None


# The and the peer's machine: seconds of a 1536^3 product; .062 s one of 1024^3.
_PRODUCT_S = 0.21
_PEER_PRODUCT_S = 0.062 * (1536 / 1024) ** 3
_AUTHORS = "the authors' code, one thread"
_PEER = "MMSA 2.2.1, one thread"


def _authors(step_s: float, target: float, peak_gb: float, share: float) -> Reference:
    return Reference(step_s / _PRODUCT_S, target, peak_gb, False, share, _AUTHORS)


def _peer(step_s: float, target: float | None, peak_gb: float | None = None) -> Reference:
    return Reference(step_s / _PEER_PRODUCT_S, target, peak_gb, True, None, _PEER)


_CARAT = _authors(18.3, 2.7, 9.3, 1 / 6)
_TAILOR = _authors(27.7, 1.5, 8.0, 1 / 3)
REFERENCES: Mapping[str, Reference] = MappingProxyType(
    {
        "carat": _CARAT,
        "tailor": _TAILOR,
        "ramer-public": _authors(14.3, 3.0, 8.4, 1 / 8),
    }
)
# 1.538 s with one thread at 82 GFLOP/s.
_AMER = Reference(1.538 * 82e9 / (2 * 1536**3), 6.0, source=_AUTHORS)

_MULT: dict[str, dict[str, Any]] = {
    "model": {
        "size": 30, "heads": 6, "layers": 4,
        "input_dropout": {"text": 0.3}, "attention_dropout": {"text": 0.4},
        "memory_attention_dropout": 0.4, "output_dropout": 0.5,
        "embed_dropout": 0.0, "relu_dropout": 0.0, "residual_dropout": 0.0,
    },
    "training": {"batch_size": 64, "lr": 5e-4, "clip_norm": 0.0, "clip_value": 0.6},
}  # fmt: skip
_MISA = {
    "model": {"hidden_size": 128, "dropout": 0.5, "pooled": ["text"]},
    "training": {"batch_size": 64},
}
_TFN = {
    "model": {
        "subnets": "reference", "sizes": {"text": 128, "visual": 128, "audio": 16},
        "text_hidden": 128, "post_fusion_dim": 16, "dropout": 0.4,
    },
    "training": {"batch_size": 64, "lr": 5e-3},
}  # fmt: skip
_LMF = {
    "model": {
        "subnets": "reference", "sizes": {"text": 64, "visual": 128, "audio": 16},
        "text_hidden": 128, "rank": 4, "dropout": 0.2,
    },
    "training": {"batch_size": 64, "lr": 1e-3, "weight_decay": 1e-3},
}  # fmt: skip
_SMALLER = {**_MULT, "training": {**_MULT["training"], "batch_size": 4}}


def _masked(reference: Reference, target: float) -> Reference:
    return Reference(reference.products, target, source=f"{_AUTHORS}, its padded step")


EXTRA = (
    Setting("carat/nonzero", "carat", "mosei-aligned", mask="nonzero",
            reference=_masked(_CARAT, 5.0)),
    Setting("tailor/nonzero", "tailor", "mosei-aligned", mask="nonzero",
            reference=_masked(_TAILOR, 2.5)),
    Setting("amer/batch-32", "amer", "memor-primary", {"training": {"batch_size": 32}},
            reference=_AMER),
    Setting("mult/peer", "mult", "peer:50", _MULT, reference=_peer(2.46, 1.6, 1.428)),
    Setting("mult/peer-unaligned", "mult", "peer:50,500,375", _SMALLER,
            reference=_peer(3.24, None, 1.368)),
    Setting("misa/peer", "misa", "peer-768:50", _MISA, reference=_peer(0.389, 1.3, 0.2)),
    Setting("misa/peer-8-to-50", "misa", "peer-768:50", _MISA, lengths=(8, 50),
            reference=_peer(0.531, None)),
    Setting("bilstm-tfn/peer", "bilstm-tfn", "peer:50", _TFN, reference=_peer(0.90, 1.5, 0.303)),
    Setting("bilstm-lmf/peer", "bilstm-lmf", "peer:50", _LMF, reference=_peer(0.157, 1.0, 0.062)),
)  # fmt: skip


def settings() -> dict[str, Setting]:
    """Return all settings by name: a row for every model, then those of `EXTRA`."""
    found = {}
    for name, entry in load().models.items():
        if entry.spec.role == "model":
            data = DATASETS[entry.spec.layouts[0]]
            found[name] = Setting(name, name, data, reference=REFERENCES.get(name))
    return found | {setting.name: setting for setting in EXTRA}


def dataset_of(name: str, length: int | None = None) -> DatasetSpec:
    """Return a registered data set, or the peer's.

    Args:
        name: a registered name, or ``peer:T`` (one length) or ``peer:T,T,T`` (text, audio, vision)
            with widths 300/74/35; ``peer-768`` has text of width 768.
        length: positions of every sequence instead, for small machines.
    """
    kind, _, lengths = name.partition(":")
    if not lengths:
        spec = load().dataset(name)
        modalities = spec.modalities
    else:
        steps = [int(t) for t in lengths.split(",")]
        steps = steps if len(steps) > 1 else steps * 3
        widths = (768 if kind == "peer-768" else 300, 74, 35)
        modalities = tuple(
            ModalitySpec(m, m[0], d, t)
            for m, d, t in zip(("text", "audio", "visual"), widths, steps, strict=True)
        )
        spec = DatasetSpec(
            name=kind,
            corpus="",
            modalities=modalities,
            labels=("negative", "neutral", "positive"),
            label_kind="singlelabel",
            aligned=len(set(steps)) == 1,
        )
    if length is None or spec.cells:
        return spec
    short = tuple(ModalitySpec(m.name, m.key, m.dim, min(length, m.max_length)) for m in modalities)
    return replace(spec, modalities=short)
