"""The reference of settings: keys of a configuration, of a run, and environment variables."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator
from typing import Any

from harness.config.hints import expected
from harness.plugins import load, resolve
from harness.specs import ModelSpec, TrainingConfig
from harness_docs.markdown import literal, plain, section, table

BOUNDS = {"least": "≥", "above": ">", "most": "≤", "below": "<", "divides": "divides"}


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of a configuration: its name, type, default, range and meaning."""

    name: str
    kind: str
    default: Any
    range: str
    meaning: str


def attributes(doc: str) -> dict[str, str]:
    """Return what a docstring's section "Attributes:" says of each name; names may share a line."""
    found: dict[str, str] = {}
    _, _, text = doc.partition("Attributes:\n")
    for entry in re.finditer(r"^ {4}(\w[\w, ]*):((?:.*\n?)(?:^ {8,}.*\n?|^\n)*)", text, re.M):
        for name in entry[1].split(","):
            found[name.strip()] = " ".join(entry[2].split())
    return found


def keys(cls: type, prefix: str) -> Iterator[Key]:
    """Yield the keys of a configuration class in their order."""
    told, hints = attributes(_doc(cls)), typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from keys(hint, f"{prefix}{field.name}.")
            continue
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        bounds = " and ".join(f"{BOUNDS[k]} {v}" for k, v in field.metadata.items() if k in BOUNDS)
        meaning = told.get(field.name, "")
        yield Key(f"{prefix}{field.name}", expected(hint), default, bounds, meaning)


def _doc(cls: type) -> str:
    import inspect

    return inspect.getdoc(cls) or ""


def shown(found: list[Key]) -> str:
    """Return keys as a table; the meaning has a column where any key has one."""
    meant = any(k.meaning for k in found)
    rows = [
        (literal(k.name), plain(k.kind), literal(_value(k.default)), plain(k.range) or "–",
         *([plain(k.meaning) or "–"] if meant else []))
        for k in found
    ]  # fmt: skip
    heads = ["key", "type", "default", "range", *(["meaning"] if meant else [])]
    return table(heads, rows)


def _value(value: Any) -> str:
    return "required" if value is dataclasses.MISSING else str(value)


def of_model(spec: ModelSpec) -> list[Key]:
    """Return the keys of a model's own configuration; imports the model."""
    return [*keys(resolve(spec.factory).Config, "model.")]


def page() -> str:
    """Return the page of settings."""
    models = [e.spec for e in load().models.values()]
    parts = [section(3, spec.name, shown(of_model(spec))) for spec in models if of_model(spec)]
    return section(
        1, "Settings",
        "A run's configuration has the keys `training`, `model` and `threshold`. They are set by "
        "`--set KEY=VALUE`, by a file (`--config FILE`, YAML) or by a preset (`--preset NAME`). "
        "Later wins: class defaults, the model's card, its preset, what a search found for it, "
        "what the data set's protocol fixes, the file, `--set`. Values outside of a range are "
        "refused before anything is built. `harness show MODEL` prints a model's presets.",
        section(2, "threshold", "The declared threshold: a label is decided where its score is "
                "above it, from 0 to 1; .5 unless a card or data set says otherwise. One chosen on "
                "validation stands beside it in every record (`tuned`)."),
        section(2, "training", shown([*keys(TrainingConfig, "training.")])),
        section(2, "model", "Each model has keys of its own.", *parts),
    ) + "\n"  # fmt: skip
