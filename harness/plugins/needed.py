"""Which of the plugin files that were loaded a run needs, and what is said where one is lacking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.errors import UnknownNameError, UsageError
from harness.plugins.registry import Registry, plugin_names
from harness.specs import DatasetSpec, DerivedSpec

# Offered by name, and no part of a run that names something else.
_BY_NAME = {
    "harness_models", "harness_datasets", "harness_board_formats", "harness_board_views",
    "harness_figures", "harness_launchers", "harness_reported", "harness_skills",
}  # fmt: skip


class NotLoadedError(UnknownNameError):
    """A name that nothing is registered under, of a run that says what registers it."""

    def __init__(self, error: UnknownNameError, remedy: str) -> None:
        # Names that are known here are no help: what was meant is certain.
        UsageError.__init__(self, f"{error.kind} {error.name!r} is not loaded; {remedy}.")
        self.kind, self.name = error.kind, error.name


def needed(
    files: Iterable[str | Path], registry: Registry, model: str, spec: DatasetSpec
) -> list[str]:
    """Return the names of the plugin files that a run comes from, without their folders.

    These are the model's, the data set's, and all that offer what may act on any run: metrics,
    protocols, maps of labels, hooks of a run.

    Args:
        files: that were loaded.
        registry: the loaded plugins.
        model: the run's model.
        spec: its data set.
    """
    parts = [spec, *(spec.bases if isinstance(spec, DerivedSpec) else ())]
    names = {name for part in parts for name in (part.name, part.base_name, part.recipe_name)}
    own = {registry.models[model].plugin} if model in registry.models else set[str]()
    own |= {entry.plugin for name, entry in registry.datasets.items() if name in names}
    own |= {plugin.name for plugin in registry.plugins if not set(plugin.hooks) <= _BY_NAME}
    return [Path(file).name for file in files if own & set(plugin_names(Path(file)))]


def not_loaded(
    error: UnknownNameError, files: Sequence[str], distribution: str = "", version: str = ""
) -> UnknownNameError:
    """Return the error for a run that names what no loaded plugin offers: what has to be loaded.

    Args:
        error: of the name.
        files: names of the plugin files that the run was made with.
        distribution: that its model is of; empty: of a plugin file.
        version: of the distribution.
    """
    if distribution:
        remedy = f"it is of the distribution {distribution} {version}: install it"
    elif files:
        given = " ".join(f"--plugin {file}" for file in files)
        remedy = f"the run was made with a plugin file, which has to be given here too: {given}"
    else:
        return error
    return NotLoadedError(error, remedy)
