"""Which runs were made by older code than what is installed: they are shown, with a mark."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from harness.boards.rows import Older
from harness.errors import PluginError
from harness.plugins import Registry
from harness.records.code import model_digest
from harness.records.fingerprint import RESULT_VERSION
from harness.records.record import ORACLES, RunRecord


def older_than(registry: Registry) -> Older:
    """Return whether a run is of an older result version, or of other code of its model.

    External predictions are taken as they are; of a ceiling or an observer, and of a model
    that is not installed here or cannot be found, only the result version counts.
    """
    find = changes(registry)

    def older(record: RunRecord) -> bool:
        return bool(find(record))

    return older


def changes(registry: Registry) -> Callable[[RunRecord], list[str]]:
    """Return what says of a run which code has changed since, a clause each; as `older_than`."""

    @cache
    def digest(model: str) -> str | None:
        try:
            return model_digest(registry.models[model])
        except (KeyError, PluginError):
            return None

    def found(record: RunRecord) -> list[str]:
        if record.role == "external":
            return []
        installed = None if record.role in ORACLES else digest(record.model["name"])
        clauses = []
        if record.result_version != RESULT_VERSION:
            clauses.append(f"result version {record.result_version}, {RESULT_VERSION} is installed")
        if installed is not None and record.model.get("code") != installed:
            clauses.append(f"the code of {record.model['name']} has changed since")
        return clauses

    return found
