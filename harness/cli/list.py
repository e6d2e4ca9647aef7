"""``harness list``: models, data sets, protocols, the literature's names, suites, metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from harness.cli.options import json_option, plugin_option, wide_option
from harness.cli.render import emit_json, emit_table, examples, table_width
from harness.plugins import Registry, load
from harness.specs import MASK_OPTIONS

TOGETHER = ("models", "datasets", "protocols", "literature", "suites", "metrics")
# What `check` does is read from code that imports torch: not where everything is listed.
KINDS = (*TOGETHER, "checks")
Listed = tuple[str, Sequence[tuple[Any, ...]]]
"""Column names, separated by spaces, and rows."""


@click.command(
    name="list",
    epilog=examples(
        "harness list",
        "harness list models --wide",
        "harness list models --json",
        "harness list datasets --plugin my-data",
    ),
)
@click.argument("kind", type=click.Choice(KINDS), required=False)
@plugin_option
@wide_option
@json_option
def command(kind: str | None, plugin: tuple[str, ...], as_json: bool) -> None:
    """List models, data sets, protocols, suites or metrics; all of these where KIND is not given.

    checks are those of 'harness check'. With the protocols stands how settings of the literature
    are called here. --wide shows further columns, as --json does.
    """
    registry = load(plugin)
    whole = table_width() is None
    kinds = {None: TOGETHER, "protocols": ("protocols", "literature")}.get(kind, (kind or "",))
    found = {name: _rows(name, registry) for name in kinds}
    if as_json:
        emit_json(found)
        return
    for name, rows in found.items():
        if len(found) > 1:
            click.secho(name, bold=True)
        heads = [head for head in (rows[0] if rows else ()) if whole or head not in _WIDE[name]]
        emit_table(heads or ["none registered"], [[row[head] for head in heads] for row in rows])
        if len(found) > 1:
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
    from harness.protocols.dropout.protocol import FAMILIES, examples, parse

    specs = [e.spec for e in registry.datasets.values()]
    rows = [(s.id, "data set", f"masks {', '.join(s.mask_options)}") for s in specs]
    rows += [(m, "mask", MASKS[m]) for m in MASK_OPTIONS]
    for name in examples("random-0.5"):
        family = FAMILIES[parse(name).family]
        rows.append((name, "training" if family.use == "training" else "dropout", family.doc))
    return "name kind meaning", rows


def _literature(registry: Registry) -> Listed:
    from harness.protocols.dropout.literature import SETTINGS

    return "work theirs ours example difference", [
        (s.work, s.theirs, s.ours, list(s.example), s.difference) for s in SETTINGS
    ]


def _checks(registry: Registry) -> Listed:
    from harness.checking.checks import CHECKS

    return "name meaning", [
        (name, (check.__doc__ or "").strip().partition("\n")[0]) for name, check in CHECKS.items()
    ]


_LISTED: dict[str, Callable[[Registry], Listed]] = {
    "models": _models,
    "datasets": _datasets,
    "protocols": _protocols,
    "literature": _literature,
    "suites": _suites,
    "metrics": _metrics,
    "checks": _checks,
}
# What is left out of a list that fits a terminal.
_WIDE: dict[str, frozenset[str]] = {kind: frozenset() for kind in KINDS} | {
    "models": frozenset({"variant", "plugin"}),
    "datasets": frozenset({"protocol", "kind", "modalities"}),
    "literature": frozenset({"difference"}),
    "metrics": frozenset({"of", "values"}),
}
MASKS = {
    "ones": "every stored position counts, padding too (as in the authors' loaders)",
    "nonzero": "positions whose features are not all zero",
    "length": "positions within the recorded length",
}
