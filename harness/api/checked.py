"""`harness.check_model`: the checks of `harness check NAME`, from Python."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from harness.api.given import Files, Model, add_models, words
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.checking.report import Report


def check_model(model: Model, checks: str | Iterable[str] = (), *, plugins: Files = ()) -> Report:
    """Return what the checks of a model's contract found, by short trainings on made data.

    Args:
        model: a name, a plugin file, the `pathlib.Path` of one or of the folder of a plugin's
            project, a subclass of `harness.ModelPlugin`, or a `harness.ModelSpec`.
        checks: names of checks (`docs/generated/checks.md`); empty: all.
        plugins: plugin files, or folders of plugins' projects, to load as well.

    Returns:
        A report: ``ok``, ``failed`` and ``outcomes``, each with ``check``, ``status``,
        ``message`` and ``seconds``; as text by ``str``, as JSON by ``as_dict``.

    Raises:
        UnknownNameError: no such model or check.
        UsageError: several models are given.

    Example:
        >>> report = harness.check_model("misa", "seeds")
        >>> assert report.ok, str(report)
    """
    from harness.checking.suite import check

    registry, names, _ = add_models([model], plugins)
    if len(names) != 1:
        raise UsageError("check_model checks one model; call it for each.")
    return check(registry, names[0], words(checks))
