"""``harness show``: what is known of one model or data set, without importing its code."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from harness.cli.render import emit_json, examples, json_option, plugin_option
from harness.config import plugin_defaults
from harness.errors import UnknownNameError
from harness.registry import TWIN, Registry, load
from harness.specs import DatasetSpec, ModelSpec


@click.command(
    epilog=examples("harness show ramer", "harness show mosei-aligned", "harness show carat --json")
)
@click.argument("name")
@plugin_option
@json_option
def command(name: str, plugin: tuple[str, ...], as_json: bool) -> None:
    """Show a model's paper, presets, variants and deviations, or a data set's protocol."""
    registry = load(plugin)
    facts = _facts(registry, name)
    if as_json:
        emit_json(facts)
        return
    for key, value in facts.items():
        if value not in ("", None, [], {}, ()):
            _print(key, value, 0)


def _facts(registry: Registry, name: str) -> dict[str, Any]:
    if name in registry.models:
        entry = registry.models[name]
        origin = f"{entry.plugin} ({entry.distribution} {entry.version})".replace(" ( )", "")
        return _model(entry.spec) | {"plugin": origin}
    if name in registry.datasets or name.removesuffix(TWIN) in registry.datasets:
        return _dataset(registry.dataset(name))
    raise UnknownNameError("model or data set", name, [*registry.models, *registry.datasets])


def _model(spec: ModelSpec) -> dict[str, Any]:
    limits = f"{spec.min_modalities} or more"
    if spec.max_modalities is not None:
        limits = f"{spec.min_modalities} to {spec.max_modalities}"
    return {
        "model": spec.name,
        "summary": spec.summary,
        "role": spec.role,
        "version": spec.version,
        "variant": spec.variant,
        "paper": asdict(spec.paper) if spec.paper else None,
        "reported as": spec.reported_as,
        "modalities": list(spec.modalities) or limits,
        "labels": list(spec.label_kinds),
        "layouts": list(spec.layouts),
        "code": spec.factory,
        "defaults": plugin_defaults(spec),
        "variants": dict(spec.variants),
        "deviations": list(spec.deviations),
    }


def _dataset(spec: DatasetSpec) -> dict[str, Any]:
    return {
        "data set": spec.name,
        "protocol": spec.id,
        "summary": spec.summary,
        "source": spec.source,
        "labels": list(spec.labels),
        "kind": spec.label_kind,
        "layout": spec.layout,
        "modalities": {
            m.name: f"key {m.key}, {m.dim} features, up to {m.max_length} frames"
            for m in spec.modalities
        },
        "aligned": "yes" if spec.aligned else "no",
        "splits": list(spec.splits),
        "group": spec.group_key,
        "masks": [f"{m} (default)" if m == spec.default_mask else m for m in spec.mask_options],
        "selected by": spec.selection_metric,
        "twin": spec.base_name + TWIN if spec.has_twin and spec.source == "real" else None,
        "files": {f.path: f.description for f in spec.files},
        "licence": spec.licence,
        "citation": spec.citation,
        "notes": list(spec.notes),
        "code": spec.corpus,
    }


def _print(key: str, value: Any, depth: int) -> None:
    pad = "  " * depth
    if isinstance(value, dict) and value:
        click.echo(f"{pad}{key}:")
        for name, inner in value.items():
            _print(str(name), inner, depth + 1)
    elif isinstance(value, (list, tuple)) and any(len(str(v)) > 40 for v in value):
        click.echo(f"{pad}{key}:")
        for item in value:
            click.echo(f"{pad}  - {item}")
    elif isinstance(value, (list, tuple)):
        click.echo(f"{pad}{key}: {', '.join(map(str, value))}")
    else:
        click.echo(f"{pad}{key}: {value}")
