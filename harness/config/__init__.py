"""Configuration of a run: a plugin's `layers`, all of them merged and checked (`resolve`)."""

from harness.config.layers import (
    QUICK,
    TUNED,
    default_preset,
    plugin_defaults,
    presets,
    searched_by,
)
from harness.config.reading import SECTIONS
from harness.config.resolve import (
    DEFAULT_THRESHOLD,
    ResolvedConfig,
    resolve_config,
)

__all__ = [
    "DEFAULT_THRESHOLD",
    "QUICK",
    "SECTIONS",
    "TUNED",
    "ResolvedConfig",
    "default_preset",
    "plugin_defaults",
    "presets",
    "resolve_config",
    "searched_by",
]
