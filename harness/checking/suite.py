"""All checks of a model, on every made data set that its card claims."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.checking.bench import Bench
from harness.checking.checks import CHECKS
from harness.checking.made import made_specs
from harness.checking.report import Outcome, Report, SkippedError
from harness.errors import UnknownNameError
from harness.paths import using_home
from harness.plugins import Entry, Registry


def check(registry: Registry, model: str, checks: Sequence[str] = ()) -> Report:
    """Return what the checks of a model found.

    Every check is made on every layout and kind of labels that the model's card claims; the first
    failure is reported. Nothing of the caller's home is read or written.

    Args:
        registry: the loaded plugins.
        model: the model's name.
        checks: names of checks; empty: all.

    Raises:
        UnknownNameError: no such model or check.
    """
    spec = registry.model(model)
    for name in checks:
        if name not in CHECKS:
            raise UnknownNameError("check", name, CHECKS)
    expected = {e.check: e.reason for e in spec.expected_failed_checks}
    for name in expected:
        if name not in CHECKS:
            raise UnknownNameError("check", name, CHECKS, f" The card of {model!r} names it.")
    with _benches(registry, model) as benches:
        return Report(
            model, [_outcome(name, benches, expected) for name in checks or CHECKS]
        )  # fmt: skip


@contextmanager
def _benches(registry: Registry, model: str) -> Iterator[list[Bench]]:
    made = {s.name: s for s in made_specs(registry.model(model))}
    added: Any = {name: Entry(spec, "check", "", "1") for name, spec in made.items()}
    registry = replace(registry, datasets={**registry.datasets, **added})
    with tempfile.TemporaryDirectory(prefix="harness-check-") as folder, using_home(folder):
        benches = []
        for name, spec in made.items():
            where = Path(folder) / "resume" / name
            where.mkdir(parents=True)
            benches.append(Bench(registry, model, spec, where))
        yield benches


def _outcome(name: str, benches: Sequence[Bench], expected: dict[str, str]) -> Outcome:
    started, skipped, failure = time.perf_counter(), [], ""
    for bench in benches:
        try:
            CHECKS[name](bench)
        except SkippedError as reason:
            skipped.append(str(reason))
        # A model's own code may raise anything; the report says what, and goes on.
        except Exception as error:
            failure = f"{error} ({bench.on})"
            break
    seconds = round(time.perf_counter() - started, 3)
    if failure:
        if name in expected:
            return Outcome(name, "expected", f"{expected[name]} ({failure})", seconds)
        return Outcome(name, "failed", failure, seconds)
    if len(skipped) == len(benches):
        return Outcome(name, "skipped", "; ".join(dict.fromkeys(skipped)), seconds)
    if name in expected:
        remedy = f"take it out of expected_failed_checks ({expected[name]})"
        return Outcome(name, "unexpected", remedy, seconds)
    return Outcome(name, "passed", "", seconds)
