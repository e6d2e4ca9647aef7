"""``harness leaderboard``: boards of all records, as files."""

from __future__ import annotations

from pathlib import Path

import click

from harness.boards import index, overview
from harness.boards import page as page_of
from harness.boards.board import Board, build_boards, runs_of, stale_files, write_board
from harness.boards.collect import board_name
from harness.boards.entrants import reader
from harness.boards.reported import read_reported, reported_by_plugins
from harness.cli.render import (
    FILE,
    FOLDER,
    emit_json,
    examples,
    json_option,
    plugin_option,
    roots_options,
)
from harness.errors import DataMissingError, RunFailedError, UnknownNameError, UsageError
from harness.paths import atomic_write_text
from harness.records.committed import CommittedRecords, export, open_records
from harness.records.record import RunRecord
from harness.records.store import RunStore
from harness.registry import Registry, load

OUT = Path("leaderboards")


@click.command(
    epilog=examples(
        "harness leaderboard",
        "harness leaderboard --dataset mosei-aligned --out boards",
        "harness leaderboard --export leaderboards/records --out leaderboards",
        "harness leaderboard --records leaderboards/records --out leaderboards",
        "harness leaderboard --check",
    ),
)
@click.option(
    "--records", type=FOLDER, default=None,
    help="Folder of runs or of exported records (default: HOME/runs; with --check OUT/records).",
)  # fmt: skip
@click.option(
    "--export", "target", type=FOLDER, default=None,
    help="Copy the runs on the boards here, small enough to commit; boards are made of the copies.",
)  # fmt: skip
@click.option(
    "--check", is_flag=True,
    help="Write nothing; exit 1 where the boards in OUT do not follow from the records.",
)  # fmt: skip
@click.option("--out", type=FOLDER, default=OUT, show_default=True, help="Where the boards go.")
@click.option("--dataset", default=None, help="Only this data set.")
@click.option(
    "--published", type=FILE, default=None, help="Reported figures (default: those of plugins)."
)
@plugin_option
@json_option
@roots_options
def command(
    records: Path | None,
    target: Path | None,
    check: bool,
    out: Path,
    dataset: str | None,
    published: Path | None,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write boards per data set (md, csv, json, tex), one page and an index of the files."""
    if check and target is not None:
        raise UsageError("--check writes nothing; leave out --export.")
    folder = records or (out / "records" if check else None)
    store = RunStore() if folder is None else open_records(folder)
    found = _readable(store)
    names = {board_name(r) for r in found}
    if dataset is not None and dataset not in names:
        raise UnknownNameError("data set with records", dataset, names)
    registry = load(plugin)
    reported = read_reported(published) if published else reported_by_plugins(registry)
    models = {name: entry.spec for name, entry in registry.models.items()}
    boards = build_boards(found, reported, dataset, reader(store), models)
    if check:
        wrong = stale_files(boards, out, registry, whole=dataset is None)
        wrong += _stale(_pages(boards, found, out, registry), out) if dataset is None else []
        wrong += _not_reproduced(store, boards, found)
        _report_check(wrong, len(boards), as_json)
        return
    exported: list[Path] = []
    if target is not None:
        if not isinstance(store, RunStore):
            raise UsageError(f"--records {records}: these are exported already.")
        shown = runs_of(boards)
        exported = export([r for r in found if r.id in shown], store, target)
        copies = CommittedRecords(target)
        found = _readable(copies)
        boards = build_boards(found, reported, dataset, reader(copies), models)
    written = [str(file) for board in boards for file in write_board(board, out, registry)]
    pages = _pages(boards, found, out, registry) if dataset is None else {}
    for name, text in pages.items():
        atomic_write_text(out / name, text)
        written.append(str(out / name))
    if as_json:
        left_out = [b.reason for b in store.broken]
        emit_json({"written": written, "exported": list(map(str, exported)), "left_out": left_out})
        return
    for name in written:
        click.echo(name)
    if exported:
        size = sum(path.stat().st_size for path in exported)
        click.echo(f"{len(exported)} files in {target}, {size / 1e6:.2f} MB.")


def _readable(store: RunStore | CommittedRecords) -> list[RunRecord]:
    found = store.all()
    for broken in store.broken:
        click.echo(f"left out: {broken.reason}", err=True)
    if not found:
        raise DataMissingError(f"no run records in {store.root}; make some with 'harness run'.")
    return found


def _pages(
    boards: list[Board], found: list[RunRecord], out: Path, registry: Registry
) -> dict[str, str]:
    """Return the files about all boards together, text by name."""
    ranked = overview.rankings(boards)
    texts = {page_of.FILE: page_of.page(boards, found)}
    texts |= {overview.FILE: overview.markdown(ranked)} if ranked else {}
    if not index.ours(out / index.FILE):
        click.echo(f"left alone: {out / index.FILE} was written by someone else", err=True)
        return texts
    return texts | {index.FILE: index.markdown(boards, out, texts, registry)}


def _stale(texts: dict[str, str], out: Path) -> list[str]:
    return [
        f"{name} does not follow from the records"
        for name, text in texts.items()
        if not (out / name).is_file() or (out / name).read_bytes() != text.encode()
    ]


def _not_reproduced(
    store: RunStore | CommittedRecords, boards: list[Board], found: list[RunRecord]
) -> list[str]:
    """Return the exported runs whose stored predictions do not give their metrics again."""
    if isinstance(store, RunStore):
        return []
    from harness.engine.evaluate import disagreements

    shown, wrong = runs_of(boards), []
    for record in found:
        if record.id in shown and record.status == "ok":
            figures = disagreements(record, store.predictions(record))
            if figures:
                wrong.append(f"{record.id}: the predictions do not give {', '.join(figures[:3])}")
    return wrong


def _report_check(wrong: list[str], count: int, as_json: bool) -> None:
    if as_json:
        emit_json({"boards": count, "wrong": wrong})
    if wrong:
        raise RunFailedError(
            f"{'; '.join(wrong)}. Make them anew with 'harness leaderboard --records OUT/records'."
        )
    if not as_json:
        click.echo(f"{count} boards follow from their records.")
