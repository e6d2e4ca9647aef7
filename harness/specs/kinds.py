"""The words that specs are written in."""

from __future__ import annotations

from typing import Literal

LabelKind = Literal["multilabel", "singlelabel"]
Layout = Literal["sequence", "grid"]
Source = Literal["real", "twin"]
MaskOption = Literal["ones", "nonzero", "length"]
Role = Literal["model", "trivial"]
CompatSelect = Literal["val_f1_later", "val_acc_first", "last", "per_metric_val"]
PositionUnit = Literal["frame", "utterance"]
GridContext = Literal["row", "clip"]
Sampler = Literal["shuffle", "class-balanced"]
Schedule = Literal["linear", "cosine"]

PERSONALITY = "p"
"""What the dropout protocol ``drop-p`` drops; no modality may have this key."""
MASK_OPTIONS: tuple[MaskOption, ...] = ("ones", "nonzero", "length")
