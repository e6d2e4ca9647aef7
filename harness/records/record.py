"""`RunRecord`: everything a run was asked, ran on and found, as one JSON document."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from harness.documents import json_object
from harness.errors import DataFormatError
from harness.records.artefacts import digest_of_bytes
from harness.records.fingerprint import RESULT_VERSION
from harness.records.legacy import upgrade, version_named
from harness.records.request import COMPLETE as COMPLETE
from harness.records.request import blank_request

SCHEMA_VERSION = 2
BUDGET = ("trials", "steps", "parameters", "seconds", "cpu_s", "peak_memory")

SEAL = "record"
"""Key in ``artefacts`` of the digest of the record itself."""
AGAIN = "Run it again with --rerun."
DIAGNOSTICS = "diagnostics"
"""Key in ``facts`` of what the model's mechanisms do (`harness.engine.diagnose`)."""
_BLANK = f"blake2b:{0:032}"

Status = Literal["ok", "failed"]
RecordRole = Literal["model", "trial", "fold", "trivial", "ceiling", "observer", "external"]
ORACLES = ("ceiling", "observer")
"""Roles of rows that know how generated data was made."""
REFERENCES = ("trivial", *ORACLES)
"""Roles of rows that are no trained models: nothing of their training can be configured."""


@dataclass(frozen=True)
class RunRecord:
    """One run. Every field is JSON; ``record.schema.json`` says exactly what each may hold.

    Fields from ``compat`` on may be null or empty in records of schema 1, which are converted when
    they are read (`harness.records.legacy`).

    Attributes:
        id: ``<model>-<dataset>-s<seed>-<12 hex>``; the digits are the start of ``fingerprint``.
        fingerprint: sha256 of what determines the trained model (not which dropout protocols it
            was evaluated under: those are added to the same record later).
        status: ``ok``, or ``failed`` with the reason in ``failure``.
        role: ``model``, ``trial`` (of a search), ``fold`` (of a cross-validation), ``trivial``,
            ``ceiling`` (the best any model could do on generated data), ``observer`` (the best
            without something, say fusion before the last step), or ``external`` (predictions of
            code that is not run here).
        model: name, version, variant, reported_as, plugin, distribution, distribution_version,
            ``code`` (`harness.records.code.model_digest`; None: not known).
        dataset: name, base_name, id, source, content_hash, mask, layout, label_kind, labels,
            group_key, modalities, splits ``{split: samples}`` and, since it is asked, redistribute:
            whether ids, truth and scores may be passed on, and ``twin``: version of the generator,
            seed and size of generated data, null of real data.
        config: the resolved configuration: preset, threshold, model, training.
        protocols: dataset, train_dropout, selection metric and ``dropout``: per evaluated protocol
            and split ``{"eta_hat", "digest", "seed"}``, with ``rank_digest`` where ranks decide.
        parameters: trainable parameters.
        epochs: per epoch its number, mean loss, mean loss terms, validation metrics and seconds.
        selection: metric, epoch (from 0), value, rule; None where nothing was selected.
        threshold: ``declared``, ``tuned`` (on validation; None without a validation split) and,
            where validation was scored under dropout protocols too, ``matched``: by protocol the
            threshold tuned on validation under it.
        metrics: ``{protocol: {split: {"declared": {...}, "tuned": {...}}}}``, with ``matched``
            under protocols that have such a threshold; each inner mapping
            is the metric protocol's, floats plus ``per_label``; None stands for undefined.
        timings: ``train_s``, ``predict_s_per_sample`` (the mean over protocols, which share what
            they can), ``epochs`` run.
        provenance: packages, python, platform, processor, BLAS kernels, instruction set
            (``cpu_capability``), cpu count, threads, commit, plugins' own facts.
        facts: what the model reports after fitting (chain order, label graph); ``diagnostics``,
            where they were asked for; ``fold`` of a run of one fold (number, of, protocol),
            ``folds`` of the record of all of them: the ids of their runs.
        command: the command line that reproduces the run (`harness.records.request.command_of`).
        failure: reason, epoch, step, terms and batch ids of a failed run.
        created: UTC time, ISO 8601.
        compat: the author's evaluation this run reproduces (`harness.specs.CompatSpec`); None:
            the canonical one.
        result_version: `harness.records.fingerprint.RESULT_VERSION` of the harness that ran it.
        request: what was asked (`harness.records.request.blank_request` lists the keys).
        artefacts: digest by file name of the run's folder (`harness.records.artefacts`). The
            record's own is in its file alone, checked and dropped when that is read.
        budget: ``trials``, ``steps`` of the optimiser, trainable ``parameters``, ``seconds`` of
            training, ``cpu_s``: CPU time of training in seconds, of this process and its children
            (absent in records that are older than it), ``peak_memory`` in bytes (of the GPU, else
            of the process); None: not known.
        trained_on: ``dataset`` and ``content_hash``; None where nothing was trained.
        tested_on: likewise. Of a run that is tested on another data set than it was trained on
            each names its own, with the content hash of what was made of both.
        ablation: ``names`` in force and per name what it ``removes``; None: the full model.
        checks: ``warnings`` of the checks of the model's contract (`harness.conformance`),
            sentences; empty: not made.
        tested_before: how many other settings of the model (configuration, mask, modalities;
            trials of a search left out) had been scored on the test split of data of this content
            hash, among the runs beside this one, when its own test split was scored; None: it was
            not, or the record is older than the field.
        trial: of a search (`harness.launch.tune`): ``point``, planned ``steps``, ``half``: steps
            and validation score at which it was compared with the others, ``stopped``: whether it
            ended there; None: no trial.
    """

    id: str
    fingerprint: str
    status: Status
    role: RecordRole
    model: dict[str, Any]
    dataset: dict[str, Any]
    config: dict[str, Any]
    seed: int
    device: str
    precision: str
    protocols: dict[str, Any]
    parameters: int
    epochs: list[dict[str, Any]]
    selection: dict[str, Any] | None
    threshold: dict[str, Any]
    metrics: dict[str, Any]
    timings: dict[str, Any]
    provenance: dict[str, Any]
    facts: dict[str, Any]
    command: str
    created: str
    failure: dict[str, Any] | None = None
    compat: dict[str, Any] | None = None
    result_version: int = RESULT_VERSION
    request: dict[str, Any] = field(default_factory=blank_request)
    artefacts: dict[str, str] = field(default_factory=dict)
    budget: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(BUDGET))
    trained_on: dict[str, str] | None = None
    tested_on: dict[str, str] | None = None
    ablation: dict[str, Any] | None = None
    checks: dict[str, Any] = field(default_factory=dict)
    tested_before: int | None = None
    trial: dict[str, Any] | None = None
    schema_version: int = field(default=SCHEMA_VERSION)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON values; NaN and infinite figures become None."""
        plain: dict[str, Any] = finite(asdict(self))
        return plain

    def to_json(self) -> str:
        """Return the record as a JSON document with a fixed key order and its own digest.

        Raises:
            DataFormatError: it does not fit the schema.
        """
        document = self.as_dict()
        document["artefacts"][SEAL] = _BLANK
        validate(document, f"record {self.id}")
        text = _text_of(document)
        return text.replace(_BLANK, digest_of_bytes(text.encode()))

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], where: str = "record") -> RunRecord:
        """Return the record of a JSON document of schema 1 or 2.

        The document's outline is checked, to the depth that readers rely on; `validate` checks
        all of it.

        Raises:
            DataFormatError: a key is missing, unknown or of another type, or the schema version is
                another.
        """
        if document.get("schema_version") == 1:
            document = upgrade(document, where)
        check_outline(document, where)
        files = {k: v for k, v in document["artefacts"].items() if k != SEAL}
        return cls(**{**version_named(document), "artefacts": files})

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "record") -> RunRecord:
        """Return the record of a JSON text.

        Raises:
            DataFormatError: as of `from_dict`; it is no JSON; or its content is not what was
                written, by the digest that it carries.
        """
        content = text.encode() if isinstance(text, str) else text
        document = json_object(content, Path(where), AGAIN)
        files = document.get("artefacts")
        if isinstance(files, dict) and files and not _sealed(content, document, files.get(SEAL)):
            raise DataFormatError(f"{where} was edited or damaged after the run wrote it. {AGAIN}")
        return cls.from_dict(document, where)


def _text_of(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _sealed(content: bytes, document: Mapping[str, Any], seal: Any) -> bool:
    """Return whether a document is what its digest says, however it is laid out."""
    if not isinstance(seal, str):
        return False
    if digest_of_bytes(content.replace(seal.encode(), _BLANK.encode())) == seal:
        return True
    blank = {**document, "artefacts": {**document["artefacts"], SEAL: _BLANK}}
    return digest_of_bytes(_text_of(blank).encode("utf-8", "replace")) == seal


def finite(value: Any) -> Any:
    """Return a copy in which tuples are lists and NaN or infinite floats are None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value


@cache
def schema() -> dict[str, Any]:
    """Return the JSON Schema of a record."""
    text = resources.files("harness.records").joinpath("record.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema())


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,),
    "number": (int, float), "boolean": (bool,), "null": (type(None),),
}  # fmt: skip


def check_outline(document: Mapping[str, Any], where: str) -> None:
    """Check keys, types and constants of a document against the schema, outside of lists.

    A hundredth of the time of `validate`, which reads of whole folders cannot pay.

    Raises:
        DataFormatError: names the place, the key and the fault.
    """
    found = _outline_fault(document, schema(), ())
    if found is not None:
        raise _misfit(where, *found)


def _outline_fault(
    value: Any, rule: Mapping[str, Any], path: tuple[str, ...]
) -> tuple[tuple[str, ...], str] | None:
    """Return the path and text of the first fault; None: there is none."""
    if "const" in rule and value != rule["const"]:
        return path, f"{rule['const']!r} was expected, found {str(value)[:80]!r}"
    if "enum" in rule and value not in rule["enum"]:
        return path, f"{str(value)[:80]!r} is not one of {rule['enum']!r}"
    kinds = rule.get("type")
    if kinds is not None:
        allowed = [t for k in ([kinds] if isinstance(kinds, str) else kinds) for t in _TYPES[k]]
        if type(value) not in allowed:
            return path, f"{str(value)[:80]!r} is not of type {kinds}"
    if not isinstance(value, Mapping):
        return None
    known, others = rule.get("properties", {}), rule.get("additionalProperties", True)
    for key in rule.get("required", ()):
        if key not in value:
            return path, f"{key!r} is a required property"
    for key, inner in value.items():
        if key in known:
            fault = _outline_fault(inner, known[key], (*path, key))
        elif others is False:
            return path, f"the key {key!r} is unknown"
        else:
            fault = _outline_fault(inner, others, (*path, key)) if others is not True else None
        if fault is not None:
            return fault
    return None


def _misfit(where: str, path: Iterable[Any], fault: str) -> DataFormatError:
    key = ".".join(map(str, path)) or "the document"
    return DataFormatError(f"{where}: {key}: {fault}. Made by another version? {AGAIN}")


def validate(document: Mapping[str, Any], where: str) -> None:
    """Check a document against the schema.

    Raises:
        DataFormatError: names the place, the first fault and the key it is under.
    """
    fault = min(
        _validator().iter_errors(document), key=lambda e: list(map(str, e.path)), default=None
    )
    if fault is not None:
        raise _misfit(where, fault.path, fault.message[:300])
