"""RAMer, twice: the paper's equations (`ramer`) and the authors' code (`ramer-public`)."""

from __future__ import annotations

from collections.abc import Iterable

from harness.hookspecs import hookimpl
from harness.specs import AblationSpec, CompatSpec, ModelSpec, Paper
from harness_ramer.config import ABLATIONS, IMPOSSIBLE_IN_PUBLIC, ORDERS

PAPER = Paper(
    title=(
        "RAMer: Reconstruction-based Adversarial Model for Multi-party Multi-modal Multi-label "
        "Emotion Recognition"
    ),
    authors="Xudong Yang, Yizhang Zhu, Hanfeng Liu, Zeyi Wen, Nan Tang, Yuyu Luo",
    venue="IJCAI",
    year=2025,
    url="https://arxiv.org/abs/2502.10435",
)

COMPAT = CompatSpec(swap_pr=True, val_drop_last=64, exchange=(("m3ed", "visual", "audio"),))

SWITCHES = tuple(
    AblationSpec(
        name,
        removes,
        needs_personality=name == "w/o-personality",
        keys=tuple(key for key in ORDERS.get(name, ()) if key != "C"),
    )
    for name, removes in ABLATIONS.items()
)

RAMER = ModelSpec(
    name="ramer",
    factory="harness_ramer.model:Ramer",
    summary="RAMer as its paper's equations say: reconstruction, adversarial C and S, shuffle",
    defaults="harness_ramer:ramer.yaml",
    paper=PAPER,
    variant="paper",
    reported_as="RAMer",
    layouts=("sequence", "grid"),
    compat=COMPAT,
    deviations=(
        "eq. 4 with a plus sign: the printed minus contradicts its text",
        "each label enters the stack shuffle at its own random offset: without it the shuffle "
        "changes no loss",
        "a progressive fusion gives the fusion order of table 4 a meaning",
        "missing modalities are replaced by prototypes and reconstructions; the paper has no "
        "formula for it",
        "on grids positions count from the target segment, and the target cell alone goes on to "
        "label attention, its context by the attentions only (the paper does not say which cells "
        "go on); personality off leaves the attentions between persons and over segments on, as in "
        "AMER's row without it",
        "sequences with personality are one person alone: the attention between persons doubles",
    ),
    ablations=SWITCHES,
)

RAMER_PUBLIC = ModelSpec(
    name="ramer-public",
    factory="harness_ramer.public:RamerPublic",
    summary="RAMer as its authors' published code does, equal to it to 1e-5",
    defaults="harness_ramer:ramer-public.yaml",
    paper=PAPER,
    variant="public",
    reported_as="RAMer",
    compat=COMPAT,
    deviations=(
        "both loss switches on; the authors' MOSEI script leaves the adversarial one off",
        "20 epochs as CARAT's row; the authors' MOSEI script has 150 (preset paper-150)",
        "a modality without any frame gives X_alpha = 0, not NaN",
        "single-label data: cross entropy and arg-max, not a threshold",
        "MEmoR: a sample is the target person's row and the target's personality, one token; the "
        "authors' code reads the whole flattened grid and everybody's personality",
    ),
    ablations=tuple(s for s in SWITCHES if s.name not in IMPOSSIBLE_IN_PUBLIC),
)


@hookimpl
def harness_models() -> Iterable[ModelSpec]:
    """Return both variants."""
    return RAMER, RAMER_PUBLIC
