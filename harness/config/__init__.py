"""Configuration of a run: layers merged and checked (`resolve`), ranges of values (`ranges`)."""

from harness.config.resolve import (
    DEFAULT_THRESHOLD,
    SECTIONS,
    ResolvedConfig,
    default_preset,
    plugin_defaults,
    presets,
    resolve_config,
)

__all__ = [
    "DEFAULT_THRESHOLD",
    "SECTIONS",
    "ResolvedConfig",
    "default_preset",
    "plugin_defaults",
    "presets",
    "resolve_config",
]
