"""Loading plugins and looking up the models, data sets and board formats that they offer.

Entry points of the group ``harness`` and files given by ``--plugin`` are loaded one by one. A
fault of an installed plugin is kept in `Registry.broken` and affects no other plugin; a fault of
a file that the user names ends the command.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import pluggy

from harness import __version__, hookspecs
from harness.errors import PluginError, UnknownNameError
from harness.plugins.derived import derived, twin_of
from harness.plugins.faults import TWIN, problem_of
from harness.plugins.hooks import Broken, GuardedHooks, Ledger, misspelt_hooks
from harness.plugins.references import import_file, import_project_module, project_entries
from harness.specs import (
    BoardFormat,
    BoardView,
    DatasetSpec,
    DropoutFamily,
    FigureKind,
    LabelMap,
    LauncherSpec,
    Metric,
    ModelSpec,
    Skill,
    Suite,
)

FIRST_PARTY = "emotion-harness"

SpecT = TypeVar(
    "SpecT", ModelSpec, DatasetSpec, BoardFormat, BoardView, Metric, DropoutFamily, Suite, Skill,
    FigureKind, LauncherSpec, LabelMap,
)  # fmt: skip


@dataclass(frozen=True)
class Entry(Generic[SpecT]):
    """A spec and the plugin it came from; ``distribution`` is empty for a plugin file."""

    spec: SpecT
    plugin: str
    distribution: str
    version: str


@dataclass(frozen=True)
class LoadedPlugin:
    """A plugin that could be imported: where it is from and the hooks it implements."""

    name: str
    distribution: str
    version: str
    source: str
    hooks: tuple[str, ...]


# What the harness itself offers through the hooks that a stranger's plugin has too.
BUILT_IN = tuple(
    LoadedPlugin(name, FIRST_PARTY, __version__, source, ())
    for name, source in (
        ("harness.figures", "harness.figures"),
        ("harness.boards", "harness.boards.builtin"),
        ("harness.launch", "harness.launch.builtin"),
    )
)


@dataclass(frozen=True)
class Registry:
    """What the loaded plugins offer, by name, and what could not be loaded."""

    models: dict[str, Entry[ModelSpec]]
    datasets: dict[str, Entry[DatasetSpec]]
    formats: dict[str, Entry[BoardFormat]]
    views: dict[str, Entry[BoardView]]
    metrics: dict[str, Entry[Metric]]
    dropouts: dict[str, Entry[DropoutFamily]]
    suites: dict[str, Entry[Suite]]
    skills: dict[str, Entry[Skill]]
    label_maps: dict[str, Entry[LabelMap]]
    launchers: dict[str, Entry[LauncherSpec]]
    plugins: tuple[LoadedPlugin, ...]
    broken: list[Broken]
    hook: GuardedHooks
    find_figures: Callable[[], dict[str, Entry[FigureKind]]]

    @cached_property
    def figures(self) -> dict[str, Entry[FigureKind]]:
        """Return the kinds of figures; imports the modules that define them."""
        return self.find_figures()

    def model(self, name: str) -> ModelSpec:
        """Return a model's spec.

        Raises:
            UnknownNameError: nothing is registered under the name.
        """
        if name not in self.models:
            raise self.unknown("model", name, self.models)
        return self.models[name].spec

    def dataset(self, name: str, protocol: str | None = None) -> DatasetSpec:
        """Return a data set's spec; ``x-twin`` is the twin of ``x``, ``x@2`` version 2 of ``x``.

        ``protocol`` may name the version: with ``x@2`` the bare name ``x`` is version 2. ``x-on-y``
        is trained on ``x`` and tested on ``y``; ``x-5folds``, ``x-by-speaker``: ``x`` in folds.

        Raises:
            UnknownNameError: nothing is registered under the name.
            UsageError: ``x`` cannot be tested on ``y``, or not be divided so.
        """
        if protocol is not None and protocol.rpartition("@")[0] == name:
            name = protocol
        if name in self.datasets:
            return self.datasets[name].spec
        bare = name.rpartition("@")[0]
        if bare and bare != name and "@" not in bare:
            with suppress(UnknownNameError):
                spec = self.dataset(bare)
                if spec.id == name:
                    return spec
        base = self.datasets.get(name.removesuffix(TWIN))
        if name.endswith(TWIN) and base is not None and base.spec.has_twin:
            return twin_of(base.spec)
        if made := derived(name, self.dataset, [e.spec for e in self.label_maps.values()]):
            return made
        twins = [n + TWIN for n, e in self.datasets.items() if e.spec.has_twin]
        raise self.unknown("data set", name, [*self.datasets, *twins])

    def dataset_name(self, name: str, protocol: str | None = None) -> str:
        """Return the name that records of a data set carry, which may be of no plugin here.

        Args:
            name: a data set's name, bare or with a version.
            protocol: the data set protocol asked for, or None.

        Raises:
            UsageError: the protocol is not that of the data set.
        """
        if name not in self.datasets and protocol is None:
            with suppress(UnknownNameError):
                return self.dataset(name).name
            return name
        spec = self.dataset(name, protocol)
        if protocol is not None:
            from harness.protocols.dataset import check_protocol

            check_protocol(protocol, spec)
        return spec.name

    def unknown(self, kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
        """Return the error for a name that is not registered; names plugins that are broken.

        Args:
            kind, name: as of `UnknownNameError`.
            known: the names that exist.
        """
        reasons, note = dict.fromkeys(f"{b.plugin} ({b.reason})" for b in self.broken), ""
        if reasons:
            note = f" Broken plugins that may offer it: {'; '.join(reasons)}."
        own = " What a plugin of your own offers needs --plugin FILE (in Python plugins=FILE)."
        return UnknownNameError(kind, name, known, note, own)


def load(extra: Sequence[str] = (), strict: bool | None = None) -> Registry:
    """Load the plugins: entry points (restricted by ``HARNESS_PLUGINS``), then ``extra`` files.

    The result is cached per arguments, environment and state of the files.

    A folder among ``extra`` is a plugin's project: its pyproject.toml names the modules.

    Raises:
        PluginError: a file of ``extra`` cannot be loaded or defines a name that is taken,
            ``HARNESS_PLUGINS`` names an unknown entry point, or any plugin is broken and
            ``strict`` (default: ``HARNESS_STRICT=1``) is set.
    """
    if strict is None:
        strict = os.environ.get("HARNESS_STRICT") == "1"
    paths = dict.fromkeys(Path(f).expanduser().resolve() for f in extra)
    files = tuple((str(path), _stamp(path)) for path in paths)
    registry = _load(files, os.environ.get("HARNESS_PLUGINS"), strict)
    if registry.metrics or registry.dropouts or registry.suites:  # else NumPy is not needed
        from harness.protocols import dropout, metrics, suites

        for metric in registry.metrics.values():
            metrics.register(metric.spec)
        for family in registry.dropouts.values():
            dropout.add(family.spec)
        for suite in registry.suites.values():
            suites.register(suite.spec)
    return registry


def _stamp(path: Path) -> tuple[int, int]:
    """Return modification time and size, so that an edited plugin file is loaded again."""
    if path.is_dir():
        path /= "pyproject.toml"
    if not path.is_file():
        return (0, 0)
    state = path.stat()
    return (state.st_mtime_ns, state.st_size)


def plugin_names(path: Path) -> tuple[str, ...]:
    """Return the names of the plugins of a plugin file, or of the folder of a project.

    Raises:
        PluginError: a folder is no project of a plugin.
    """
    return tuple(project_entries(path)) if path.is_dir() else (path.stem,)


@functools.lru_cache(maxsize=16)
def _load(
    files: tuple[tuple[str, tuple[int, int]], ...], restrict: str | None, strict: bool
) -> Registry:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    ledger = Ledger(strict, required=(n for path, _ in files for n in plugin_names(Path(path))))
    plugins: list[LoadedPlugin] = []
    renames: dict[str, tuple[str, str]] = {}
    for own in BUILT_IN:
        _register(manager, importlib.import_module(own.source), own.name)
    for entry in _entry_points(restrict):
        with ledger.guard(entry.name, entry.value):
            hook_names = _register(manager, entry.load(), entry.name)
            about = (entry.dist.name, entry.dist.version) if entry.dist else ("", "")
            plugins.append(LoadedPlugin(entry.name, *about, entry.value, hook_names))
    for path, _ in files:
        if Path(path).is_dir():
            plugins += _of_project(manager, ledger, Path(path))
            continue
        stem = Path(path).stem
        with ledger.guard(stem, path):
            module = import_file(Path(path))
            hook_names = _register(manager, module, stem)
            renames[stem] = (stem, module.__name__)
            version = str(getattr(module, "__version__", ""))
            plugins.append(LoadedPlugin(stem, "", version, path, hook_names))
    for plugin, reason in misspelt_hooks(manager):
        ledger.add(plugin, plugin, reason)
    hooks = GuardedHooks(manager, ledger)
    origin = {p.name: p for p in (*BUILT_IN, *plugins)}
    registry = Registry(
        models=_gather(hooks, ledger, origin, renames, "harness_models", ModelSpec),
        datasets=_gather(hooks, ledger, origin, renames, "harness_datasets", DatasetSpec),
        formats=_gather(hooks, ledger, origin, renames, "harness_board_formats", BoardFormat),
        views=_gather(hooks, ledger, origin, renames, "harness_board_views", BoardView),
        metrics=_gather(hooks, ledger, origin, renames, "harness_metrics", Metric),
        dropouts=_gather(hooks, ledger, origin, renames, "harness_dropouts", DropoutFamily),
        suites=_gather(hooks, ledger, origin, renames, "harness_suites", Suite),
        skills=_gather(hooks, ledger, origin, renames, "harness_skills", Skill),
        label_maps=_gather(hooks, ledger, origin, renames, "harness_label_maps", LabelMap),
        launchers=_gather(hooks, ledger, origin, renames, "harness_launchers", LauncherSpec),
        plugins=tuple(plugins),
        broken=ledger.broken,
        hook=hooks,
        find_figures=partial(
            _gather, hooks, ledger, origin, renames, "harness_figures", FigureKind
        ),
    )
    if any("harness_figures" in p.hooks for p in plugins if p.name in ledger.required):
        registry.figures  # noqa: B018 - its faults are those of a file that the user names
    ledger.required = frozenset()  # a hook that fails during a run does not end it
    return registry


def _entry_points(restrict: str | None) -> list[EntryPoint]:
    """Return the wanted entry points, first-party ones first: a stranger cannot take their names.

    Raises:
        PluginError: ``restrict`` names an entry point that is not installed.
    """
    found = sorted(
        entry_points(group=hookspecs.PROJECT),
        key=lambda e: (
            not e.dist or e.dist.name != FIRST_PARTY,
            e.dist.name if e.dist else "",
            e.name,
        ),
    )
    if restrict is None:
        return found
    wanted = {name.strip() for name in restrict.split(",") if name.strip()}
    for name in sorted(wanted - {e.name for e in found}):
        known = ", ".join(dict.fromkeys(e.name for e in found)) or "none"
        raise PluginError(
            f"HARNESS_PLUGINS: no entry point {name!r} is installed. Known: {known}. Install its "
            "package, or take it out of HARNESS_PLUGINS."
        )
    return [e for e in found if e.name in wanted]


def _of_project(manager: pluggy.PluginManager, ledger: Ledger, folder: Path) -> list[LoadedPlugin]:
    """Load the plugins of a project's folder, without those that are installed from it."""
    found = []
    for name, target in project_entries(folder).items():
        with ledger.guard(name, str(folder)):
            module = import_project_module(folder, target)
            if manager.get_plugin(name) is not module:
                hook_names = _register(manager, module, name)
                version = str(getattr(module, "__version__", ""))
                found.append(LoadedPlugin(name, "", version, str(folder), hook_names))
    return found


def _register(manager: pluggy.PluginManager, module: Any, name: str) -> tuple[str, ...]:
    """Register a plugin wholly or not at all; return the hooks it implements."""
    if manager.has_plugin(name):
        held = getattr(manager.get_plugin(name), "__name__", name)
        raise PluginError(f"the plugin name {name!r} is already taken by {held!r}; rename the file")
    try:
        manager.register(module, name)
    except pluggy.PluginValidationError:
        manager.unregister(name=name)
        raise
    callers = manager.get_hookcallers(module) or []
    hook_names = tuple(sorted(c.name for c in callers if c.has_spec()))
    if not callers:
        manager.unregister(name=name)
        raise PluginError("implements no hook; mark its functions with @harness.hookimpl")
    return hook_names


def _gather(
    hooks: GuardedHooks,
    ledger: Ledger,
    origin: dict[str, LoadedPlugin],
    renames: dict[str, tuple[str, str]],
    hook: str,
    kind: type[SpecT],
) -> dict[str, Entry[SpecT]]:
    entries: dict[str, Entry[SpecT]] = {}
    for plugin, returned in hooks.call(hook):
        specs: list[SpecT] = []
        with ledger.guard(plugin, hook):
            specs = _validated(kind, returned)
        for spec in specs:
            problem = problem_of(spec)
            if not problem and spec.name in entries:
                spec = _versioned(spec, plugin, entries[spec.name])
            if not problem and spec.name in entries:
                other = entries[spec.name]
                held = f"{other.plugin!r} {other.distribution}".rstrip()
                problem = f"the name {spec.name!r} is already taken by plugin {held}"
            if problem:
                ledger.add(str(spec.name), plugin, f"{hook}: {problem}")
                continue
            about = origin[plugin]
            local = _own_module(spec, *renames[plugin]) if plugin in renames else spec
            entries[spec.name] = Entry(local, plugin, about.distribution, about.version)
    return dict(sorted(entries.items()))


def _versioned(spec: SpecT, plugin: str, held: Entry[SpecT]) -> SpecT:
    """Return a spec under ``name@version`` if its plugin listed another version of it before.

    The version that is listed first has the bare name.
    """
    if not isinstance(spec, DatasetSpec) or not isinstance(held.spec, DatasetSpec):
        return spec
    if held.plugin != plugin or held.spec.version == spec.version:
        return spec
    return replace(spec, name=spec.id)


def _validated(kind: type[SpecT], returned: Any) -> list[SpecT]:
    if not isinstance(returned, Iterable) or isinstance(returned, str):
        raise PluginError(f"must return a list of {kind.__name__}, got {type(returned).__name__}")
    specs = list(returned)
    for spec in specs:
        if not isinstance(spec, kind):
            raise PluginError(f"must return {kind.__name__} objects, got {type(spec).__name__}")
    return specs


def _own_module(spec: SpecT, stem: str, module: str) -> SpecT:
    """Let a plugin file call itself by its stem (``"my_model:MyModel"``)."""
    known = ("factory", "defaults", "corpus", "render", "make", "observers")
    fields = [f for f in known if hasattr(spec, f)]
    values = {f: str(getattr(spec, f)) for f in fields}
    own = {f: module + v[len(stem) :] for f, v in values.items() if v.startswith(f"{stem}:")}
    changed: Any = replace(cast(Any, spec), **own)
    return cast(SpecT, changed)
