"""``harness runs diagnose``: measure what the mechanisms of trained models do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from harness.boards.views.mechanisms import measures
from harness.cli.options import json_option, option, plugin_option, roots_options, wide_option
from harness.cli.render import emit_json, emit_table, examples, runs_named
from harness.errors import DataFormatError, UsageError
from harness.plugins import Registry, load
from harness.records.record import DIAGNOSTICS
from harness.records.store import RunStore

if TYPE_CHECKING:
    from harness.records.record import RunRecord


@click.command(
    epilog=examples(
        "harness runs diagnose ramer-mosi-s0-0123456789ab",
        "harness figure mechanisms ramer --dataset mosi",
    )
)
@click.argument("runs", nargs=-1, required=True)
@option("device")
@plugin_option
@wide_option
@json_option
@roots_options
def command(runs: tuple[str, ...], device: str, plugin: tuple[str, ...], as_json: bool) -> None:
    """Measure what the mechanisms of RUNS do, on validation, and keep it in their records.

    Share of each loss in the gradient of the shared parameters, accuracy of a fresh linear probe
    for the modality, R² of each reconstruction against a constant mean. Nothing is trained, test
    is not opened; 'harness run --diagnose' does the same at the end of a run.
    """
    registry, store = load(plugin), RunStore()
    named = runs_named(store, runs)
    for record in named:
        if record.status != "ok" or record.role != "model":
            raise UsageError(f"{record.id} is no finished run of a model: nothing to diagnose.")
    made = [_diagnosed(record, store, registry, device) for record in named]
    if as_json:
        emit_json([{"run": r.id, "diagnostics": r.facts[DIAGNOSTICS]} for r in made])
        return
    for record in made:
        click.secho(f"\n{record.id}", bold=True)
        emit_table(
            ("measure", "of", "modality", "value", "reference"),
            [
                (m.measure, m.of, m.modality or "all", f"{m.value:.4f}", _text(m.reference))
                for m in measures(record)
                if m.value is not None
            ],
        )


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _diagnosed(record: RunRecord, runs: RunStore, registry: Registry, device: str) -> RunRecord:
    from harness.data.locate import find_store
    from harness.engine.device import choose
    from harness.engine.diagnose import with_diagnostics

    twin = (record.dataset.get("twin") or {}).get("seed")
    store: Any = find_store(registry.dataset(record.dataset["name"]), twin_seed=twin)
    if store.content_hash != record.dataset["content_hash"]:
        raise DataFormatError(
            f"{record.id} was trained on other content of {store.spec.name} than is prepared now; "
            "train it again, or give the --home it was trained in."
        )
    compute = choose(device, record.precision)
    with runs.lock(record.id):
        current = runs.find(record.id) or record
        return with_diagnostics(current, runs, registry, store, compute)
