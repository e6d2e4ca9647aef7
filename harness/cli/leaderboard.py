"""``harness leaderboard``: boards of all records, as files."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from harness.boards.board import stale_files
from harness.boards.cache import cache_of
from harness.boards.folder import BoardFolder, Product, texts_about_all
from harness.boards.official import read_entrants
from harness.boards.reported import read_reported, reported_by_plugins
from harness.boards.views import index
from harness.cli.options import FOLDER, json_option, option, plugin_option, roots_options
from harness.cli.render import emit_json, examples, say_left_out
from harness.errors import DataMissingError, RunFailedError, UsageError
from harness.paths import atomic_write_text
from harness.plugins import Registry, load
from harness.records.committed import CommittedRecords, board_of, export, open_records
from harness.records.predictions import Predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore
from harness.records.sums import closed

TEST = "test"


@click.command(
    epilog=examples(
        "harness leaderboard",
        "harness leaderboard --dataset mosei-aligned --out boards",
        "harness leaderboard --export leaderboards/records --out leaderboards",
        "harness leaderboard --records leaderboards/records --out leaderboards",
        "harness leaderboard --check",
        "harness leaderboard --split valid --out boards",
    ),
)
@option(
    "records",
    help="Folder of runs or of exported records (default: HOME/runs; with --check OUT/records).",
)
@click.option(
    "--export", "target", type=FOLDER, default=None,
    help="Copy the runs on the boards, and the trials of searches on their data, here: a file a "
    "board, small enough to commit; boards are made of the copies.",
)  # fmt: skip
@click.option(
    "--check", is_flag=True,
    help="Write nothing; exit 1 where the files in OUT do not follow from the records.",
)  # fmt: skip
@click.option(
    "--no-cache", is_flag=True,
    help="With --check: use nothing that is kept in HOME/cache and prove what is; compute every "
    "figure a second time with torchmetrics as well.",
)  # fmt: skip
@option("out", default=Path("leaderboards"), help="Where the boards go.")
@option("split", help="Split whose scores are shown; boards of validation go to OUT/valid.")
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
    split: str,
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
    if split != TEST and target is not None:
        raise UsageError(f"--export copies predictions of test; leave out --split {split}.")
    root = records or (out / "records" if check else None)
    registry = load(plugin)
    reported = read_reported(published) if published else reported_by_plugins(registry)
    entries = read_entrants(out)
    asked_for, out = out, out if split == TEST else out / split

    def boards_of(store: RunStore | CommittedRecords) -> BoardFolder:
        kept = cache_of(store.root, registry)
        asked = _disagreements if check else None
        return BoardFolder(store, registry, reported, entries, kept, asked, no_cache, split)

    folder = boards_of(RunStore() if root is None else open_records(root))
    store = folder.store
    say_left_out(store)
    again = partial(_by_torchmetrics, store) if no_cache else None
    if not folder.names and not folder.without(dataset):
        raise DataMissingError(
            f"no run records with scores on {split} in {store.root}; make some with 'harness run'."
        )
    products = list(folder.products(dataset, again))
    if check:
        texts = _texts(folder, products, out, registry, whole=dataset is None)
        wrong, extra = stale_files(texts, out, registry, whole=dataset is None)
        broken = [line for product in products for line in product.wrong or ()]
        broken += [f"{name}: the cache held other figures; it is made anew"
                   for name in folder.differing]  # fmt: skip
        words = ["harness", "leaderboard", "--records", str(store.root), "--out", str(asked_for)]
        words += ["--split", split] if split != TEST else []
        words += ["--dataset", dataset] if dataset else []
        words += ["--published", str(published)] if published else []
        words += [word for file in plugin for word in ("--plugin", file)]
        remove = shlex.join(["rm", *(str(out / name) for name in extra)]) if extra else ""
        _report_check(wrong, extra, broken, (shlex.join(words), remove), len(products), as_json)
        return
    exported: list[Path] = []
    if target is not None:
        shown = {run for product in products for run in product.runs}
        boards = {product.entry.dataset for product in products}
        chosen = [
            record
            for name in store.names()
            if (record := store.readable(name)) is not None
            and (name in shown or (record.role == "trial" and board_of(record) in boards))
        ]
        skills = (entry.spec for entry in registry.skills.values())
        scored = {skill.dataset: skill.dropout for skill in skills}
        exported = export(chosen, store, target, scored)
        folder = boards_of(open_records(target))
        say_left_out(folder.store)
        products = list(folder.products(dataset))
    written = []
    for name, text in _texts(folder, products, out, registry, whole=dataset is None).items():
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


def _texts(
    folder: BoardFolder, products: list[Product], out: Path, registry: Registry, whole: bool
) -> dict[str, str]:
    """Return all files, text by name; ``whole``: with those about all boards together."""
    texts = {name: text for product in products for name, text in product.files.items()}
    if not whole:
        return texts
    about = texts_about_all(folder, products, registry)
    if index.ours(out / index.FILE):
        entries = [product.entry for product in products]
        about[index.FILE] = index.text_of(entries, out, sorted(about), registry)
    else:
        click.echo(f"left alone: {out / index.FILE} was written by someone else", err=True)
    return texts | about


def _disagreements(record: RunRecord, parts: Sequence[Predictions]) -> list[str]:
    """Return the figures of a record that its predictions do not give again."""
    from harness.engine.recompute import disagreements

    return disagreements(record, parts)


def _by_torchmetrics(store: RunStore | CommittedRecords, records: Sequence[RunRecord]) -> list[str]:
    """Return a line a figure that torchmetrics does not give again."""
    from harness.engine.second_opinion import verify_all

    return [
        f"{record.id}, {d}: {d.stored} in the record, {d.found} by torchmetrics"
        for record, found in verify_all(store, (r for r in records if not closed(r)))
        for d in found.differences
    ]


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
