"""The checks of what surrounds a model: card, registration, data sets, files, network, cost."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from harness.checking.bench import Bench
from harness.checking.report import SkippedError, broken
from harness.config import default_preset, presets, resolve_config
from harness.conformance import AccessWatch
from harness.engine.plan import misfit
from harness.engine.seeds import isolated_rng
from harness.errors import ConfigError
from harness.specs import TaskInfo

# Processor time of an epoch with validation, in seconds: about seven times what the slowest model
# of the harness took (AMER, 0.9 s).
EPOCH_SECONDS = 6.0
HEAVY = ("torch", "datasets", "sklearn", "matplotlib")
_LOADED = f"""
import sys
from harness.plugins import load
load(sys.argv[1:])
print(*({{*{HEAVY}}} & {{*sys.modules}}))
"""


def card(bench: Bench) -> None:
    """The card is complete: a summary, the paper's source, reasons, and presets that are valid."""
    spec = bench.plan.entry.spec
    paper = spec.paper
    empty = [
        *([] if spec.summary.strip() else ["summary"]),
        *(["paper"] if spec.reported_as and paper is None else []),
        *([f"paper.{k}" for k in ("title", "authors", "venue") if not getattr(paper, k).strip()]
          if paper else []),
        *(f"deviations[{i}]" for i, text in enumerate(spec.deviations) if not text.strip()),
        *(f"reason of {e.check}" for e in spec.expected_failed_checks if not e.reason.strip()),
    ]  # fmt: skip
    if empty:
        raise broken("card", "a card must say what the model is and where it is from; these are "
                     f"empty: {', '.join(empty)}. Fill them in.")  # fmt: skip
    for preset in presets(spec):
        try:
            resolve_config(spec, bench.spec, preset, {}, [])
        except ConfigError as error:
            raise broken("card", f"every preset must be a valid configuration; {preset!r} is not: "
                         f"{error} Mend it in the card.") from error  # fmt: skip


def registration(bench: Bench) -> None:
    """Registering the plugin imports neither torch nor anything else that is heavy."""
    entry = bench.plan.entry
    plugin = next((p for p in bench.registry.plugins if p.name == entry.plugin), None)
    if plugin is None or Path(plugin.source).is_file():
        raise SkippedError("the model's code is the plugin itself")
    files = [] if plugin.distribution else [plugin.source]
    only = plugin.name if plugin.distribution else ""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, *files], capture_output=True, text=True,
        env={**os.environ, "HARNESS_PLUGINS": only}, check=False,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise broken("registration", "a plugin must load in a process of its own; it did not: "
                     f"{last}. Import in it only what is installed.")  # fmt: skip
    if heavy := done.stdout.split():
        raise broken("registration", f"registering {plugin.name} must import nothing heavy, so "
                     f"that `harness list` answers at once; it imports {', '.join(sorted(heavy))}. "
                     "Give harness.ModelSpec the class as 'module:Class', and import its module "
                     "nowhere else.")  # fmt: skip


def data_sets(bench: Bench) -> None:
    """The model can be built for every data set that its card claims, in its default preset."""
    spec = bench.plan.entry.spec
    for name, entry in bench.registry.datasets.items():
        data = entry.spec
        task = TaskInfo.of(data, 0.5, spec.layouts)
        alike = (task.layout, data.label_kind) == (bench.plan.task.layout, bench.spec.label_kind)
        if not alike or misfit(spec, data):
            continue
        preset = default_preset(spec, data)
        try:
            with isolated_rng():
                bench.model_class(resolve_config(spec, data, preset, {}, []).model, task)
        except Exception as error:
            raise broken(
                "data-sets",
                f"{bench.kind} must be built for every data set that its card claims; for {name!r}"
                f" with {'no preset' if preset is None else f'preset {preset!r}'} it is not: "
                f"{type(error).__name__}: {error} Take sizes and names from the task, or narrow "
                "the card's claim (layouts, label_kinds, modalities, min_modalities, "
                "max_modalities).",
            ) from error


def access(bench: Bench) -> None:
    """Training and prediction touch no file, no network and no other process."""
    watch = AccessWatch(bench.model_class.__module__.partition(".")[0])
    with watch.watching():
        model = bench.train(bench.planned(1)).model
        bench.scores(model, bench.batch(model))
    if watch.sentences:
        raise broken("access", f"{bench.kind} must be a function of its batches while it trains "
                     f"and predicts; {'; '.join(watch.sentences[:3])}. Read what the model ships "
                     "in its constructor, and return what is to be kept (describe, StepOutput)."
                     )  # fmt: skip


def growth(bench: Bench) -> None:
    """The memory of tensors does not grow from epoch to epoch."""
    if not bench.model_class.iterative:
        raise SkippedError("the model is fitted at once")
    held = bench.train(bench.plan, measured=True).held
    if len(held) > 1 and all(a < b for a, b in pairwise(held)):
        raise broken("growth", f"{bench.kind} must not keep more with every epoch; all tensors had "
                     f"{held[0]} bytes at the end of one and grew in each after it, to {held[-1]}. "
                     "Detach what is kept from step to step, and bound it.")  # fmt: skip


def time(bench: Bench) -> None:
    """An epoch of few small samples takes no more processor time than a bound."""
    taken = bench.train(bench.planned(1)).cpu_s
    if taken > EPOCH_SECONDS:
        count = len(bench.view("train", bench.session.model))
        raise broken("time", f"{bench.kind} must train and score {count} small samples in at most "
                     f"{EPOCH_SECONDS:g} s of processor time an epoch; it took {taken:.1f} s. Use "
                     "no Python loop over samples, labels or positions.")  # fmt: skip
