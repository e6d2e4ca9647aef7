"""A page a data set, from its spec, its reader and, where it is shipped, its store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

from harness import paths
from harness.cli.list import MASKS
from harness.data.corpus import Corpus
from harness.data.describe import statistics
from harness.data.locate import corpus_of
from harness.data.prepare import prepare
from harness.plugins import TWIN, load
from harness.specs import NOT_STATED, DatasetSpec
from harness_docs.figures import boards, shown
from harness_docs.markdown import code, literal, plain, section, table, toctree

KINDS = {"multilabel": "several labels a sample", "singlelabel": "one label a sample"}
COLUMNS = ("model", "tuned_micro_f1", "rank", "share", "over_constant", "accuracy")


def pages() -> dict[str, str]:
    """Return the pages by path: an index and one page a data set."""
    specs = [entry.spec for entry in load().datasets.values()]
    rows = [
        (f"[{s.id}]({_file(s)})", plain(s.summary), ", ".join(s.modality_names), len(s.labels),
         "shipped" if _shipped(s) else "generated" if s.source == "twin" else "your files",
         literal(s.base_name + TWIN) if s.has_twin else "–")
        for s in specs
    ]  # fmt: skip
    about = (
        "A data set here is a protocol with a version: which samples there are, in which split, "
        "with which features and labels. Nothing is ever downloaded. *Shipped* data comes with "
        "the package, *generated* data is made when it is first asked for, everything else is "
        "read from the authors' files, which each page names. Extraction of features from video, "
        "sound or text is not part of this project: each page says which extractor made them."
    )
    heads = ["data set", "what it is", "modalities", "labels", "where it comes from", "twin"]
    tree = toctree(["features", *(_file(s).removesuffix(".md") for s in specs)])
    index = section(1, "Data sets", about, table(heads, rows), tree) + "\n"
    return {
        "datasets/index.md": index,
        "datasets/features.md": features(specs),
        **{f"datasets/{_file(s)}": page(s) for s in specs},
    }


def features(specs: Iterable[DatasetSpec]) -> str:
    """Return the page of all extractors."""
    rows = [
        (f"[{s.id}]({_file(s)})", m.name, m.dim, plain(m.extractor) or NOT_STATED,
         plain(m.trained_on) or NOT_STATED)
        for s in specs
        for m in s.modalities
    ]  # fmt: skip
    about = (
        "Features are read, never extracted. An extractor that had seen the labels of the training "
        "split makes a model look better in training than it is."
    )
    heads = ["data set", "modality", "features", "extractor", "it was trained on"]
    return section(1, "Which extractor made which features", about, table(heads, rows)) + "\n"


def page(spec: DatasetSpec) -> str:
    """Return the page of a data set."""
    corpus = corpus_of(spec)
    parts = [
        *(plain(sentence) for sentence in spec.sentences()),
        section(2, "Get it", _get(spec)),
        section(2, "Licence and citation", _rights(spec)),
        section(2, "Traps", _traps(spec)),
        section(2, "Modalities", _modalities(spec)),
        section(2, "Labels", *_labels(spec)),
        section(2, "Protocol", _protocol(spec)),
        section(2, "Statistics", *_statistics(spec, corpus)),
        section(2, "Results", *_results(spec)),
    ]
    return section(1, spec.id, *parts) + "\n"


def _file(spec: DatasetSpec) -> str:
    return spec.id.replace("@", "-v") + ".md"


def _shipped(spec: DatasetSpec) -> bool:
    return spec.source == "real" and not spec.files


def _get(spec: DatasetSpec) -> str:
    if _shipped(spec):
        told = "It is shipped with the package: nothing has to be fetched."
    elif spec.source == "twin":
        told = (
            "It is generated when it is first asked for; the bytes are the same on every machine."
        )
    else:
        rows = [
            (literal(f.path), plain(f.description), f"{f.size:,} bytes" if f.size else NOT_STATED,
             literal(f.sha256) or NOT_STATED, ", ".join(map(literal, f.also)) or "–")
            for f in spec.files
        ]  # fmt: skip
        heads = ["file below `HARNESS_DATA`", "what it is", "size", "SHA-256", "or under"]
        told = table(heads, rows)
    twin = (
        f"Without these files `--dataset {spec.name}` takes the generated twin "
        f"`{spec.base_name}{TWIN}`, says so in its first line, and keeps its results apart "
        "([twins](../../twins.md)); `--real` makes their absence an error."
        if spec.has_twin and spec.source == "real"
        else ""
    )
    verbs = ("show", "data prepare", "check --dataset")
    lines = [f"harness {verb} {spec.name}" for verb in verbs]
    commands = code("\n".join([*lines, f"harness export {spec.name} --format croissant"]), "sh")
    parts = [f"From: {plain(spec.origin) or NOT_STATED}.", told, twin, commands]
    return "\n\n".join(p for p in parts if p)


def _rights(spec: DatasetSpec) -> str:
    passed = "may be passed on" if spec.redistribute else (
        "may not be passed on: an exported record holds sums over numbered groups only"
    )  # fmt: skip
    return "\n".join([
        f"- Licence: {plain(spec.licence) or NOT_STATED}.",
        f"- Cite: {plain(spec.citation) or NOT_STATED}.",
        f"- Ids, labels and scores of single samples {passed}.",
    ])  # fmt: skip


def _traps(spec: DatasetSpec) -> str:
    seen = [
        f"{m.name} features were made by an extractor trained on {m.trained_on}"
        for m in spec.modalities
        if m.trained_on and "no labels" not in m.trained_on
    ]
    told = [*spec.notes, *([f"Superseded: {spec.superseded}"] if spec.superseded else []), *seen]
    return "\n".join(f"- {plain(t).rstrip('.')}." for t in told) or "None is known."


def _modalities(spec: DatasetSpec) -> str:
    rows = [
        (m.name, literal(m.key), m.dim, m.max_length, plain(m.extractor) or NOT_STATED,
         plain(m.trained_on) or NOT_STATED)
        for m in spec.modalities
    ]  # fmt: skip
    heads = ["modality", "key in dropout protocols", "features", "positions, at most",
             "extractor", "the extractor was trained on"]  # fmt: skip
    return table(heads, rows)


def _labels(spec: DatasetSpec) -> list[str]:
    shares = dict(zip(spec.labels, spec.published_marginals, strict=False))
    rows = [(plain(n), f"{shares[n]:.3f}" if n in shares else NOT_STATED) for n in spec.labels]
    order = plain(spec.label_order) or NOT_STATED
    return [
        f"{len(spec.labels)} labels, {KINDS[spec.label_kind]}. How they came about: "
        f"{plain(spec.labelling) or NOT_STATED}. Their order: {order}.",
        table(["label", "share of samples, as published"], rows),
    ]


def _protocol(spec: DatasetSpec) -> str:
    masks = "; ".join(
        f"{literal(m)}{' (default)' if m == spec.default_mask else ''}: {MASKS[m]}"
        for m in spec.mask_options
    )
    rows = [
        ("splits", ", ".join(spec.splits)),
        ("group (unit of intervals and tests)", plain(spec.group_key)),
        ("layout", f"{spec.layout}{', aligned' if spec.aligned else ', not aligned'}"),
        ("a position is", f"one {spec.position_unit}"),
        ("masks", masks),
        ("selected by", literal(spec.selection_metric)),
        ("sampler, for every model", spec.sampler or "each model's own"),
        ("declared threshold, for every model", spec.threshold or "each model's own"),
        ("default preset", literal(spec.default_preset)),
        ("personality", f"{spec.personality_dim} traits" if spec.personality_dim else "none"),
        ("reader", literal(spec.corpus)),
    ]
    return table(["", ""], rows)


def _statistics(spec: DatasetSpec, corpus: Corpus) -> list[str]:
    found = _measured(spec, corpus) if _shipped(spec) else None
    how = f"`harness data stats {spec.name}` prints counts, shares, co-occurrence and lengths."
    if found is None:
        published = corpus.published_counts
        counts = ", ".join(f"{name} {n:,}" for name, n in published.items())
        return [f"Samples as published: {counts or NOT_STATED}. {how}"]
    splits = found["splits"]
    rows = [
        (name, f"{s['samples']:,}", s["groups"], f"{s['cardinality']:.3f}", s["label_sets"])
        for name, s in splits.items()
    ]
    heads = ["split", "samples", f"groups ({spec.group_key})", "labels a sample", "label sets"]
    shares = [
        (plain(label), *(f"{s['label_share'][i]:.3f}" for s in splits.values()))
        for i, label in enumerate(spec.labels)
    ]
    return [table(heads, rows), table(["share of samples with", *splits], shares), how]


def _measured(spec: DatasetSpec, corpus: Corpus) -> Mapping[str, Any]:
    """Return the statistics of shipped data, prepared in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder, paths.using_home(folder):
        return statistics(prepare(corpus, paths.data_root(), spec.name))


def _results(spec: DatasetSpec) -> list[str]:
    found = []
    for board in boards():
        if board.name in (spec.name, spec.id, spec.base_name + TWIN):
            columns = [c for c in COLUMNS if c in board.columns]
            rows = [[shown(r.get(c)) for c in columns] for r in board.rows]
            found.append(f"**Board `{board.name}`.** {board.about}")
            found.append(table([board.columns[c] for c in columns], rows))
    if not found:
        return ["No board of it is committed. `harness leaderboard` writes one from your runs."]
    return [*found, "How to read a board: [boards](../../boards.md)."]
