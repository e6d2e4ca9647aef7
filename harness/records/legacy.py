"""Records of schema 1, converted when they are read."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from harness.errors import DataFormatError
from harness.records.request import blank_request

RESULT_VERSION = 1
"""The result version that records of schema 1 count as."""

FACTS = "schema1.json"
_FLAGS = ("compile", "compat", "rerun", "real", "no-reference", "json")


SUPERSEDED = ("mosi@1", "mosi-video@1")
"""Versions whose records were written under the bare name, which a newer version has now."""


def version_named(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a document whose data set has the name that its version has today."""
    about = document["dataset"]
    if about["id"] not in SUPERSEDED or about["name"] == about["id"]:
        return document
    renamed: dict[str, Any] = {**document, "dataset": {**about, "name": about["id"]}}
    for key in ("trained_on", "tested_on", "request"):
        if document[key] is not None and document[key].get("dataset") == about["name"]:
            renamed[key] = {**document[key], "dataset": about["id"]}
    return renamed


@cache
def facts() -> dict[str, Any]:
    """Return what a record of schema 1 does not say of the installed models.

    ``codes``: per model the digest of the code its records count as; without one they are shown
    as of older code. ``ablations``: per model and ablation what it removed. Written for the models
    of result version 1 and closed since.
    """
    text = resources.files("harness.records").joinpath(FACTS).read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def upgrade(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a document of schema 1 as one of schema 2.

    Raises:
        DataFormatError: a key that the conversion reads is missing or of another type.
    """
    try:
        return _upgraded(document)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataFormatError(
            f"{where} claims schema 1 and is not of it: {type(error).__name__}: {error}."
        ) from error


def _upgraded(document: Mapping[str, Any]) -> dict[str, Any]:
    model, data, config = document["model"], document["dataset"], document["config"]
    known, role, timings = facts(), document["role"], document["timings"]
    first_party = model["distribution"] == "emotion-harness"
    code = known["codes"].get(model["name"]) if first_party else None
    switches = config["model"].get("ablate") or []
    removed = known["ablations"].get(model["name"], {}) if first_party else {}
    here = {"dataset": data["name"], "content_hash": data["content_hash"]}
    trained = role in ("model", "trivial")
    return {
        **document,
        "schema_version": 2,
        "compat": document.get("compat"),
        "model": {**model, "code": code},
        "result_version": RESULT_VERSION,
        "request": _request(document),
        "artefacts": {},
        "budget": {
            "trials": 1 if trained else None,
            "steps": None,
            "parameters": document["parameters"] if trained else None,
            "seconds": timings["train_s"] if trained else None,
            "cpu_s": None,
            "peak_memory": None,
        },
        "trained_on": here if trained else None,
        "tested_on": here,
        "ablation": {
            "names": sorted(switches),
            "removes": {name: removed[name] for name in sorted(switches) if name in removed},
        }
        if switches
        else None,
    }


def _request(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request, from the fields and what only the command line of schema 1 says."""
    data, config, command = document["dataset"], document["config"], document["command"]
    options: dict[str, list[str]] = {}
    every = command.split() if set(command).isdisjoint("\"'\\") else shlex.split(command)
    words = iter(every)
    for word in words:
        name = word.removeprefix("--")
        if word != name and name not in _FLAGS:
            options.setdefault(name, []).append(next(words, ""))
    overrides = {}
    for text in options.get("set", []):
        key, _, typed = text.partition("=")
        overrides[key.strip()] = _at(config, key.strip().split("."), typed)
    train_dropout = overrides.pop("training.train_dropout", None)
    files = options.get("config", [])
    scored = [name for name in document["protocols"]["dropout"] if name != "full@1"]
    asked = [name for name in options.get("dropout", []) if name in scored]
    return blank_request(
        model=options.get("model", [document["model"]["name"]])[0],
        dataset=data["name"],
        seed=document["seed"],
        mask=data["mask"] if "mask" in options else None,
        dropout=list(dict.fromkeys([*asked, *scored])),
        train_dropout=train_dropout,
        preset=config["preset"],
        overrides=overrides,
        config_file={"name": Path(files[0]).name, "values": None} if files else None,
        device=document["device"],
        precision=document["precision"],
        compile="--compile" in every,
        threads=int(options["threads"][0]) if "threads" in options else 1,
        plugins=options.get("plugin", []),
        compat=document.get("compat") is not None,
    )


def _at(config: Mapping[str, Any], path: list[str], typed: str) -> Any:
    """Return the resolved value of a key, which is canonical; the text typed where it has none."""
    value: Any = config
    for part in path:
        if not isinstance(value, Mapping) or part not in value:
            return typed
        value = value[part]
    return value
