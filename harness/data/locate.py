"""Finding the data of a data set: the authors' files, a prepared store, or else the twin."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import paths
from harness.data import prepare as preparing
from harness.data.store import Store, locked, store_name
from harness.errors import DataFormatError, UsageError
from harness.plugins import TWIN, resolve, twin_of
from harness.specs import DatasetSpec

if TYPE_CHECKING:
    from harness.data.corpus import Corpus

FIRST_TWIN = 1
"""The twin of what has no training seed, and of training seed 0. Twin 0 is left to searches."""

SIZES = ("default", "full")


def corpus_of(spec: DatasetSpec) -> Corpus:
    """Return the reader of a data set, importing it now."""
    corpus: Corpus = resolve(spec.corpus, f"data set {spec.name!r}")(spec)
    return corpus


def twin_seed_for(training_seed: int | None = None, asked: int | None = None) -> int:
    """Return the seed of the twin that a training takes: 1 + its seed, so that none takes twin 0.

    Args:
        training_seed: seed of the training; None: there is no training.
        asked: the twin seed asked for (``--twin-seed``), which then is the answer.

    Raises:
        UsageError: a seed is negative.
    """
    for name, seed in (("seed", training_seed), ("twin seed", asked)):
        if seed is not None and seed < 0:
            raise UsageError(f"{name} {seed} is negative; seeds are 0 or greater.")
    if asked is not None:
        return asked
    return FIRST_TWIN + (training_seed or 0)


def store_folder(spec: DatasetSpec, twin_seed: int = FIRST_TWIN) -> Path:
    """Return the folder of a data set's store, or of a twin's."""
    own = twin_seed if spec.source == "twin" else None
    return paths.stores_dir() / store_name(spec.name, own)


def twin_files(spec: DatasetSpec, twin_seed: int) -> Path:
    """Return the folder that a twin's files are written to in the authors' format."""
    return paths.twins_dir() / store_name(spec.base_name, twin_seed)


def find_store(
    spec: DatasetSpec,
    *,
    real: bool = False,
    seed: int | None = None,
    twin_seed: int | None = None,
    announce: Callable[[str], None] | None = None,
) -> Store:
    """Return the store of a data set; ``store.notice`` holds a message for the user.

    The authors' files under ``HARNESS_DATA`` come first (prepared on first use), then a real store
    that was prepared before, then the twin (generated on first use). A name that ends in ``-twin``
    asks for the twin. Which twin: `twin_seed_for`.

    Args:
        spec: the data set.
        real: take no twin.
        seed: seed of the training that the data is for; None: for none.
        twin_seed: the twin to take in any case; real data is refused then.
        announce: called with the notice as soon as it is known, before anything long.

    Raises:
        DataMissingError: neither files nor a twin that may be taken.
        UsageError: a twin asked for by name with ``real``; a data set without twin; a twin seed
            where real data is taken; a negative seed.
    """
    tell, chosen = announce or (lambda _: None), twin_seed_for(seed, twin_seed)
    if spec.source == "twin":
        if real:
            raise UsageError(f"{spec.name} is generated data; drop --real or name the data set.")
        return _twin(spec, chosen, "", tell)
    if twin_seed is not None:
        _check_generated(spec, real, twin_seed)
    corpus, root = corpus_of(spec), paths.data_root()
    missing = preparing.missing_files(corpus, root)
    if not missing:
        return _real(corpus, root, tell)
    store, damage = preparing.found(store_folder(spec))
    if damage:
        raise DataFormatError(
            f"{damage} Put its files under {root} ({', '.join(p.name for p in missing)}) and run "
            f"`harness data prepare {spec.name} --force`."
        )
    if store is not None:
        return store
    if real or not spec.has_twin:
        preparing.source_files(corpus, root)
    names = ", ".join(str(p.relative_to(root)) for p in missing)
    notice = (
        f"Real {spec.base_name} files not found under {root} ({names}); using the generated twin "
        f"'{spec.base_name}{TWIN}': scores say nothing about the real data set."
    )
    return _twin(twin_spec(spec), chosen, notice, tell)


def takes_twin(spec: DatasetSpec, real: bool = False) -> bool:
    """Return whether `find_store` would take a twin, without making anything."""
    if spec.source == "twin" or real or not spec.has_twin:
        return spec.source == "twin"
    if not preparing.missing_files(corpus_of(spec), paths.data_root()):
        return False
    store, damage = preparing.found(store_folder(spec))
    return store is None and not damage


def _check_generated(spec: DatasetSpec, real: bool, twin_seed: int) -> None:
    """Refuse a twin seed that would have no effect."""
    given = f"--twin-seed {twin_seed}"
    if not spec.has_twin:
        raise UsageError(f"{given}: {spec.name} has no twin; leave the option out.")
    if real:
        raise UsageError(f"{given}: --real takes no twin; leave one of the two out.")
    if not takes_twin(spec):
        raise UsageError(
            f"{given}: the real {spec.name} is here and would be taken; name the twin, "
            f"{spec.base_name}{TWIN}, or leave the option out."
        )


def twin_spec(spec: DatasetSpec) -> DatasetSpec:
    """Return the spec of a data set's twin.

    Raises:
        UsageError: it has none.
    """
    if not spec.has_twin:
        raise UsageError(f"{spec.name} has no twin.")
    return twin_of(spec)


def make_twin(
    spec: DatasetSpec,
    *,
    seed: int = FIRST_TWIN,
    size: str = "default",
    keep_files: bool = False,
    force: bool = False,
) -> Store:
    """Generate a twin in the authors' format, prepare it by the real reader, and open it.

    The generated files are deleted once the store is complete, unless ``keep_files``.

    Args:
        spec: the data set, or its twin.
        seed: seed of the generator.
        size: ``default`` or ``full``.
        keep_files: keep the generated files.
        force: make it again even if it is up to date.

    Raises:
        UsageError: no twin, no such size, or a negative seed.
        StorageError: the files cannot be written.
    """
    seed = twin_seed_for(asked=seed)
    if size not in SIZES:
        raise UsageError(f"twin size must be one of {', '.join(SIZES)}, not {size!r}.")
    twin = spec if spec.source == "twin" else twin_spec(spec)
    corpus = corpus_of(twin)
    facts: dict[str, Any] = {"version": corpus.twin_version(), "seed": seed, "size": size}
    folder, target = twin_files(twin, seed), store_folder(twin, seed)
    with locked(folder):
        known, damage = preparing.found(target)
        same = known is not None and known.card["twin"] == facts and _current(known, corpus)
        if known is not None and same and not (keep_files or damage or force):
            return known
        with paths.atomic_dir(folder) as temporary:
            corpus.write_twin(temporary, seed, size)
        try:
            return preparing.prepare(corpus, folder, target.name, twin=facts, force=force)
        finally:
            if not keep_files:
                shutil.rmtree(folder, ignore_errors=True)


def _real(corpus: Corpus, root: Path, tell: Callable[[str], None]) -> Store:
    """Return the store of files that are there, preparing it where it is absent or outdated."""
    store, damage = preparing.found(paths.stores_dir() / corpus.spec.name)
    notice = f"{damage} It is prepared again." if damage else ""
    changed = preparing.changed_sources(store, corpus, root) if store is not None else []
    if changed and not damage:
        names = ", ".join(str(p) for p in changed)
        notice = f"{names} changed since {corpus.spec.name} was prepared; checking it again."
    if notice:
        tell(notice)
    repair = bool(store.card["repair"]) if store is not None else False
    fresh = preparing.prepare(corpus, root, corpus.spec.name, repair=repair)
    if changed and store is not None and fresh.content_hash == store.content_hash:
        notice = ""
    fresh.notice = notice
    return fresh


def _twin(spec: DatasetSpec, seed: int, notice: str, tell: Callable[[str], None]) -> Store:
    """Return the prepared twin if it is intact and of today's generator and reader, else make it.

    The notice of a store that was damaged is told, too.
    """
    corpus = corpus_of(spec)
    store, damage = preparing.found(store_folder(spec, seed))
    again = f"{damage} It is made again." if damage else ""
    for line in filter(None, (notice, again)):
        tell(line)
    if store is None or damage or not _current(store, corpus):
        store = make_twin(spec, seed=seed)
    store.notice = " ".join(filter(None, (notice, again)))
    return store


def _current(store: Store, corpus: Corpus) -> bool:
    """Return whether a twin's store is of the generator, the reader and the spec of today."""
    card = store.card
    versions = (card["twin"]["version"], card["reader_version"])
    return versions == (corpus.twin_version(), corpus.reader_version) and store.spec == corpus.spec
