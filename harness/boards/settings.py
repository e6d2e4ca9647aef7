"""What a run was asked beside its model, data set and seed: names of settings, rows, commands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.records.fingerprint import canonical_json
from harness.records.record import RunRecord
from harness.records.request import command_of, override_text
from harness.records.scorings import identity as identity

MOST_PARTS = 6
ABLATE = "model.ablate"


def asked(record: RunRecord) -> dict[str, Any]:
    """Return the configuration that the user set beside the preset, resolved, by dotted key.

    A configuration file stands under ``config``.
    """
    resolved, file = flat(record), record.request["config_file"]
    found = {} if file is None else {"config": file["name"]}
    return found | {key: resolved.get(key, v) for key, v in record.request["overrides"].items()}


def flat(record: RunRecord) -> dict[str, Any]:
    """Return what tells configurations of one model apart, by dotted key."""
    found: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping) and value:
            for key in sorted(value):
                walk(f"{prefix}.{key}" if prefix else str(key), value[key])
        else:
            found[prefix] = value

    walk("", {k: v for k, v in record.config.items() if k != "preset"})
    found.pop("training.train_dropout", None)  # a protocol, not a setting
    return found | {"precision": record.precision}


def ablated(record: RunRecord) -> tuple[str, ...]:
    """Return the ablations in force in a run; empty: it is a full model.

    They are what the model's config field ``ablate`` holds (`harness.specs.ModelSpec`).
    """
    model = record.config.get("model")
    names = model.get("ablate") if isinstance(model, Mapping) else None
    if not isinstance(names, (list, tuple)):
        return ()
    return tuple(sorted({str(name) for name in names}))


class Siblings:
    """Which keys tell the rows of a table apart that what the user set does not.

    Args:
        records: a run of each row.
    """

    def __init__(self, records: Iterable[RunRecord] = ()) -> None:
        by_kind: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for record in records:
            by_kind.setdefault(_kind(record), []).append(flat(record))
        self._varying: dict[tuple[str, str, str], set[str]] = {}
        for kind, configs in by_kind.items():
            first, keys = configs[0], set[str]().union(*configs)
            self._varying[kind] = {
                k for k in keys if any(c.get(k) != first.get(k) for c in configs)
            }

    def varying(self, record: RunRecord) -> set[str]:
        """Return the keys in which the rows of a run's model, preset and settings differ."""
        return self._varying.get(_kind(record), set())


def _kind(record: RunRecord) -> tuple[str, str, str]:
    told = canonical_json(asked(record))
    return str(record.model["name"]), str(record.config["preset"] or ""), told


def setting(record: RunRecord, siblings: Siblings | None = None, without: str = "") -> str:
    """Return a run's preset, what the user set, and where it differs from its siblings.

    Args:
        record: the run.
        siblings: the rows it stands beside, its own among them.
        without: a dotted key that is left out.
    """
    preset, shown = record.config["preset"] or "", asked(record)
    varying = siblings.varying(record) if siblings else set()
    if varying:
        shown |= {k: v for k, v in flat(record).items() if k in varying}
    parts = [str(preset), *(override_text(k, v) for k, v in sorted(shown.items()) if k != without)]
    if len(parts) > MOST_PARTS:
        digest = hashlib.sha256(identity(record).encode()).hexdigest()[:8]
        parts = [*parts[: MOST_PARTS - 1], f"(and more: {digest})"]
    return " ".join(p for p in parts if p)


def named(label: str, text: str) -> str:
    """Return a model's label with its setting; a word that the label has is not said again."""
    words = " ".join(word for word in text.split() if not label.endswith(f"({word})"))
    if not words:
        return label
    return f"{label[:-1]}, {words})" if label.endswith(")") else f"{label} ({words})"


def commands_of(records: Iterable[RunRecord]) -> tuple[str, ...]:
    """Return the commands that make runs again, one a line for all its seeds."""
    alike: dict[str, list[RunRecord]] = {}
    for record in records:
        if record.request["model"]:
            alike.setdefault(command_of(_request(record) | {"seed": 0}), []).append(record)
    made = (command_of(_request(same[0]), seeds=_seeds(same)) for same in alike.values())
    return tuple(sorted(made))


def ablation_command(records: Sequence[RunRecord]) -> str:
    """Return the command that makes an ablation table again."""
    return command_of(_request(records[0]), verb="ablate", seeds=_seeds(records), without=ABLATE)


def scored_under(record: RunRecord) -> tuple[str, ...]:
    """Return the dropout protocols that a run was asked to be scored under."""
    return tuple(record.request["dropout"])


def _request(record: RunRecord) -> dict[str, Any]:
    """Return a run's request, its settings in the order of their keys."""
    return record.request | {"overrides": dict(sorted(record.request["overrides"].items()))}


def _seeds(records: Iterable[RunRecord]) -> list[int]:
    return sorted({r.seed for r in records})
