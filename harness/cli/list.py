"""``harness list``: models, data sets, protocols, suites and metrics by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from harness.cli.options import json_option, plugin_option
from harness.cli.render import emit_json, emit_table, examples
from harness.plugins import Registry, load
from harness.specs import MASK_OPTIONS

KINDS = ("models", "datasets", "protocols", "suites", "metrics")
Listed = tuple[str, Sequence[tuple[Any, ...]]]
"""Column names, separated by spaces, and rows."""


@click.command(
    name="list",
    epilog=examples(
        "harness list", "harness list models --json", "harness list datasets --plugin my_corpus.py"
    ),
)
@click.argument("kind", type=click.Choice(KINDS), required=False)
@plugin_option
@json_option
def command(kind: str | None, plugin: tuple[str, ...], as_json: bool) -> None:
    """List models, data sets, protocols, suites or metrics; everything where KIND is not given."""
    registry = load(plugin)
    kinds = (kind,) if kind else KINDS
    found = {name: _rows(name, registry) for name in kinds}
    if as_json:
        emit_json(found)
        return
    for name, rows in found.items():
        if not kind:
            click.secho(name, bold=True)
        emit_table([*rows[0]] if rows else ["none registered"], [list(r.values()) for r in rows])
        if not kind:
            click.echo()
    if registry.broken:
        click.echo(f"{len(registry.broken)} broken plugin entries: harness plugins", err=True)


def _rows(kind: str, registry: Registry) -> list[dict[str, Any]]:
    heads, rows = _LISTED[kind](registry)
    return [dict(zip(heads.split(), row, strict=True)) for row in rows]


def _models(registry: Registry) -> Listed:
    entries = [(name, e, e.spec) for name, e in registry.models.items()]
    return "name role variant year plugin summary", [
        (name, s.role, s.variant, s.paper.year if s.paper else None, e.plugin, s.summary)
        for name, e, s in entries
    ]


def _datasets(registry: Registry) -> Listed:
    specs = {name: e.spec for name, e in registry.datasets.items()}
    return "name protocol kind modalities labels twin summary", [
        (name, s.id, s.label_kind, list(s.modality_names), len(s.labels),
         "yes" if s.has_twin else "no", s.summary)
        for name, s in specs.items()
    ]  # fmt: skip


def _metrics(registry: Registry) -> Listed:
    from harness.protocols.metrics import METRICS

    return "name labels of values better meaning", [
        (m.name, "both" if len(m.label_kinds) > 1 else m.label_kinds[0],
         "scores" if m.from_scores else "decisions", "one a label" if m.per_label else "one",
         "lower" if m.lower_is_better else "higher", m.doc)
        for m in METRICS.values()
    ]  # fmt: skip


def _suites(registry: Registry) -> Listed:
    from harness.protocols.suites import SUITES, ids, members

    found = zip(ids(), SUITES.values(), strict=True)
    return "name meaning protocols", [(name, s.doc, members(name)) for name, s in found]


def _protocols(registry: Registry) -> Listed:
    from harness.protocols.dropout.protocol import examples

    specs = [e.spec for e in registry.datasets.values()]
    rows = [(s.id, "data set", f"masks {', '.join(s.mask_options)}") for s in specs]
    rows += [(m, "mask", _MASKS[m]) for m in MASK_OPTIONS]
    rows += [(name, "dropout", "one protocol of its family") for name in examples("random-0.5")]
    return "name kind meaning", rows


_LISTED: dict[str, Callable[[Registry], Listed]] = {
    "models": _models,
    "datasets": _datasets,
    "protocols": _protocols,
    "suites": _suites,
    "metrics": _metrics,
}
_MASKS = {
    "ones": "every stored position counts, padding too (as in the authors' loaders)",
    "nonzero": "positions whose features are not all zero",
    "length": "positions within the recorded length",
}
