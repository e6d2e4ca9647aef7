"""The error of a failed check."""

from __future__ import annotations

from harness.errors import PluginError


class CheckFailedError(PluginError):
    """A model breaks its contract; ``check`` is the name of the check."""

    def __init__(self, check: str, message: str) -> None:
        super().__init__(f"check {check} failed: {message}")
        self.check = check
