"""What is wrong with a spec that a plugin offers."""

from __future__ import annotations

import re
from typing import Any

from harness.specs import (
    LAYOUTS,
    PERSONALITY,
    BoardFormat,
    BoardView,
    DropoutFamily,
    FigureKind,
    LabelMap,
    LauncherSpec,
    Metric,
    ModelSpec,
    Skill,
    Suite,
)

TWIN = "-twin"


def problem_of(spec: Any) -> str:
    """Return what is wrong with a spec, or nothing."""
    if not isinstance(spec.name, str) or not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", spec.name):
        return f"the name {spec.name!r} is not made of letters, digits and . _ + -"
    if isinstance(spec, FigureKind):
        return ""
    if isinstance(spec, Metric | Suite):
        return _taken_by_harness(spec)
    if isinstance(spec, DropoutFamily):
        from harness.protocols.dropout import problem_of_family

        return problem_of_family(spec) or _taken_by_harness(spec)
    if isinstance(spec, BoardFormat):
        return "" if ":" in spec.render else f"render={spec.render!r} is not 'module:function'"
    if isinstance(spec, BoardView | LauncherSpec):
        return "" if ":" in spec.make else f"make={spec.make!r} is not 'module:function'"
    if isinstance(spec, LabelMap):
        return "" if spec.labels and spec.why else "labels and why must say something"
    if isinstance(spec, Skill):
        ok = ":" in spec.observers
        return "" if ok else f"observers={spec.observers!r} is not 'module:function'"
    if isinstance(spec, ModelSpec):
        if spec.name == "all":
            return "the name 'all' is reserved"
        return "" if ":" in spec.factory else f"factory={spec.factory!r} is not 'module:Class'"
    if ":" not in spec.corpus:
        return f"corpus={spec.corpus!r} is not 'module:Class'"
    if spec.name.endswith(TWIN):
        return f"names that end in {TWIN!r} are kept for twins; set has_twin=True instead"
    for what, names in (
        ("modality names", spec.modality_names),
        ("modality keys", tuple(m.key for m in spec.modalities)),
        ("labels", spec.labels),
    ):
        if not names or len(set(names)) != len(names):
            return f"{what} must be unique and at least one, got {list(names)}"
    for modality in spec.modalities:
        if modality.key == PERSONALITY:
            return (
                f"modality {modality.name!r} has the key {PERSONALITY!r}, but 'drop-{PERSONALITY}' "
                "drops the personality; choose another key"
            )
        if not re.fullmatch(r"[^@#\s]+", modality.key):
            return f"modality key {modality.key!r} must have no spaces and none of @ #"
    if spec.layout not in LAYOUTS:
        return f"layout={spec.layout!r} is not one of {', '.join(LAYOUTS)}"
    if spec.default_mask not in spec.mask_options:
        return f"default_mask={spec.default_mask!r} is not among {list(spec.mask_options)}"
    return ""


def _taken_by_harness(spec: Metric | DropoutFamily | Suite) -> str:
    from harness.protocols import metrics, suites

    own = metrics if isinstance(spec, Metric) else suites
    kind = "metrics" if own is metrics else "suites"
    return f"{spec.name!r} is one of the harness's own {kind}" if own.is_builtin(spec.name) else ""
