"""``harness leaderboard``: boards of all records, as files."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from harness.boards.board import (
    Board,
    build_boards,
    files_of,
    formats,
    runs_of,
    stale_files,
    views,
)
from harness.boards.entrants import reader
from harness.boards.frame import board_name
from harness.boards.official import read_entrants
from harness.boards.older import older_than
from harness.boards.reported import read_reported, reported_by_plugins
from harness.boards.views import index, ranks
from harness.cli.options import FOLDER, json_option, option, plugin_option, roots_options
from harness.cli.render import emit_json, examples, records_of
from harness.errors import RunFailedError, UnknownNameError, UsageError
from harness.paths import atomic_write_text
from harness.plugins import Registry, load, resolve
from harness.records.committed import CommittedRecords, export
from harness.records.store import RunStore


@click.command(
    epilog=examples(
        "harness leaderboard",
        "harness leaderboard --dataset mosei-aligned --out boards",
        "harness leaderboard --export leaderboards/records --out leaderboards",
        "harness leaderboard --records leaderboards/records --out leaderboards",
        "harness leaderboard --check",
    ),
)
@option(
    "records",
    help="Folder of runs or of exported records (default: HOME/runs; with --check OUT/records).",
)
@click.option(
    "--export", "target", type=FOLDER, default=None,
    help="Copy the runs on the boards here, small enough to commit; boards are made of the copies.",
)  # fmt: skip
@click.option(
    "--check", is_flag=True,
    help="Write nothing; exit 1 where the files in OUT do not follow from the records.",
)  # fmt: skip
@click.option(
    "--no-cache", is_flag=True,
    help="With --check: compute every figure a second time with torchmetrics as well.",
)  # fmt: skip
@option("out", default=Path("leaderboards"), help="Where the boards go.")
@option("dataset", help="Only this data set.")
@option("published")
@plugin_option
@json_option
@roots_options
def command(
    records: Path | None,
    target: Path | None,
    check: bool,
    no_cache: bool,
    out: Path,
    dataset: str | None,
    published: Path | None,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write boards per data set in every format, one page and an index of the files."""
    if check and target is not None:
        raise UsageError("--check writes nothing; leave out --export.")
    if no_cache and not check:
        raise UsageError("--no-cache says how --check computes; give --check as well.")
    folder = records or (out / "records" if check else None)
    store, found = records_of(folder)
    names = {board_name(r) for r in found}
    if dataset is not None and dataset not in names:
        raise UnknownNameError("data set with records", dataset, names)
    registry = load(plugin)
    reported = read_reported(published) if published else reported_by_plugins(registry)

    def made(source: RunStore | CommittedRecords) -> list[Board]:
        older = older_than(registry)
        return build_boards(found, reported, dataset, reader(source), registry, older)

    boards = made(store)
    if check:
        texts = _texts(boards, out, registry, whole=dataset is None)
        wrong, extra = stale_files(texts, out, registry, whole=dataset is None)
        broken = _not_reproduced(store, boards, no_cache)
        again = ["harness", "leaderboard", "--records", str(store.root), "--out", str(out)]
        again += ["--dataset", dataset] if dataset else []
        again += ["--published", str(published)] if published else []
        again += [word for file in plugin for word in ("--plugin", file)]
        remove = shlex.join(["rm", *(str(out / name) for name in extra)]) if extra else ""
        _report_check(wrong, extra, broken, (shlex.join(again), remove), len(boards), as_json)
        return
    exported: list[Path] = []
    if target is not None:
        if not isinstance(store, RunStore):
            raise UsageError(f"--records {records}: these are exported already.")
        shown = runs_of(boards)
        exported = export([r for r in found if r.id in shown], store, target)
        copies, found = records_of(target)
        boards = made(copies)
    written = []
    for name, text in _texts(boards, out, registry, whole=dataset is None).items():
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


def _texts(boards: list[Board], out: Path, registry: Registry, whole: bool) -> dict[str, str]:
    """Return all files, text by name; ``whole``: with those about all boards together."""
    shown = {board.dataset: views(board, registry) for board in boards}
    texts = files_of((view for found in shown.values() for view in found), registry)
    if not whole:
        return texts
    ranked = ranks.rankings(boards, read_entrants(out))
    about = files_of([ranks.view(ranked)], registry) if ranked else {}
    for spec in formats(registry, of="boards").values():
        about[spec.suffix] = str(resolve(spec.render)(boards, shown))
    if index.ours(out / index.FILE):
        about[index.FILE] = index.text(boards, out, sorted(about), registry)
    else:
        click.echo(f"left alone: {out / index.FILE} was written by someone else", err=True)
    return texts | about


def _not_reproduced(
    store: RunStore | CommittedRecords, boards: list[Board], twice: bool
) -> list[str]:
    """Return the runs whose stored predictions do not give their metrics again.

    Exported ones are computed as they were; with ``twice`` all by torchmetrics as well.
    """
    wrong, shown = [], runs_of(boards)
    records = [r for board in boards for r in board.records if r.id in shown and r.status == "ok"]
    if isinstance(store, CommittedRecords):
        from harness.engine.recompute import disagreements

        for record in records:
            figures = disagreements(record, store.parts(record))
            if figures:
                wrong.append(f"{record.id}: the predictions do not give {', '.join(figures[:3])}")
    if twice:
        from harness.engine.second_opinion import verify_all

        wrong += [
            f"{record.id}, {d}: {d.stored} in the record, {d.found} by torchmetrics"
            for record, found in verify_all(store, records)
            for d in found.differences
        ]
    return wrong


def _report_check(
    wrong: list[str],
    extra: list[str],
    broken: list[str],
    remedies: tuple[str, str],
    count: int,
    as_json: bool,
) -> None:
    found = [*wrong, *(f"{name} has no records" for name in extra), *broken]
    if as_json:
        emit_json({"boards": count, "wrong": found})
    if found:
        advice = [
            f"Write them anew with '{remedies[0]}'." if wrong else "",
            f"Remove what has no records with '{remedies[1]}'." if extra else "",
            "Export runs whose record was edited anew (--export)." if broken else "",
        ]
        raise RunFailedError(f"{'; '.join(found)}. {' '.join(a for a in advice if a)}")
    if not as_json:
        click.echo(f"{count} boards follow from their records.")
