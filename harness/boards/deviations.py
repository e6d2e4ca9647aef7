"""What authors' public code does differently from the canonical protocol (``deviations.yaml``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from harness.documents import read_yaml
from harness.errors import DataFormatError
from harness.plugins import Registry, resource
from harness.specs import LabelKind

FILE = "deviations.yaml"


@dataclass(frozen=True)
class Deviation:
    """One departure: what the code does, what it changes, which switch reproduces it, source.

    An empty ``switch`` means that nothing here reproduces it.
    """

    what: str
    effect: str
    source: str
    switch: str = ""


@dataclass(frozen=True)
class Selection:
    """What a printed model was chosen by, in words.

    Attributes:
        model: the split and figure that chose it.
        threshold: how its decisions were made.
        missing: how missing modalities are simulated.
        source: the place in the public code.
    """

    model: str
    threshold: str
    missing: str
    source: str


@dataclass(frozen=True)
class Floor:
    """What a predictor that never looks at its input scores: figures by metric name."""

    predictor: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class TableFacts:
    """What is known of a printed table's data beside the figures."""

    label_kind: LabelKind = "multilabel"
    floor: Floor | None = None


@dataclass(frozen=True)
class Deviations:
    """The whole file: departures and selection by model, facts by table, rows of one model."""

    models: Mapping[str, tuple[Deviation, ...]]
    tables: Mapping[str, TableFacts]
    same_model: tuple[tuple[tuple[str, str], tuple[str, str]], ...] = ()
    selection: Mapping[str, Selection] = field(default_factory=dict)

    def merged(self, other: Deviations) -> Deviations:
        """Return both; where a name is in both, this one's entry counts."""
        return Deviations(
            {**other.models, **self.models},
            {**other.tables, **self.tables},
            tuple(dict.fromkeys((*self.same_model, *other.same_model))),
            {**other.selection, **self.selection},
        )


def deviations_by_plugins(registry: Registry) -> Deviations:
    """Return what stands in ``deviations.yaml`` beside the figures that plugins bring.

    Of two entries of one name the first one counts, as it does for the figures.

    Raises:
        PluginError: a file that a plugin names does not exist.
        DataFormatError: a file is not as documented.
    """
    merged = Deviations({}, {})
    for reference in registry.hook.reported():
        path = resource(reference).with_name(FILE)
        if path.is_file():
            merged = merged.merged(read_deviations(path))
    return merged


def read_deviations(path: Path) -> Deviations:
    """Return the content of the file.

    Raises:
        DataFormatError: the file is not as documented.
    """
    content = read_yaml(path)
    try:
        return _parsed(content)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataFormatError(
            f"{path.name}: expected models (name: list of what, effect, source, switch), tables "
            f"and same_model; found {type(error).__name__}: {error}."
        ) from error


def _parsed(content: Any) -> Deviations:
    models = {
        str(name): tuple(Deviation(**entry) for entry in entries)
        for name, entries in content["models"].items()
    }
    tables = {str(name): _facts(facts) for name, facts in content.get("tables", {}).items()}
    pairs = tuple(
        ((str(a[0]), str(a[1])), (str(b[0]), str(b[1]))) for a, b in content.get("same_model", ())
    )
    chosen = {str(n): Selection(**facts) for n, facts in content.get("selection", {}).items()}
    return Deviations(models, tables, pairs, chosen)


def _facts(facts: Mapping[str, Any]) -> TableFacts:
    kind = facts.get("label_kind", "multilabel")
    if kind not in ("multilabel", "singlelabel"):
        raise ValueError(f"label_kind {kind!r}")
    floor = facts.get("floor")
    if floor is not None:
        figures = {str(k): float(v) for k, v in floor["figures"].items()}
        floor = Floor(str(floor["predictor"]), figures)
    return TableFacts(cast(LabelKind, kind), floor)
