"""`RunRecord`: everything a run was asked, ran on and found, as one JSON document."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from importlib import resources
from typing import Any, Literal

from harness.errors import DataFormatError

SCHEMA_VERSION = 1
COMPLETE = "full@1"
"""The dropout protocol that drops nothing: under it every run is scored."""

Status = Literal["ok", "failed"]
RecordRole = Literal["model", "trivial", "ceiling", "external"]


@dataclass(frozen=True)
class RunRecord:
    """One run. Every field is JSON; ``record.schema.json`` says exactly what each may hold.

    Attributes:
        id: ``<model>-<dataset>-s<seed>-<12 hex>``; the digits are the start of ``fingerprint``.
        fingerprint: sha256 of what determines the trained model (not which dropout protocols it
            was evaluated under: those are added to the same record later).
        status: ``ok``, or ``failed`` with the reason in ``failure``.
        role: ``model``, ``trivial``, ``ceiling`` (the best any model could do on a twin), or
            ``external`` (predictions of code that is not run here).
        model: name, version, variant, reported_as, plugin, distribution, distribution_version.
        dataset: name, base_name, id, source, content_hash, mask, layout, label_kind, labels,
            group_key, modalities and splits ``{split: samples}``.
        config: the resolved configuration: preset, threshold, model, training.
        protocols: dataset, train_dropout, selection metric and ``dropout``: per evaluated protocol
            and split ``{"eta_hat", "digest", "seed"}``.
        parameters: trainable parameters.
        epochs: per epoch its number, mean loss, mean loss terms, validation metrics and seconds.
        selection: metric, epoch (from 0), value, rule; None where nothing was selected.
        threshold: ``declared`` and ``tuned`` (on validation; None without a validation split).
        metrics: ``{protocol: {split: {"declared": {...}, "tuned": {...}}}}``; each inner mapping
            is the metric protocol's, floats plus ``per_label``; None stands for undefined.
        timings: ``train_s``, ``predict_s_per_sample``, ``epochs`` run.
        provenance: packages, python, platform, cpu count, threads, commit, plugins' own facts.
        facts: what the model says of itself after fitting (chain order, label graph).
        command: the command line that reproduces the run.
        failure: reason, epoch, step, terms and batch ids of a failed run.
        created: UTC time, ISO 8601.
        compat: the author's evaluation this run reproduces (`harness.specs.CompatSpec`); None:
            the canonical one.
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
    threshold: dict[str, float | None]
    metrics: dict[str, Any]
    timings: dict[str, Any]
    provenance: dict[str, Any]
    facts: dict[str, Any]
    command: str
    created: str
    failure: dict[str, Any] | None = None
    compat: dict[str, Any] | None = None
    schema_version: int = field(default=SCHEMA_VERSION)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON values; NaN and infinite figures become None."""
        plain: dict[str, Any] = finite(asdict(self))
        return plain

    def to_json(self) -> str:
        """Return the record as a JSON document with a fixed key order.

        Raises:
            DataFormatError: it does not fit the schema.
        """
        document = self.as_dict()
        validate(document, f"record {self.id}")
        return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], where: str = "record") -> RunRecord:
        """Return the record of a JSON document.

        Raises:
            DataFormatError: it does not fit the schema, or its schema version is another.
        """
        validate(document, where)
        return cls(**{f.name: document[f.name] for f in fields(cls) if f.name in document})

    @classmethod
    def from_json(cls, text: str, where: str = "record") -> RunRecord:
        """Return the record of a JSON text; raises as `from_dict`."""
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataFormatError(f"{where} is not JSON: {error}.") from error
        if not isinstance(document, dict):
            raise DataFormatError(f"{where} holds {type(document).__name__}, expected an object.")
        return cls.from_dict(document, where)


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


def validate(document: Mapping[str, Any], where: str) -> None:
    """Check a document against the schema.

    Raises:
        DataFormatError: names the place, the first fault and the key it is under.
    """
    fault = min(
        _validator().iter_errors(document), key=lambda e: list(map(str, e.path)), default=None
    )
    if fault is not None:
        key = ".".join(map(str, fault.path)) or "the document"
        raise DataFormatError(
            f"{where}: {key}: {fault.message[:300]}. Made by another version? Run it again."
        )
