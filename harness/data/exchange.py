"""A prepared data set as a folder of arrays, for other tools or another machine, and back.

The layout is that of `harness.data.folder`. The way back is exact: the content hash is the same.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from harness import paths
from harness.data import archives, tables
from harness.data.corpus import Corpus, SplitArrays
from harness.data.folder import CARD, FolderCorpus, files_of
from harness.data.layouts.sequence.split import SequenceSplit
from harness.data.locate import corpus_of, store_folder
from harness.data.partition import PARTS
from harness.data.prepare import file_hash, found, prepare
from harness.data.store import Store
from harness.data.values import fail, read_json_object
from harness.errors import UnknownNameError, UsageError
from harness.plugins import Registry
from harness.specs import NOT_STATED, DatasetSpec

Form = Literal["npz", "parquet"]
FORMS: tuple[Form, ...] = ("npz", "parquet")
PREPARED, README = "prepared.json", "README.md"
SCHEMA = 1
# What the folder says itself, or what holds for the authors' files alone.
_NOT_OF_CARDS = ("corpus", "files", "source", "has_twin", "layout")


def check_form(spec: DatasetSpec, form: str, to: Path) -> None:
    """Refuse what cannot be exported whatever the data holds; arguments as of `export_data`.

    Raises:
        UsageError: says what does not fit.
    """
    if form not in FORMS:
        raise UsageError(f"--format {form!r}: give {' or '.join(FORMS)}.")
    if spec.cells:
        raise UsageError(
            f"{spec.name} is persons x segments, which these formats have no place for; "
            f"harness.dataset({spec.name!r}) gives its arrays."
        )
    names = spec.modality_names
    odd = archives.unfit(names) if form == "npz" else tables.unfit(names, spec.labels)
    odd = odd or next((s for s in spec.splits if s not in PARTS), "")
    if odd:
        raise UsageError(f"{spec.name}: {odd!r} cannot be a name in --format {form}.")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"--to {to}: is there and not empty; give a new folder.")


def export_data(store: Store, form: str, to: Path, own_use: bool = False) -> list[str]:
    """Write a store into a new folder; return the names of its files.

    Args:
        store: a prepared data set of sequences.
        form: one of `FORMS`.
        to: a folder that does not exist, or is empty; it is there whole or not at all.
        own_use: it is confirmed that data whose samples may not be passed on is not.

    Raises:
        UsageError: the data is persons x segments, its terms forbid it and nothing is confirmed,
            a name does not fit into the format, or the folder is not empty.
        DataFormatError: the store is damaged.
        StorageError: the folder cannot be written.
    """
    spec = store.spec
    check_form(spec, form, to)
    if not spec.redistribute and not own_use:
        raise UsageError(
            f"the card of {spec.name} does not let its samples be passed on (redistribute: no; "
            f"licence: {spec.licence or NOT_STATED}). If the folder stays with you, say so: "
            "--own-use."
        )
    splits = [s for s in map(store.split, spec.splits) if isinstance(s, SequenceSplit)]
    ids = [i for s in splits for i in s.ids]
    if form == "parquet" and len(set(ids)) < len(ids):
        raise UsageError(f"{spec.name}: samples of two splits share an id; use --format npz.")
    with paths.atomic_dir(to) as folder:
        if form == "npz":
            for split in splits:
                archives.write_archive(folder / f"{split.name}.npz", split)
        else:
            tables.write_tables(folder, splits)
        files = {f.name: file_hash(f) for f in sorted(folder.iterdir())}
        paths.atomic_write_text(folder / CARD, _card(spec))
        paths.atomic_write_text(folder / README, _readme(store))
        prepared = {
            "schema": SCHEMA,
            "name": spec.name,
            "protocol": spec.id,
            "content_hash": store.content_hash,
            "files": files,
            **{k: store.card[k] for k in ("reader_version", "repair", "cleaned", "facts", "twin")},
        }
        paths.atomic_write_text(folder / PREPARED, json.dumps(prepared, indent=1) + "\n")
        return sorted(f.name for f in folder.iterdir())


def import_data(folder: Path, registry: Registry, force: bool = False) -> Store:
    """Make the store of a data set of what `export_data` wrote, and open it.

    Args:
        folder: the files, as they were written.
        registry: the plugins, among them the one that declares the data set.
        force: replace a store that holds something else.

    Raises:
        UsageError: the data set is not known here, or a store of it holds something else.
        DataFormatError: the folder is not what was written, or the data set is not the one here.
        StorageError: the store cannot be written.
    """
    about = _prepared(folder)
    spec = _known(registry, about, folder)
    if spec.id != about["protocol"]:
        raise fail(folder / PREPARED, "protocol", f"{spec.id!r} of the data set here",
                   repr(about["protocol"]))  # fmt: skip
    for name, digest in about["files"].items():
        file = folder / name
        if not file.is_file() or file_hash(file) != digest:
            raise fail(file, "", "the file that was exported", "another one, or none")
    twin = about["twin"]
    target = store_folder(spec) if twin is None else store_folder(spec, twin["seed"])
    here, damage = found(target)
    if here is not None and not damage and not force:
        if here.content_hash == about["content_hash"]:
            return here
        raise UsageError(
            f"{target} holds other data (content {here.content_hash[:12]}, the folder has "
            f"{about['content_hash'][:12]}); --force puts the folder's in its place."
        )
    return prepare(
        _Exported(spec, folder, about), folder, target.name, repair=about["repair"], twin=twin,
        force=True, expected=about["content_hash"],
    )  # fmt: skip


class _Exported(Corpus):
    """The reader of an exported folder on behalf of the data set's own."""

    def __init__(self, spec: DatasetSpec, folder: Path, about: dict[str, Any]) -> None:
        super().__init__(spec)
        own = corpus_of(spec)
        self._reader, self._about = _InFolder(spec, folder), about
        self.reader_version = about["reader_version"]  # type: ignore[misc]
        self.shared_ids = own.shared_ids  # type: ignore[misc]

    def paths(self, root: Path) -> list[Path]:
        """Return the files of the folder."""
        return self._reader.paths(root)

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield the splits, with what was counted when they were read first."""
        for split in self._reader.read(root):
            told = {k: self._about[k].get(split.name, {}) for k in ("cleaned", "facts")}
            yield dataclasses.replace(split, **told)


class _InFolder(FolderCorpus):
    """A reader of one folder, wherever the data set's own files are expected."""

    def __init__(self, spec: DatasetSpec, folder: Path) -> None:
        super().__init__(spec)
        self._folder = folder

    def paths(self, root: Path) -> list[Path]:
        """Return the files of the folder."""
        return files_of(self._folder)


def _card(spec: DatasetSpec) -> str:
    """Return the card of the folder: what the data set says of itself, without its files."""
    import yaml

    # Of what is made of other data sets: the fields that every data set has.
    blank = {f.name: f.default for f in dataclasses.fields(DatasetSpec)}
    facts = json.loads(json.dumps(dataclasses.asdict(spec)))
    own = {
        key: value
        for key, value in facts.items()
        if key in blank
        and key not in _NOT_OF_CARDS
        and (value or key == "redistribute" or getattr(spec, key) != blank[key])
    }
    text: str = yaml.safe_dump(own, sort_keys=False, allow_unicode=True, width=100)
    return text


def _readme(store: Store) -> str:
    spec, twin = store.spec, store.card["twin"]
    what, labels, _ = spec.sentences()
    allowed = (
        "Samples may be passed on under the licence." if spec.licence
        else "The card says that samples may be passed on; it states no licence."
    )  # fmt: skip
    terms = (
        allowed if spec.redistribute
        else "THE SAMPLES MAY NOT BE PASSED ON: this folder is for the use of who exported it."
    )  # fmt: skip
    counts = ", ".join(f"{split} {n}" for split, n in store.card["counts"].items())
    rows = [f"{key}: {v}" for key, v in spec.provenance().items() if isinstance(v, str)]
    cited = f"\nCite: {spec.citation}\n" if spec.citation else ""
    drawn = "" if twin is None else f"\nTwin {twin['seed']}, size {twin['size']}.\n"
    return (
        f"# {spec.id}\n\n{what} {labels}\n{drawn}\nSamples: {counts}. Content hash: "
        f"`{store.content_hash}`.\n\n{terms}\n\n" + "\n".join(f"- {row}" for row in rows) + "\n"
        f"{cited}\nInto another home of the harness: `harness data import .`; as a data set of "
        "your own: `harness new dataset NAME --from .`. What the files hold: the text of "
        "`harness.data.folder`.\n"
    )


def _prepared(folder: Path) -> dict[str, Any]:
    file = folder / PREPARED
    if not file.is_file():
        raise UsageError(
            f"{folder} was not written by `harness data export` (no {PREPARED}); of a folder of "
            "arrays `harness new dataset NAME --from FOLDER` makes a data set."
        )
    about = read_json_object(file)
    kinds = {
        "schema": int, "name": str, "protocol": str, "content_hash": str, "files": dict,
        "reader_version": int, "repair": bool, "cleaned": dict, "facts": dict,
    }  # fmt: skip
    for key, kind in kinds.items():
        if not isinstance(about.get(key), kind):
            raise fail(file, key, f"{kind.__name__}", repr(about.get(key)))
    twin = about.get("twin")
    if twin is not None and not (isinstance(twin, dict) and {"version", "seed", "size"} <= {*twin}):
        raise fail(file, "twin", "version, seed and size", repr(twin))
    if about["schema"] != SCHEMA:
        raise fail(file, "schema", f"{SCHEMA}", f"{about['schema']}; use a newer harness")
    return about


def _known(registry: Registry, about: dict[str, Any], folder: Path) -> DatasetSpec:
    try:
        return registry.dataset(about["name"])
    except UnknownNameError as error:
        raise UsageError(
            f"{error} Load the plugin that declares {about['name']!r} (--plugin), or make one of "
            f"the folder: harness new dataset NAME --from {folder}"
        ) from error
