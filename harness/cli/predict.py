"""``harness predict``: score a split with a trained model."""

from __future__ import annotations

import contextlib
import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import FILE, json_option, option, plugin_option, roots_options
from harness.cli.render import emit_json, examples
from harness.errors import UsageError
from harness.plugins import load
from harness.records.record import COMPLETE
from harness.records.store import RunStore

if TYPE_CHECKING:
    from harness.records.predictions import Predictions


@click.command(
    epilog=examples(
        "harness predict ramer-mosi-s0-0123456789ab --split test --out scores.csv",
        "harness predict path/to/run --dataset mosi --dropout only-t@1 --out scores.parquet",
    ),
)
@click.argument("run")
@option("dataset", help="Default: the data set the model was trained on.")
@option("twin_seed", help="Twin to score where data is generated; default: the run's.")
@option("split", type=str, help="Split to score.")
@option("dropout", default=COMPLETE, multiple=False, metavar="NAME", help="Dropout protocol.")
@option("out", type=FILE, required=True, help="A .csv or .parquet file to write.")
@option("device")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=64, show_default=True,
    help="Samples scored at a time.",
)  # fmt: skip
@plugin_option
@json_option
@roots_options
def command(
    run: str,
    dataset: str | None,
    twin_seed: int | None,
    split: str,
    dropout: str,
    out: Path,
    device: str,
    batch_size: int,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Score a split with the checkpoint of RUN, a run id or a folder with a checkpoint."""
    if out.suffix not in (".csv", ".parquet"):
        raise UsageError(f"--out {out}: the name must end in .csv or .parquet.")
    from harness.api.arrays import Dataset
    from harness.api.trained import open_model
    from harness.data.locate import find_store
    from harness.protocols.dropout import parse
    from harness.records.predictions import Predictions, write_predictions

    given = Path(run).is_dir()
    folder = Path(run) if given else RunStore().folder(run)
    registry = load(plugin)
    record = RunStore(folder.parent).find(folder.name, moved=given)
    with contextlib.redirect_stdout(sys.stderr):  # what the plugin prints
        model = open_model(folder, record, registry, device)
    spec = registry.dataset(dataset or model.task.dataset)
    if record is not None and twin_seed is None and spec.name == record.dataset["name"]:
        twin_seed = (record.dataset.get("twin") or {}).get("seed")
    data = Dataset(find_store(spec, twin_seed=twin_seed))
    if data.notice:
        click.echo(data.notice, err=as_json)
    samples = data[split]
    with contextlib.redirect_stdout(sys.stderr):
        scores = model.predict(samples, dropout=dropout, batch_size=batch_size)
    part = Predictions(
        split, parse(dropout).id, samples.ids, samples.groups, scores,
        samples.labels.astype("int8"), samples.stored.slices,
    )  # fmt: skip
    if out.suffix == ".parquet":
        write_predictions(out, [part], data.spec.labels)
    else:
        _write_csv(out, part, data.spec.labels)
    if as_json:
        emit_json({"predictions": str(out), "samples": len(part.ids), "dataset": data.spec.name})
    else:
        click.echo(f"{len(part.ids)} samples of {data.spec.name} ({split}) scored: {out}")


def _write_csv(path: Path, part: Predictions, labels: tuple[str, ...]) -> None:
    from harness.paths import atomic_write_text

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["id", "group", "split", "protocol",
         *(f"score:{n}" for n in labels), *(f"truth:{n}" for n in labels)]
    )  # fmt: skip
    for i, name in enumerate(part.ids):
        row = [name, part.groups[i], part.split, part.protocol]
        writer.writerow(
            [*row, *(repr(float(s)) for s in part.scores[i]), *(int(t) for t in part.truth[i])]
        )
    atomic_write_text(path, out.getvalue())
