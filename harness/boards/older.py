"""Which runs were made by older code than what is installed: they are shown, with a mark."""

from __future__ import annotations

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

    @cache
    def digest(model: str) -> str | None:
        try:
            return model_digest(registry.models[model])
        except (KeyError, PluginError):
            return None

    def older(record: RunRecord) -> bool:
        if record.role == "external":
            return False
        installed = None if record.role in ORACLES else digest(record.model["name"])
        return record.result_version != RESULT_VERSION or (
            installed is not None and record.model.get("code") != installed
        )

    return older
