"""The reference of the Python interface: autodoc directives for every public name."""

from __future__ import annotations

import inspect

import harness
import harness.metrics
from harness_docs.markdown import section

GROUPS = {
    "Run and compare": (
        "run", "runs", "rescore", "tune", "leaderboard", "compare", "dataset", "check_model",
    ),
    "Results and data as objects": (
        "Runs", "RunRecord", "TrainedModel", "Dataset", "Split", "Arrays",
    ),
    "Write a model": (
        "ModelPlugin", "Batch", "Grid", "StepContext", "StepOutput", "FitData", "TaskInfo",
        "TrainingConfig",
    ),
    "Describe a model": (
        "ModelSpec", "Paper", "Variant", "AblationSpec", "CompatSpec", "read_card",
    ),
    "Add a data set": (
        "Corpus", "SplitArrays", "GridArrays", "DatasetSpec", "ModalitySpec", "SourceFile",
        "read_dataset_card",
    ),
    "Add metrics, suites, boards and figures": (
        "hookimpl", "Metric", "DropoutFamily", "Suite", "Skill", "LabelMap", "BoardFormat",
        "FigureKind",
        "FigureOption", "FigureReport", "LauncherSpec",
    ),
}  # fmt: skip
"""Public names by what they are for; names that stand in no group come last."""


def names() -> list[str]:
    """Return the public names of `harness`, without its version."""
    return [name for name in harness.__all__ if not name.startswith("__")]


def page() -> str:
    """Return the page of all public names."""
    grouped = {n for group in GROUPS.values() for n in group}
    errors = [n for n in names() if n.endswith("Error")]
    groups = {
        **{title: [n for n in group if n in names()] for title, group in GROUPS.items()},
        "Errors": errors,
        "Further names": [n for n in names() if n not in grouped and n not in errors],
    }
    parts = [
        section(2, title, *(_directive(f"harness.{n}", getattr(harness, n)) for n in group))
        for title, group in groups.items()
        if group
    ]
    metrics = [
        _directive(f"harness.metrics.{n}", getattr(harness.metrics, n))
        for n in harness.metrics.__all__
        if callable(getattr(harness.metrics, n)) and n not in names()
    ]
    about = (
        "These names are public: `import harness` gives them, and they load what they need on use. "
        "What stands here keeps its name and meaning, or is deprecated first, as "
        "[the policy](../public-api.md) says. Everything else may change without notice."
    )
    return section(1, "Python", about, *parts, section(2, "harness.metrics", *metrics)) + "\n"


def _directive(name: str, value: object) -> str:
    """Return the directive for a name; members are those that have a docstring."""
    if inspect.isclass(value):
        lines = [f".. autoclass:: {name}", "   :members:"]
    elif callable(value):
        lines = [f".. autofunction:: {name}"]
    else:
        lines = [f".. autodata:: {name}"]
    return "\n".join(["```{eval-rst}", *lines, "```"])
