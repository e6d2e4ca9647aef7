"""``harness data``: prepare, verify and describe data sets; make twins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import paths
from harness.cli.options import (
    FOLDER,
    json_option,
    option,
    plugin_option,
    roots_options,
    there,
    wide_option,
)
from harness.cli.render import emit_json, emit_table, examples
from harness.errors import DataMissingError, RunFailedError, UsageError
from harness.plugins import load
from harness.specs import NOT_STATED

if TYPE_CHECKING:
    from harness.data.store import Store

# More files of one folder than this are shown as one line.
_MANY = 4


@click.group(
    name="data",
    epilog=examples("harness data prepare mosei-aligned", "harness data stats mosi --json"),
)
def command() -> None:
    """Prepare, verify and describe data sets; make twins."""


@command.command(
    epilog=examples(
        "harness data prepare mosei-aligned --data-root authors",
        "harness data prepare mosei-aligned --check",
    )
)
@click.argument("name")
@click.option("--repair", is_flag=True, help="Set NaN and infinite features to 0 and count them.")
@click.option("--force", is_flag=True, help="Prepare again even if nothing changed.")
@click.option(
    "--check",
    "checked",
    is_flag=True,
    help="Show expected files, sizes, counts and label shares beside what is here.",
)
@option("twin_seed")
@plugin_option
@roots_options
def prepare(
    name: str,
    repair: bool,
    force: bool,
    checked: bool,
    twin_seed: int | None,
    plugin: tuple[str, ...],
) -> None:
    """Read the authors' files of data set NAME once and store them for training."""
    from harness.data.expected import files_report, store_report
    from harness.data.locate import corpus_of, make_twin, twin_seed_for
    from harness.data.prepare import prepare as prepare_store

    spec = load(plugin).dataset(name)
    if twin_seed is not None and spec.source != "twin":
        raise UsageError(f"--twin-seed {twin_seed}: {spec.name} names real files, which are read.")
    if checked and spec.source == "twin":
        raise UsageError(f"{spec.name} is generated: there are no authors' files to check.")
    if checked:
        _show_files(files_report(corpus_of(spec), paths.data_root()))
        counts = ", ".join(f"{k} {v}" for k, v in corpus_of(spec).published_counts.items())
        shares = zip(spec.labels, spec.published_marginals, strict=False)
        click.echo(f"published samples: {counts or NOT_STATED}")
        told = ", ".join(f"{label} {share:.3f}" for label, share in shares)
        click.echo(f"published label shares: {told or NOT_STATED}")
    if spec.source == "twin":
        store = make_twin(spec, seed=twin_seed_for(asked=twin_seed), force=force)
    else:
        store = prepare_store(
            corpus_of(spec), paths.data_root(), spec.name, repair=repair, force=force
        )
    if store.notice:
        click.echo(store.notice)
    _show_store(store)
    if checked:
        _show_expected(store_report(store, corpus_of(spec)))


@command.command(epilog=examples("harness data verify mosei-aligned --json"))
@click.argument("name")
@option("twin_seed")
@plugin_option
@roots_options
@json_option
def verify(name: str, twin_seed: int | None, plugin: tuple[str, ...], as_json: bool) -> None:
    """Check a prepared data set NAME against its files; ends with 1 if something is wrong."""
    from harness.data.describe import verify as verify_store
    from harness.data.locate import corpus_of, twin_seed_for
    from harness.data.store import open_store

    spec = load(plugin).dataset(name)
    if twin_seed is not None and spec.source != "twin":
        raise UsageError(f"--twin-seed {twin_seed}: {spec.name} names the real data.")
    own = twin_seed_for(asked=twin_seed) if spec.source == "twin" else None
    store = open_store(spec.name, own)
    if store is None:
        which = "" if twin_seed is None else f" --twin-seed {twin_seed}"
        raise DataMissingError(
            f"{spec.name} is not prepared yet: run `harness data prepare {spec.name}{which}`."
        )
    report = verify_store(store, corpus_of(store.spec), paths.data_root())
    if as_json:
        emit_json(report)
    else:
        _show_verification(report)
    if not report["ok"]:
        raise RunFailedError(f"{name}: " + "; ".join(report["problems"]))


@command.command(epilog=examples("harness data stats m3ed", "harness data stats mosi --json"))
@click.argument("name")
@option("twin_seed")
@plugin_option
@roots_options
@wide_option
@json_option
def stats(name: str, twin_seed: int | None, plugin: tuple[str, ...], as_json: bool) -> None:
    """Show counts, labels, lengths and missing modalities of data set NAME."""
    from harness.data.describe import statistics
    from harness.data.locate import find_store

    store = find_store(
        load(plugin).dataset(name),
        twin_seed=twin_seed,
        announce=lambda text: click.echo(text, err=as_json),
    )
    found = statistics(store)
    if as_json:
        emit_json(found)
    else:
        _show_statistics(found)


@command.command(epilog=examples("harness data twin mosei-aligned --seed 1 --size full"))
@click.argument("name")
@option("seed", default=1, help="Seed of the generator; a training with seed S takes 1 + S.")
@click.option(
    "--size", type=click.Choice(("default", "full")), default="default",
    help="full: as many samples as the real data has.",
)  # fmt: skip
@click.option("--files", is_flag=True, help="Keep the files in the authors' format.")
@option("out", help="Only write the files in the authors' format to this folder.")
@plugin_option
@roots_options
def twin(
    name: str, seed: int, size: str, files: bool, out: Path | None, plugin: tuple[str, ...]
) -> None:
    """Generate the twin of data set NAME: same shapes and labels, known best score."""
    from harness.data.locate import corpus_of, make_twin, twin_files, twin_spec

    spec = load(plugin).dataset(name)
    if out is not None:
        corpus = corpus_of(twin_spec(spec) if spec.source == "real" else spec)
        with paths.storage_errors(out):
            out.mkdir(parents=True, exist_ok=True)
            corpus.write_twin(out, seed, size)
        click.echo(f"generated files of {corpus.spec.name} (not the real data): {out}")
        return
    store = make_twin(spec, seed=seed, size=size, keep_files=files)
    _show_store(store)
    if files:
        click.echo(f"files in the authors' format: {twin_files(store.spec, seed)}")


@command.command(
    name="export",
    epilog=examples(
        "harness data export mosi-twin --format npz --to mosi-arrays",
        "harness data export meld --format parquet --to meld-tables --own-use",
    ),
)
@click.argument("name")
@click.option(
    "--format", "form", type=click.Choice(("npz", "parquet")), required=True,
    help="npz: an archive a split; parquet: a table of samples and one a modality.",
)  # fmt: skip
@click.option("--to", type=FOLDER, required=True, metavar="DIR", help="The folder to make.")
@click.option(
    "--own-use", is_flag=True,
    help="Confirm that data whose samples may not be passed on stays with you.",
)  # fmt: skip
@option("twin_seed")
@plugin_option
@roots_options
def export(
    name: str, form: str, to: Path, own_use: bool, twin_seed: int | None, plugin: tuple[str, ...]
) -> None:
    """Write data set NAME as plain arrays: ids, groups, labels, splits, an array a modality.

    The folder is one that `harness data import` and `harness new dataset --from` read.
    """
    from harness.data.exchange import check_form, export_data
    from harness.data.locate import find_store

    spec = load(plugin).dataset(name)
    check_form(spec, form, to)  # before anything long
    store = find_store(spec, twin_seed=twin_seed, announce=click.echo)
    files = export_data(store, form, to, own_use)
    click.echo(f"{to}: {', '.join(files)}")
    click.echo(f"content {store.content_hash}")
    click.echo(f"licence: {store.spec.licence or NOT_STATED}")
    if not store.spec.redistribute:
        click.echo("Its samples may not be passed on: neither may this folder.")


@command.command(name="import", epilog=examples("harness data import mosi-arrays"))
@click.argument("folder", type=FOLDER, callback=there)
@click.option("--force", is_flag=True, help="Replace prepared data that differs.")
@plugin_option
@roots_options
def import_(folder: Path, force: bool, plugin: tuple[str, ...]) -> None:
    """Prepare a data set of FOLDER, written by `harness data export`; content is the same."""
    from harness.data.exchange import import_data

    store = import_data(folder, load(plugin), force)
    _show_store(store)


def _show_store(store: Store) -> None:
    counts = ", ".join(f"{split} {n}" for split, n in store.card["counts"].items())
    click.echo(f"{store.spec.name}: {counts}; content {store.content_hash[:12]}; {store.path}")
    for split, cleaned in store.card["cleaned"].items():
        for what, n in cleaned.items():
            click.echo(f"  {split}: set to 0: {n} values ({what})")
    for warning in store.card.get("warnings", ()):
        click.echo(f"  note: {warning}")


def _show_verification(report: dict[str, Any]) -> None:
    click.echo(f"{report['dataset']} ({report['source']}): content {report['content_hash']}")
    for line in _source_lines(report["sources"]):
        click.echo(f"  {line}")
    for line in _asking_lines(report["globals"]):
        click.echo(f"  {line}")
    for split, n in report["counts"].items():
        known = report["published_counts"].get(split)
        published = "" if known is None else f" (published: {known})"
        click.echo(f"  {split}: {n} samples{published}")
        for what, count in report["cleaned"].get(split, {}).items():
            click.echo(f"    set to 0: {count} values ({what})")
    _show_provenance(report["provenance"])
    click.echo("ok" if report["ok"] else "not as it should be")


def _show_files(report: Sequence[Mapping[str, Any]]) -> None:
    for file in report:
        click.echo(f"{file['path']}  ({file['what']})")
        for what in ("size", "sha256"):
            mark = "  <- differs" if what in file["differs"] else ""
            here = "not there" if file[what] is None else file[what]
            click.echo(f"  {what}: {here}; expected: {file[f'expected_{what}']}{mark}")


def _show_expected(report: Mapping[str, Any]) -> None:
    for what in ("counts", "label_share"):
        here, published = report[what], report[f"published_{what}"]
        click.echo(f"{what.replace('_', ' ')}:")
        for name, value in here.items():
            stated = published.get(name, NOT_STATED) if isinstance(published, dict) else published
            click.echo(f"  {name}: {_number(value)}; published: {_number(stated)}")
    for sentence in report["differs"]:
        click.echo(f"differs: {sentence}")
    if not report["differs"]:
        click.echo("counts and shares are as published, as far as anybody published them")


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _show_provenance(provenance: Mapping[str, Any]) -> None:
    for heading, value in provenance.items():
        if isinstance(value, Mapping):
            click.echo(f"{heading}:")
            for name, text in value.items():
                click.echo(f"  {name}: {text}")
        else:
            click.echo(f"{heading}: {value}")


def _source_lines(sources: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a line per file, or one for a folder that holds many."""
    folders: dict[Path, list[dict[str, Any]]] = {}
    for source in sources:
        folders.setdefault(Path(source["path"]).parent, []).append(source)
    for folder, files in folders.items():
        if len(files) > _MANY:
            yield f"{folder}: {len(files)} files  {sum(f['size'] for f in files)} bytes"
            continue
        for one in files:
            yield f"{one['path']}  {one['size']} bytes  sha256 {one['sha256']}"


def _asking_lines(asking: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield which globals pickles ask for; one line where many of a folder ask for the same."""
    alike: dict[tuple[Path, str], list[str]] = {}
    for file, names in asking.items():
        place = (Path(file).parent, ", ".join(names) or "nothing")
        alike.setdefault(place, []).append(file)
    for (folder, names), files in alike.items():
        if len(files) > _MANY:
            yield f"{folder}: {len(files)} files ask for {names}"
            continue
        for file in files:
            yield f"{file} asks for {names}"


def _show_statistics(found: dict[str, Any]) -> None:
    click.echo(f"{found['dataset']} ({found['source']}): content {found['content_hash']}")
    _show_provenance(found["provenance"])
    splits = found["splits"]
    rows = [
        [name, s["samples"], s["groups"], f"{s['cardinality']:.3f}", s["label_sets"]]
        for name, s in splits.items()
    ]
    emit_table(["split", "samples", f"groups ({found['group_key']})", "labels", "label sets"], rows)
    click.echo("\nshare of samples with each label")
    rows = [[n, *(f"{p:.3f}" for p in s["label_share"])] for n, s in splits.items()]
    if found["published_label_share"]:
        rows.append(["published", *(f"{p:.3f}" for p in found["published_label_share"])])
    emit_table(["split", *found["labels"]], rows)
    train = next(iter(splits))
    click.echo(f"\nco-occurrence in {train}")
    counts = splits[train]["cooccurrence"]
    emit_table(
        ["", *found["labels"]], [[n, *r] for n, r in zip(found["labels"], counts, strict=True)]
    )
    click.echo("\nvalid positions (quantiles 0, .05, .25, .5, .75, .95, 1) and missing rate")
    rows = [
        [name, modality, *(f"{q:g}" for q in length["valid"]), f"{s['missing_rate'][modality]:.3f}"]
        for name, s in splits.items()
        for modality, length in s["lengths"].items()
    ]
    emit_table(["split", "modality", "0", ".05", ".25", ".5", ".75", ".95", "1", "missing"], rows)
    shared = ", ".join(f"{pair} {n}" for pair, n in found["shared_groups"].items())
    click.echo(f"\ngroups shared by splits: {shared}")
    for split, facts in found["facts"].items():
        if facts:
            counted = ", ".join(f"{what} {count}" for what, count in facts.items())
            click.echo(f"{split}: {counted}")
