"""``harness list``: models, data sets, protocols, suites and metrics by name."""

from __future__ import annotations

from typing import Any

import click

from harness.cli.render import emit_json, emit_table, examples, json_option, plugin_option
from harness.registry import Registry, load
from harness.specs import MASK_OPTIONS

KINDS = ("models", "datasets", "protocols", "suites", "metrics")


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
    if kind == "models":
        return [
            {
                "name": name,
                "role": entry.spec.role,
                "variant": entry.spec.variant,
                "year": entry.spec.paper.year if entry.spec.paper else None,
                "plugin": entry.plugin,
                "summary": entry.spec.summary,
            }
            for name, entry in registry.models.items()
        ]
    if kind == "datasets":
        return [
            {
                "name": name,
                "protocol": entry.spec.id,
                "kind": entry.spec.label_kind,
                "modalities": list(entry.spec.modality_names),
                "labels": len(entry.spec.labels),
                "twin": "yes" if entry.spec.has_twin else "no",
                "summary": entry.spec.summary,
            }
            for name, entry in registry.datasets.items()
        ]
    if kind == "metrics":
        return _metrics()
    if kind == "suites":
        return _suites()
    return _protocols(registry)


def _metrics() -> list[dict[str, Any]]:
    from harness.protocols.metrics import METRICS

    return [
        {
            "name": m.name,
            "labels": "both" if len(m.label_kinds) > 1 else m.label_kinds[0],
            "of": "scores" if m.from_scores else "decisions",
            "values": "one a label" if m.per_label else "one",
            "better": "lower" if m.lower_is_better else "higher",
            "meaning": m.doc,
        }
        for m in METRICS.values()
    ]


def _suites() -> list[dict[str, Any]]:
    from harness.protocols.suites import SUITES, ids, members

    return [
        {"name": name, "meaning": SUITES[name.partition("@")[0]].doc, "protocols": members(name)}
        for name in ids()
    ]


def _protocols(registry: Registry) -> list[dict[str, Any]]:
    from harness.protocols.dropout.protocol import examples

    rows = [
        {
            "name": e.spec.id,
            "kind": "data set",
            "meaning": f"masks {', '.join(e.spec.mask_options)}",
        }
        for e in registry.datasets.values()
    ]
    rows += [{"name": m, "kind": "mask", "meaning": _MASKS[m]} for m in MASK_OPTIONS]
    for example in examples("random-0.5"):
        rows.append({"name": example, "kind": "dropout", "meaning": "one protocol of its family"})
    return rows


_MASKS = {
    "ones": "every stored position counts, padding too (as in the authors' loaders)",
    "nonzero": "positions whose features are not all zero",
    "length": "positions within the recorded length",
}
