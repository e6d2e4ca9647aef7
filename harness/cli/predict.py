"""``harness predict``: score a split with a trained model."""

from __future__ import annotations

import contextlib
import csv
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import FILE, FOLDER, json_option, option, plugin_option, roots_options
from harness.cli.render import emit_json, examples
from harness.cli.runs.chosen import located
from harness.errors import UsageError
from harness.plugins import load
from harness.records.record import COMPLETE

if TYPE_CHECKING:
    from harness.api.trained import TrainedModel
    from harness.records.predictions import Predictions


@click.command(
    epilog=examples(
        "harness predict ramer-mosi-s0-0123456789ab --split test --out scores.csv",
        "harness predict path/to/run --dataset mosi --dropout only-t@1 --out scores.parquet",
        "harness predict ramer-mosi-s0-0123456789ab --from features --out scores.csv",
    ),
)
@click.argument("run")
@option("dataset", help="Default: the data set the model was trained on.")
@click.option(
    "--from", "source", type=FOLDER, metavar="FOLDER",
    help="Score a folder of arrays in place of a data set: npz, csv or parquet, without labels.",
)  # fmt: skip
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
    source: Path | None,
    twin_seed: int | None,
    split: str,
    dropout: str,
    out: Path,
    device: str,
    batch_size: int,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Score samples with the checkpoint of RUN, a run id or a folder with a checkpoint.

    They are a split of a data set, with the truth beside the scores; or a folder of features.
    """
    if source is not None and (dataset is not None or dropout != COMPLETE):
        raise UsageError("--from scores a folder as it is: leave out --dataset and --dropout.")
    if out.suffix not in (".csv", ".parquet"):
        raise UsageError(f"--out {out}: the name must end in .csv or .parquet.")
    from harness.api.arrays import Dataset
    from harness.api.trained import open_model
    from harness.boards.older import changes
    from harness.data.locate import find_store
    from harness.protocols.dropout import parse
    from harness.records.predictions import Predictions, write_predictions

    registry = load(plugin)
    runs, name, moved = located(run)
    folder, record = runs.folder(name), runs.find(name, moved=moved)
    with contextlib.redirect_stdout(sys.stderr):  # what the plugin prints
        model = open_model(folder, record, registry, device)
    for clause in changes(registry)(record) if record is not None else ():
        click.echo(f"note: {clause}; scores may differ from the run's.", err=True)
    if source is not None:
        _score_folder(model, source, out, batch_size, as_json)
        return
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


def _score_folder(
    model: TrainedModel, source: Path, out: Path, batch_size: int, as_json: bool
) -> None:
    """Score the samples of a folder, and write a row each."""
    from harness.api.features import score_folder

    with contextlib.redirect_stdout(sys.stderr):  # what the plugin prints
        found = score_folder(model, source, batch_size)
    for name in found.missing:
        click.echo(f"{source} has no {name}: every sample is scored without it.", err=as_json)
    scores = {f"score:{n}": found.scores[:, k] for k, n in enumerate(found.labels)}
    if out.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        from harness.paths import atomic_write_bytes

        stream = io.BytesIO()
        columns = {"id": found.ids, "group": found.groups}
        pq.write_table(pa.table({k: pa.array(v) for k, v in {**columns, **scores}.items()}), stream)
        atomic_write_bytes(out, stream.getvalue())
    else:
        texts = ([repr(float(s)) for s in column] for column in scores.values())
        rows = zip(found.ids, found.groups, *texts, strict=True)
        _write_rows(out, ["id", "group", *scores], rows)
    if as_json:
        emit_json({"predictions": str(out), "samples": len(found.ids), "dataset": None})
    else:
        click.echo(f"{len(found.ids)} samples of {source} scored: {out}")


def _write_csv(path: Path, part: Predictions, labels: tuple[str, ...]) -> None:
    names = ["id", "group", "split", "protocol"]
    names += [*(f"score:{n}" for n in labels), *(f"truth:{n}" for n in labels)]
    rows = (
        [name, part.groups[i], part.split, part.protocol,
         *(repr(float(s)) for s in part.scores[i]), *(int(t) for t in part.truth[i])]
        for i, name in enumerate(part.ids)
    )  # fmt: skip
    _write_rows(path, names, rows)


def _write_rows(path: Path, names: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    from harness.paths import atomic_write_text

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    atomic_write_text(path, out.getvalue())
