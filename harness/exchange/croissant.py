"""A data set's card as Croissant 1.1 (JSON-LD), the exchange format of data sets.

What the card does not know is left out: no address, date or author is made up, and a file without
a stated SHA-256 is described as a set of one file, which needs none. Fields of record sets are
columns of the files that ``harness data prepare`` writes, for no Croissant reader opens the
authors' pickles and archives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from mimetypes import MimeTypes
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from harness.data.corpus import Corpus
from harness.data.layouts import SPLITS
from harness.data.layouts.stored import StoredColumn
from harness.data.prepare import file_hash
from harness.data.store import store_name
from harness.paths import data_root
from harness.specs import NOT_STATED, DatasetSpec, SourceFile

CONFORMS_TO = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")
ARROW = "application/vnd.apache.arrow.stream"
STORE, ROWS, SAMPLES, LABELS, SPLIT_SET = "store", "store-rows", "samples", "labels", "splits"
_KINDS = {"string": "sc:Text", "int8": "cr:Int8", "int32": "cr:Int32", "float32": "cr:Float32"}
_SPLITS = {
    "train": "cr:TrainingSplit", "valid": "cr:ValidationSplit", "test": "cr:TestSplit",
}  # fmt: skip
# The context of the specification: every term that a document may use.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "name": {"@container": "@language"},
    "description": {"@container": "@language"},
    **{
        term: f"cr:{term}"
        for term in (
            "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract",
            "field", "fileProperty", "fileObject", "fileSet", "format", "includes", "isArray",
            "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet",
            "references", "regex", "repeated", "replace", "samplingRate", "separator", "source",
            "subField", "transform",
        )
    },
}  # fmt: skip


def croissant(corpus: Corpus) -> dict[str, Any]:
    """Return the Croissant document of a data set as JSON values.

    It depends on the card alone, and of shipped data on the file in the package: not on the
    authors' files or the stores of this machine.

    Args:
        corpus: the reader of the data set; its ``spec`` is the card.
    """
    spec = corpus.spec
    what, labels, follows = spec.sentences()
    generated = spec.source == "twin"
    document: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": spec.name,
        "alternateName": spec.id,
        "description": " ".join((what, labels, follows)),
        "conformsTo": list(CONFORMS_TO),
        "version": f"{spec.version}.0.0",
        "license": spec.licence or NOT_STATED,
        "citeAs": spec.citation,
        "keywords": [
            "emotion recognition", "multimodal", *spec.modality_names,
            *(["generated data"] if generated else []),
        ],
        "isLiveDataset": False,
        "rai:dataCollection": f"{what} From: {spec.origin or NOT_STATED}.",
        "rai:dataAnnotationProtocol": spec.labelling,
        "rai:dataPreprocessingProtocol": [
            f"{m.name}: {m.extractor}; the extractor was trained on: {m.trained_on or NOT_STATED}"
            for m in spec.modalities
            if m.extractor
        ],
        "rai:dataUseCases": follows,
        "rai:dataLimitations": [*spec.notes, *([spec.superseded] if spec.superseded else [])],
        "distribution": [*_files(corpus), *_store(spec)],
        "recordSet": [_splits(corpus), _labels(spec), *_records(spec)],
    }  # fmt: skip
    return {key: value for key, value in document.items() if value not in ("", [])}


def _files(corpus: Corpus) -> list[dict[str, Any]]:
    """Return the files that a data set is read from: the authors', generated ones, or shipped."""
    spec = corpus.spec
    if spec.files:
        where = (
            f"Written by `harness data twin {spec.name} --out FOLDER`: generated, no real sample."
            if spec.source == "twin"
            else "Below HARNESS_DATA; see the licence for how to get it."
        )
        known = spec.source != "twin"
        return [_file(f if known else SourceFile(f.path, f.description), where) for f in spec.files]
    told = f"What {spec.corpus} reads"
    found = [path for path in corpus.source_files(data_root()) if path.is_file()]
    shipped = (SourceFile(p.name, told, (), p.stat().st_size, file_hash(p)) for p in found)
    return [_file(file, "Shipped with its package.") for file in shipped]


def _file(file: SourceFile, where: str) -> dict[str, Any]:
    also = f" Or as {', '.join(file.also)}." if file.also else ""
    size = f"{file.size} B" if file.size else ""
    about = {
        "@id": f"files/{quote(file.path)}",
        "name": PurePosixPath(file.path).name,
        "encodingFormat": _encoding(file.path),
    }
    told = f"{file.description.rstrip('.')}. {where}{also}"
    if file.sha256:
        found = {"@type": "cr:FileObject", **about, "description": told, "contentUrl": file.path}
        return found | ({"contentSize": size} if size else {}) | {"sha256": file.sha256}
    told += f" Size: {size or NOT_STATED}. SHA-256: {NOT_STATED}."
    return {"@type": "cr:FileSet", **about, "description": told, "includes": file.path}


def _encoding(path: str) -> str:
    return MimeTypes().guess_type(path)[0] or "application/octet-stream"


def _store(spec: DatasetSpec) -> list[dict[str, Any]]:
    """Return the sets of files of a prepared data set: splits, and rows that samples share."""
    folder = store_name(spec.name, "*" if spec.source == "twin" else None)
    tables = dict.fromkeys(c.table for c in SPLITS[spec.layout].described(spec) if c.table)
    sets = {STORE: [f"stores/{folder}/{split}.arrow" for split in spec.splits]}
    sets |= {f"{ROWS}/{quote(t)}": [f"stores/{folder}/rows.{t}.arrow"] for t in tables}
    told = f"Written below HARNESS_HOME by `harness data prepare {spec.name}`, one Arrow stream "
    return [
        {
            "@type": "cr:FileSet",
            "@id": name,
            "name": name,
            "description": f"{told}{'a split' if name == STORE else 'of shared rows'}.",
            "encodingFormat": ARROW,
            "includes": includes,
        }
        for name, includes in sets.items()
    ]


def _splits(corpus: Corpus) -> dict[str, Any]:
    spec = corpus.spec
    counts = corpus.published_counts if spec.source == "real" else {}
    columns = [("name", "sc:Text", "name of the split"), ("url", "sc:URL", "what it is for")]
    rows: list[dict[str, Any]] = [{"name": s, "url": _SPLITS.get(s, "cr:Split")}
                                  for s in spec.splits]  # fmt: skip
    if all(split in counts for split in spec.splits):
        columns.append(("samples", "sc:Integer", "number of samples, as published"))
        rows = [row | {"samples": counts[row["name"]]} for row in rows]
    return _enumeration(SPLIT_SET, "The splits.", "cr:Split", columns, rows)


def _labels(spec: DatasetSpec) -> dict[str, Any]:
    kind = "exactly one" if spec.label_kind == "singlelabel" else "any number of them"
    order = spec.label_order or NOT_STATED
    columns = [("index", "sc:Integer", "place in every array of labels"),
               ("name", "sc:Text", "name of the label")]  # fmt: skip
    rows: list[dict[str, Any]] = [{"index": i, "name": n} for i, n in enumerate(spec.labels)]
    if len(spec.published_marginals) == len(spec.labels):
        columns.append(("share", "sc:Float", "share of the samples, as published"))
        rows = [r | {"share": s} for r, s in zip(rows, spec.published_marginals, strict=True)]
    told = f"The labels; a sample has {kind}. Order: {order}."
    return _enumeration(LABELS, told, "sc:Enumeration", columns, rows)


def _enumeration(
    name: str,
    told: str,
    kind: str,
    columns: Sequence[tuple[str, str, str]],
    rows: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return a record set whose records stand in the document.

    Args:
        name: its name.
        told: its description.
        kind: its data type.
        columns: name, data type and description of each field.
        rows: a value a column.
    """
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": told,
        "dataType": kind,
        "key": {"@id": f"{name}/name"},
        "field": [
            {"@type": "cr:Field", "@id": f"{name}/{c}", "name": c, "description": d, "dataType": t}
            for c, t, d in columns
        ],
        "data": [{f"{name}/{column}": value for column, value in row.items()} for row in rows],
    }


def _records(spec: DatasetSpec) -> list[dict[str, Any]]:
    """Return the record sets of samples and of rows that they share."""
    by_table: dict[str, list[StoredColumn]] = {}
    for column in SPLITS[spec.layout].described(spec):
        by_table.setdefault(column.table, []).append(column)
    found = []
    for table, columns in by_table.items():
        name = f"rows/{quote(table)}" if table else SAMPLES
        source = f"{ROWS}/{quote(table)}" if table else STORE
        fields = [_field(spec, name, source, column) for column in columns]
        told = f"Rows of {table} that samples share." if table else "One record a sample."
        record: dict[str, Any] = {"@type": "cr:RecordSet", "@id": name, "name": name}
        record["description"] = told
        if not table:
            record["key"] = {"@id": f"{name}/id"}
            fields.insert(1, _split_field(name))
        found.append({**record, "field": fields})
    return found


def _split_field(name: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{name}/split",
        "name": "split",
        "description": "The split: the name of the file.",
        "dataType": "sc:Text",
        "references": {"field": {"@id": f"{SPLIT_SET}/name"}},
        "source": {
            "fileSet": {"@id": STORE},
            "extract": {"fileProperty": "filename"},
            "transform": {"regex": r"^(.+)\.arrow$"},
        },
    }


def _field(spec: DatasetSpec, name: str, source: str, column: StoredColumn) -> dict[str, Any]:
    about = [f"{column.told[0].upper()}{column.told[1:]}."]
    for m in spec.modalities:
        if m.name == column.modality and column.kind == "float32":
            about.append(f"At most {m.max_length} position(s)." if column.shape[0] < 0 else "")
            about.append(f"Extractor: {m.extractor or NOT_STATED}.")
            about.append(f"Key in dropout protocols: {m.key}.")
    found: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{name}/{quote(column.name)}",
        "name": column.name,
        "description": " ".join(filter(None, about)),
        "dataType": _KINDS[column.kind],
        "source": {"fileSet": {"@id": source}, "extract": {"column": column.name}},
    }
    if column.shape:
        found |= {"isArray": True, "arrayShape": ",".join(map(str, column.shape))}
    return found
