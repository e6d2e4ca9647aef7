"""Which runs were made by older code than what is installed: they are shown, with a mark."""

from __future__ import annotations

from harness.boards.rows import Older
from harness.plugins import Registry
from harness.records.fingerprint import RESULT_VERSION
from harness.records.record import RunRecord


def older_than(registry: Registry) -> Older:
    """Return whether a run is of an older result version, or of other code of its model.

    Runs of models that are not installed, and external ones, are taken as they are.
    """

    def older(record: RunRecord) -> bool:
        return record.role != "external" and record.result_version != RESULT_VERSION

    return older
