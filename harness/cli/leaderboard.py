"""``harness leaderboard``: boards of all records, as files."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import click

from harness.boards import merging
from harness.boards import switch as switching
from harness.boards.board import stale_files
from harness.boards.cache import cache_of
from harness.boards.folder import BoardFolder, texts_about_all
from harness.boards.official import FILE as ENTRANTS
from harness.boards.official import entrants_text, read_entrants
from harness.boards.product import Product
from harness.boards.render.text import numbered
from harness.boards.reported import Reported, read_reported, reported_by_plugins
from harness.boards.views import index
from harness.cli.options import FOLDER, json_option, option, plugin_option, roots_options, words
from harness.cli.render import emit_json, examples, paper_tables, say_left_out
from harness.errors import DataMissingError, RunFailedError, UsageError
from harness.paths import atomic_write_text
from harness.plugins import Registry, load
from harness.records.artefacts import transaction
from harness.records.committed import CommittedRecords, board_of, export, open_records
from harness.records.predictions import Predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore
from harness.records.sums import closed

TEST = "test"
BOARDS = Path("leaderboards")


@click.command(
    epilog=examples(
        "harness leaderboard",
        "harness leaderboard --dataset mosei-aligned --out boards",
        "harness leaderboard --export leaderboards/records --out leaderboards",
        "harness leaderboard --records leaderboards/records --out leaderboards",
        "harness leaderboard --check",
        "harness leaderboard --dataset mosi --columns tuned_micro_f1,rank,seconds --out paper",
        "harness leaderboard --split valid --out boards",
        "harness leaderboard --export leaderboards/next --dataset m3ed-twin",
        "harness leaderboard --switch m3ed-twin",
        "harness leaderboard --merge ours.records.zip --out merged",
    ),
)
@option(
    "records",
    help="Folder of runs or of exported records (default: HOME/runs; with --check OUT/records).",
)
@click.option(
    "--export", "target", type=FOLDER, default=None,
    help="Copy the runs on the boards, and the trials of searches on their data, here: a file a "
    "board, small enough to commit; boards are made of the copies. In OUT/next they gather for a "
    "switch and are on no board.",
)  # fmt: skip
@click.option(
    "--switch", metavar="BOARD", default=None,
    help="Put the records of a board in OUT/next in the place of those in OUT/records, and write "
    "all boards anew.",
)  # fmt: skip
@click.option(
    "--incomplete", is_flag=True,
    help="With --switch: though entrants that OUT/entrants.yaml declares are missing.",
)  # fmt: skip
@click.option(
    "--remove", metavar="BOARD", default=None,
    help="Remove a board with its records and figures, and write the others anew.",
)  # fmt: skip
@click.option(
    "--check", is_flag=True,
    help="Write nothing; exit 1 where the files in OUT do not follow from the records, or "
    "something is wrong with those in OUT/next.",
)  # fmt: skip
@click.option(
    "--no-cache", is_flag=True,
    help="With --check: use nothing that is kept in HOME/cache and prove what is; compute every "
    "figure a second time with torchmetrics as well.",
)  # fmt: skip
@click.option(
    "--merge", multiple=True, metavar="FILE", type=click.Path(exists=True, path_type=Path),
    help="Set your own records (*.records.zip, a folder of them or of runs, a home) beside those "
    "of --records (default then: leaderboards/records), and say which rows are not comparable and "
    "why; repeatable. Boards and records go to --out (default then: merged).",
)  # fmt: skip
@click.option(
    "--columns", metavar="NAMES", default=None,
    help="Write only LaTeX tables that fit a column of a paper, with these columns: a comma list "
    "of names as in the CSV, or 'all' that are in the boards' LaTeX. --out is paper then.",
)  # fmt: skip
@option("label", help="With --columns: write TEXT instead of a row's NAME; repeatable.")
@option("out", default=None, help="Where the boards go (default: leaderboards).")
@option("split", help="Split whose scores are shown; boards of validation go to OUT/valid.")
@option("dataset", help="Only this data set.")
@option("published")
@plugin_option
@json_option
@roots_options
def command(
    records: Path | None,
    target: Path | None,
    switch: str | None,
    incomplete: bool,
    remove: str | None,
    check: bool,
    no_cache: bool,
    merge: tuple[Path, ...],
    columns: str | None,
    label: tuple[str, ...],
    out: Path | None,
    split: str,
    dataset: str | None,
    published: Path | None,
    plugin: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write boards per data set in every format, one page and an index of the files."""
    if columns is not None and (check or target or switch or remove or merge or out == BOARDS):
        raise UsageError(
            f"--columns writes tables for a paper: leave out --out {BOARDS}, --check, --export, "
            "--switch, --remove and --merge."
        )
    if label and columns is None:
        raise UsageError("--label writes names in tables for a paper: give --columns, too.")
    _combined(check, no_cache, target, switch, incomplete, remove, split, bool(merge))
    if merge:
        there, out = records or BOARDS / switching.RECORDS, out or Path("merged")
        registry = load(plugin)
        reported = read_reported(published) if published else reported_by_plugins(registry)
        _merge(merge, there, out, dataset, registry, reported, as_json)
        return
    out = out or (BOARDS if columns is None else Path("paper"))
    root = records or (out / "records" if check else None)
    registry = load(plugin)
    reported = read_reported(published) if published else reported_by_plugins(registry)
    entries = read_entrants(out)
    switching.settle(out)

    def boards_of(
        store: RunStore | CommittedRecords, at: Path | None = None, checked: bool = check
    ) -> BoardFolder:
        kept = cache_of(at or store.root, registry)
        asked = _disagreements if checked else None
        return BoardFolder(store, registry, reported, entries, kept, asked, no_cache, split)

    if switch is not None or remove is not None:
        checked = partial(boards_of, checked=True)
        if switch is not None:
            change = switching.switch(out, switch, checked, incomplete)
        else:
            change = switching.removal(out, str(remove))
        _report_change(*_changed(change, checked, registry), as_json)
        return
    asked_for, out = out, out if split == TEST else out / split
    folder = boards_of(RunStore() if root is None else open_records(root))
    store = folder.store
    say_left_out(store)
    again = partial(_by_torchmetrics, store) if no_cache else None
    if not folder.names and not folder.without(dataset):
        raise DataMissingError(
            f"no run records with scores on {split} in {store.root}; make some with 'harness run'."
        )
    if columns is not None:
        every = (view for _, views in folder.made(dataset) for view in views)
        texts = paper_tables(every, words(columns, "--columns"), label)
        for name, text in texts.items():
            atomic_write_text(out / name, text)
        _report_written([str(out / name) for name in texts], [], None, store, as_json)
        return
    products = list(folder.products(dataset, again))
    if check:
        texts = _texts(folder, products, out, registry, whole=dataset is None)
        wrong, extra = stale_files(texts, out, registry, whole=dataset is None)
        broken = [line for product in products for line in product.wrong or ()]
        gathered = switching.gathered(out) if dataset is None and split == TEST else None
        if gathered is not None:
            coming = boards_of(gathered)
            broken += switching.faults_of_next(coming, list(coming.products(None, again)))
        broken += [f"{name}: the cache held other figures; it is made anew"
                   for name in folder.differing]  # fmt: skip
        anew = ["harness", "leaderboard", "--records", str(store.root), "--out", str(asked_for)]
        anew += ["--split", split] if split != TEST else []
        anew += ["--dataset", dataset] if dataset else []
        anew += ["--published", str(published)] if published else []
        anew += [word for file in plugin for word in ("--plugin", file)]
        remove = shlex.join(["rm", *(str(out / name) for name in extra)]) if extra else ""
        _report_check(wrong, extra, broken, (shlex.join(anew), remove), len(products), as_json)
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
        exported = export(chosen, store, target, _scored(registry))
        if target.name == switching.NEXT:
            _report_written([], exported, target, store, as_json)
            return
        dataset = None  # what follows from the folder is all of it
        folder = boards_of(open_records(target))
        say_left_out(folder.store)
        products = list(folder.products(dataset))
    written = []
    for name, text in _texts(folder, products, out, registry, whole=dataset is None).items():
        atomic_write_text(out / name, text)
        written.append(str(out / name))
    _report_written(written, exported, target, store, as_json)


def _combined(
    check: bool,
    no_cache: bool,
    target: Path | None,
    switch: str | None,
    incomplete: bool,
    remove: str | None,
    split: str,
    merge: bool,
) -> None:
    """Check that the options go together."""
    if merge:
        others = {"--check": check, "--export": target is not None, "--switch": switch is not None,
                  "--remove": remove is not None, "--split": split != TEST}  # fmt: skip
        wrong = [name for name, given in others.items() if given]
        if wrong:
            raise UsageError(f"--merge goes with --records, --out and --dataset; leave out "
                             f"{', '.join(wrong)}.")  # fmt: skip
    if check and target is not None:
        raise UsageError("--check writes nothing; leave out --export.")
    if no_cache and not check:
        raise UsageError("--no-cache says how --check computes; give --check as well.")
    if split != TEST and target is not None:
        raise UsageError(f"--export copies predictions of test; leave out --split {split}.")
    if incomplete and switch is None:
        raise UsageError("--incomplete says how --switch goes; give --switch BOARD as well.")
    if switch is not None or remove is not None:
        mine = "--switch" if switch is not None else "--remove"
        others = {"--check": check, "--export": target is not None, "--split": split != TEST}
        others["--remove"] = switch is not None and remove is not None
        wrong = [name for name, given in others.items() if given]
        if wrong:
            raise UsageError(f"{mine} goes with --out alone; leave out {', '.join(wrong)}.")


def _scored(registry: Registry) -> dict[str, str]:
    """Return by data set the dropout protocol whose predictions are exported as well."""
    return {e.spec.dataset: e.spec.dropout for e in registry.skills.values()}


def _merge(
    files: Sequence[Path],
    root: Path,
    out: Path,
    dataset: str | None,
    registry: Registry,
    reported: Mapping[str, Reported],
    as_json: bool,
) -> None:
    """Write boards of published and own records, and the records; tell what is not comparable."""
    if (out / switching.RECORDS).resolve() == root.resolve():
        raise UsageError(
            f"--out {out} holds the published records; give another folder. To add rows there: "
            f"harness leaderboard --records YOURS --export {root} --out {out}"
        )
    content: dict[str, bytes] = {}
    with merging.merged(root, files, _scored(registry)) as found:
        store = open_records(found.root)
        own = [r for name in sorted(found.own) if (r := store.readable(name)) is not None]
        told = [*found.left_out, *merging.apart(own, found.published, registry)]
        if own:
            entries = merging.with_own(read_entrants(root.parent), own)
            kept = cache_of(out / switching.RECORDS, registry)
            folder = BoardFolder(store, registry, reported, entries, kept)
            products = list(folder.products(dataset))
            texts = _texts(folder, products, out, registry, whole=dataset is None)
            texts |= {} if entries is None else {ENTRANTS: entrants_text(entries)}
            content = {name: text.encode() for name, text in texts.items()}
            for path in sorted(found.root.iterdir()):
                content[f"{switching.RECORDS}/{path.name}"] = path.read_bytes()
    if content:
        switching.settle(out, always=True)
        with transaction(out) as made:
            for name, held in sorted(content.items()):
                made.write(name, held)
    written = [str(out / name) for name in sorted(content)]
    if as_json:
        apart = list(map(vars, told))
        emit_json({"written": written, "merged": sorted(found.own), "not_comparable": apart})
        return
    runs = f"{numbered(len(found.own), 'run')} of {numbered(len(files), 'file')} beside {root}."
    for line in (*written, runs, *merging.sentences(told)):
        click.echo(line)


def _changed(
    change: switching.Change, boards_of: Callable[..., BoardFolder], registry: Registry
) -> tuple[list[str], list[str]]:
    """Make a change of records and write the boards anew; return what was written and what went."""
    out = change.out
    with switching.staged(change) as store:
        folder = boards_of(store, out / switching.RECORDS)
        say_left_out(store)
        texts = _texts(folder, list(folder.products()), out, registry, whole=True)
    _, extra = stale_files(texts, out, registry)
    gone = switching.apply(change, texts, extra)
    return [str(out / name) for name in (*change.new, *texts)], [str(out / name) for name in gone]


def _report_change(written: list[str], gone: list[str], as_json: bool) -> None:
    if as_json:
        emit_json({"written": written, "removed": gone})
        return
    for name in written:
        click.echo(name)
    click.echo(f"{len(written)} files written, {len(gone)} removed.")


def _report_written(
    written: list[str],
    exported: list[Path],
    target: Path | None,
    store: RunStore | CommittedRecords,
    as_json: bool,
) -> None:
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
