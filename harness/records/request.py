"""The request of a run as a record holds it: JSON values, and the words they stand for."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

COMPLETE = "full@1"
"""The dropout protocol that drops nothing: under it every run is scored."""

_PLAIN = re.compile(r"[A-Za-z_][\w./@+-]*")
_WORDS = ("null", "true", "false", "yes", "no", "on", "off", "nan", "inf")


def blank_request(**known: Any) -> dict[str, Any]:
    """Return a request in which only what is ``known`` is set.

    Keys: model, dataset, seed; ``protocol`` (data set protocol) and ``mask`` (option), null where
    the data set's own were taken; ``dropout`` (protocols scored under, ``full@1`` left out);
    ``train_dropout``, null as configured; ``preset``; ``overrides``, per dotted key its canonical
    value; ``config_file`` (``{"name", "values"}``, null where none); device, precision, compile,
    threads; ``plugins`` (file names); compat; ``split``: ``valid`` where test is not scored, else
    null; ``twin_seed``, null where the seed's own twin, or real data, was taken.
    """
    blank: dict[str, Any] = {
        "model": None, "dataset": None, "seed": None, "protocol": None, "mask": None,
        "dropout": [], "train_dropout": None, "preset": None, "overrides": {}, "config_file": None,
        "device": None, "precision": None, "compile": False, "threads": None, "plugins": [],
        "compat": False, "split": None, "twin_seed": None,
    }  # fmt: skip
    return blank | known


def override_text(key: str, value: Any) -> str:
    """Return ``key=value`` in the one spelling a setting has; `--set` reads it back."""
    return f"{key}={_spelled(value)}"


def settings(request: Mapping[str, Any], without: Iterable[str] = ()) -> list[str]:
    """Return what a request sets beside its preset: the configuration file, then overrides by key.

    Args:
        request: the request of a record.
        without: keys of overrides to leave out.
    """
    file = request["config_file"]
    named = [] if file is None else [str(file["name"] or "config")]
    kept = sorted(set(request["overrides"]) - set(without))
    return named + [override_text(key, request["overrides"][key]) for key in kept]


def to_bring(plugins: Sequence[str]) -> str:
    """Return a sentence on the plugin files that a run's commands need; empty: none.

    A record names such files and holds none of them.
    """
    names = ", ".join(f"`{name}`" for name in plugins)
    return names and f"To bring, unchanged, from where the run was made: {names} (`--plugin`)."


def command_of(
    request: Mapping[str, Any], *, verb: str = "run", seeds: Iterable[int] = (), without: str = ""
) -> str:
    """Return the command line of a request.

    Files are given by name alone: a record holds no path of the machine it was made on.

    Args:
        request: the request of a record.
        verb: ``run`` or ``ablate``, which takes no ``--dropout``, ``--compile`` and ``--compat``.
        seeds: seeds to give in place of the request's.
        without: a key of an override to leave out.
    """
    numbers = list(seeds) or [request["seed"]]
    given: list[tuple[str, Any]] = [
        ("model", request["model"]),
        ("dataset", request["dataset"]),
        ("seeds", ",".join(map(str, numbers))),
        ("twin-seed", request.get("twin_seed")),
        ("preset", request["preset"]),
        ("protocol", request["protocol"]),
        ("mask", request["mask"]),
        *(("dropout", name) for name in request["dropout"] if verb == "run"),
        ("split", request.get("split")),
        ("train-dropout", request["train_dropout"]),
        ("config", (request["config_file"] or {}).get("name")),
        *(
            ("set", override_text(key, value))
            for key, value in request["overrides"].items()
            if key != without
        ),
        *(("plugin", name) for name in request["plugins"]),
        ("device", request["device"]),
        ("precision", None if request["precision"] == "fp32" else request["precision"]),
        ("threads", None if request["threads"] == 1 else request["threads"]),
    ]
    words = [w for name, value in given if value is not None for w in (f"--{name}", str(value))]
    if verb == "run":
        words += [f"--{name}" for name in ("compile", "compat") if request[name]]
    return shlex.join(["harness", verb, *words])


def _spelled(value: Any) -> str:
    """Return a value as YAML flow text: texts bare where that reads back as the same text."""
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_spelled(k)}: {_spelled(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_spelled, value))}]"
    return json.dumps(value)
