"""``harness show``: what is known of one model or data set, without importing its code."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

import click
import yaml

from harness.cli.options import json_option, plugin_option, roots_options, wide_option
from harness.cli.render import emit_json, examples, table_width
from harness.config import plugin_defaults, presets, resolve_config
from harness.errors import UnknownNameError, UsageError
from harness.plugins import TWIN, Registry, load
from harness.records.store import RunStore
from harness.specs import DatasetSpec, ModelSpec, SourceFile, Variant


@click.command(
    epilog=examples(
        "harness show ramer",
        "harness show mosei-aligned",
        "harness show carat --parameters m3ed --json",
    )
)
@click.argument("name")
@click.option(
    "--parameters", metavar="DATASET", default=None,
    help="Build the model for this data set and count its parameters, preset by preset.",
)  # fmt: skip
@plugin_option
@wide_option
@json_option
@roots_options
def command(name: str, parameters: str | None, plugin: tuple[str, ...], as_json: bool) -> None:
    """Show a model's paper, parameters, presets, variants and deviations, or a data set's protocol.

    Parameters are those of the newest finished runs; --parameters counts them without a run.
    """
    registry = load(plugin)
    facts = _facts(registry, name)
    if name in registry.models:
        counted = _recorded(name) if parameters is None else _counted(registry, name, parameters)
        facts = {**facts, "parameters": counted}
    elif parameters is not None:
        raise UsageError(f"--parameters counts those of a model; {name!r} is a data set.")
    if as_json:
        emit_json(facts)
        return
    shown = {k: v if v not in ("", None, [], {}) else _NONE.get(k) for k, v in facts.items()}
    shown = {k: v for k, v in shown.items() if v is not None}
    click.echo(_lines(shown, table_width()), nl=False)


def _lines(facts: dict[str, Any], width: int | None) -> str:
    """Return facts as YAML; no line is longer than the width, as far as words allow."""
    text = ""
    # PyYAML breaks a line behind the word that is too much.
    for room in [1 << 20] if width is None else range(width, width // 2, -8):
        text = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=room)
        if width is None or max(map(len, text.splitlines())) <= width:
            break
    return text


# What every model has or is said not to have.
_NONE = {
    "paper": "none",
    "variants": "none",
    "deviations": "none",
    "parameters": "no finished run here; --parameters DATASET counts them",
}


def _facts(registry: Registry, name: str) -> dict[str, Any]:
    if name in registry.models:
        entry = registry.models[name]
        origin = f"{entry.plugin} ({entry.distribution} {entry.version})".replace(" ( )", "")
        return _model(entry.spec) | {"plugin": origin}
    with suppress(UnknownNameError):
        return _dataset(registry.dataset(name))
    raise registry.unknown("model or data set", name, [*registry.models, *registry.datasets])


def _recorded(name: str) -> dict[str, int]:
    """Return the parameters of the newest finished run on each data set with each preset."""
    runs = sorted(RunStore().all(), key=lambda r: (r.created, r.id))
    return {
        f"{r.dataset['name']}, preset {r.config['preset']}": r.parameters
        for r in runs
        if r.model["name"] == name and r.status == "ok"
    }


def _counted(registry: Registry, name: str, dataset: str) -> dict[str, int]:
    """Build a model under each of its presets and count; imports torch."""
    from harness.engine.checkpoint import model_class_of
    from harness.engine.plan import check_fit
    from harness.engine.run import count_parameters
    from harness.specs import TaskInfo

    model, spec = registry.model(name), registry.dataset(dataset)
    check_fit(model, spec)
    found = {}
    names: list[str | None] = [*presets(model)]
    for preset in names or [None]:
        config = resolve_config(model, spec, preset, None, [])
        built = model_class_of(model)(
            config.model, TaskInfo.of(spec, config.threshold, model.layouts)
        )
        found[f"{spec.name}, preset {preset}" if preset else spec.name] = count_parameters(built)
    return found


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
        "run --compile": f"refused on a CPU: {spec.not_compiled}" if spec.not_compiled else "taken",
        "defaults": plugin_defaults(spec),
        "variants": {v.name: _variant(v) for v in spec.variants},
        "ablations": {a.name: a.removes for a in spec.ablations},
        "deviations": list(spec.deviations),
    }


def _variant(variant: Variant) -> str:
    how = f"--model {variant.model}" if variant.model else ""
    how = how or " ".join(f"--set {setting}" for setting in variant.settings) or "this model"
    return f"{variant.summary} ({how})"


def _file(file: SourceFile) -> str:
    size = f"{file.size} bytes" if file.size else "size not stated"
    digest = f"sha256 {file.sha256}" if file.sha256 else "sha256 not stated"
    return f"{file.description} ({size}, {digest})"


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
        "files": {f.path: _file(f) for f in spec.files},
        **spec.provenance(),
        "citation": spec.citation,
        "notes": list(spec.notes),
        "code": spec.corpus,
    }
