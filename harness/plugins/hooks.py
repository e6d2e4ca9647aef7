"""Hook calls in which the fault of one plugin is attributed to it and the others go on."""

from __future__ import annotations

import contextlib
import difflib
import logging
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pluggy

from harness.boundary import printable, text_of
from harness.errors import HarnessError, PluginError

log = logging.getLogger("harness.plugins")


@dataclass(frozen=True)
class Broken:
    """A fault of a plugin: the plugin or spec at fault (``name``), its plugin, the reason."""

    name: str
    plugin: str
    reason: str


class Ledger:
    """Collects the faults of plugins.

    Args:
        strict: raise `PluginError` at the first fault of any plugin.
        required: names of plugins whose faults raise while plugins are loaded: the user asked for
            them by file.
    """

    def __init__(self, strict: bool, required: Iterable[str] = ()) -> None:
        self.strict = strict
        self.required = frozenset(required)
        self.broken: list[Broken] = []

    def add(self, name: str, plugin: str, reason: str, cause: BaseException | None = None) -> None:
        """Record a fault.

        Raises:
            PluginError: the ledger is strict, or the plugin is required.
        """
        if plugin in self.required:
            raise PluginError(
                f"plugin {plugin!r}: {reason}. Repair the file, or leave out its --plugin."
            ) from cause
        entry = Broken(name, plugin, reason)
        if entry not in self.broken:
            self.broken.append(entry)
        if self.strict:
            raise PluginError(
                f"plugin {plugin!r}: {reason}. Repair it, or unset HARNESS_STRICT to go on without."
            ) from cause

    @contextlib.contextmanager
    def guard(self, plugin: str, what: str) -> Iterator[None]:
        """Record whatever the block raises as a fault of ``plugin`` in ``what``.

        What it prints goes to standard error.
        """
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        except KeyboardInterrupt:
            raise
        # A stranger's code may raise anything, sys.exit included; attributing it to its plugin
        # and going on with the others is the purpose of this guard.
        except BaseException as error:
            self.add(plugin, plugin, f"{what}: {describe_error(error)}", error)


class GuardedHooks:
    """Calls each plugin's implementation of a hook on its own."""

    def __init__(self, manager: pluggy.PluginManager, ledger: Ledger) -> None:
        self._manager = manager
        self._ledger = ledger

    def call(self, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """Return (plugin, returned value) of every implementation that did not raise."""
        results: list[tuple[str, Any]] = []
        for impl in getattr(self._manager.hook, hook).get_hookimpls():
            with self._guarded(impl.plugin_name, hook):
                value = impl.function(*(arguments[name] for name in impl.argnames))
                results.append((impl.plugin_name, value))
        return results

    @contextlib.contextmanager
    def _guarded(self, plugin: str, hook: str) -> Iterator[None]:
        """Record and log whatever the block raises as a fault of a plugin's hook."""
        before = len(self._ledger.broken)
        with self._ledger.guard(plugin, hook):
            yield
        for fault in self._ledger.broken[before:]:
            log.warning("plugin %r: %s", fault.plugin, printable(fault.reason))

    def run_start(self, run: Mapping[str, Any]) -> None:
        """Call ``harness_run_start`` of every plugin."""
        self.call("harness_run_start", run=run)

    def epoch_end(self, run: Mapping[str, Any], epoch: int, metrics: Mapping[str, float]) -> None:
        """Call ``harness_epoch_end`` of every plugin."""
        self.call("harness_epoch_end", run=run, epoch=epoch, metrics=metrics)

    def run_end(self, run: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        """Call ``harness_run_end`` of every plugin."""
        self.call("harness_run_end", run=run, record=record)

    def provenance(self) -> dict[str, dict[str, Any]]:
        """Return what each plugin adds to the record's provenance, by plugin.

        Facts that are no JSON are a fault of the plugin and left out.
        """
        facts: dict[str, dict[str, Any]] = {}
        for plugin, value in self.call("harness_provenance"):
            with self._guarded(plugin, "harness_provenance"):
                odd = no_json(value) if isinstance(value, Mapping) else type(value).__name__
                if odd:
                    raise PluginError(f"its facts are left out, they are no JSON: {odd}")
                facts[plugin] = dict(value)
        return facts

    def reported(self) -> list[str]:
        """Return the files of reported figures that plugins name, as ``"package:file"``."""
        files: list[str] = []
        for plugin, value in self.call("harness_reported"):
            with self._guarded(plugin, "harness_reported"):
                files += [str(name) for name in value]
        return files


def misspelt_hooks(manager: pluggy.PluginManager) -> Iterator[tuple[str, str]]:
    """Yield (plugin, reason) for every marked function that is no hook of the harness."""
    callers = {n: c for n, c in vars(manager.hook).items() if not n.startswith("_")}
    known = sorted(name for name, caller in callers.items() if caller.has_spec())
    for name, caller in sorted(callers.items()):
        if caller.has_spec():
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; hooks are: {', '.join(known)}"
        for impl in caller.get_hookimpls():
            if not impl.optionalhook:
                yield impl.plugin_name, f"{name!r} is no hook of the harness{hint}"


def no_json(value: Any, where: str = "") -> str:
    """Return what keeps a value from being JSON, as in ``a set at 'note'``; empty: nothing."""
    at = f" at {where!r}" if where else ""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value}{at}"
    if isinstance(value, str):
        return _text_fault(value, at)
    if value is None or isinstance(value, int | float):
        return ""
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            return f"the key {odd[0]!r} of type {type(odd[0]).__name__}{at}"
        parts = [(f"{where}.{key}" if where else key, item) for key, item in value.items()]
        return next(filter(None, (no_json(item, path) for path, item in parts)), "")
    if isinstance(value, list | tuple):
        return next(filter(None, (no_json(x, f"{where}[{i}]") for i, x in enumerate(value))), "")
    return f"{type(value).__name__}{at}"


def _text_fault(text: str, at: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return f"text that is not UTF-8{at}"
    return ""


def describe_error(error: BaseException) -> str:
    """Return an error in one line, with its class where it is not one of ours."""
    kind = type(error).__name__
    lines = text_of(error).strip().splitlines()
    text = printable(lines[0]) if lines else ""
    if isinstance(error, HarnessError):
        return text or kind
    return f"{kind}: {text}" if text else kind
