"""The error tree. Every error a user can cause is a `HarnessError`: one message, one exit code.

The message says what is wrong, where, and what to do. The command line prints it without a
traceback and ends with ``exit_code``: 1 a run or check failed, 2 wrong input, 3 data missing,
130 interrupted.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Sequence
from typing import Any


class HarnessError(Exception):
    """Base of all errors that end in one clear message.

    ``records`` are the finished runs, where only a reference row beside them failed.
    """

    exit_code = 2
    records: Sequence[Any] = ()


class UsageError(HarnessError):
    """An option, name or value that does not exist or does not fit."""


class UnknownNameError(UsageError):
    """A name that nothing is registered under; suggests the nearest.

    Args:
        kind: what the name should be, as the message says it (``"model"``).
        name: the unknown name.
        known: the names that exist.
        note: a further sentence, with a leading space.
        otherwise: likewise, where no name is near.
    """

    def __init__(
        self, kind: str, name: str, known: Iterable[str], note: str = "", otherwise: str = ""
    ) -> None:
        names = sorted(set(known))
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        note += "" if near else otherwise
        super().__init__(
            f"unknown {kind} {name!r}.{hint} Known: {', '.join(names) or 'none'}.{note}"
        )
        self.kind, self.name = kind, name


class NoValidationError(UsageError):
    """Something needs a validation split, and the data set has none.

    Args:
        dataset: its name.
        what: what needs one, as the beginning of a sentence.
    """

    def __init__(self, dataset: str, what: str) -> None:
        super().__init__(
            f"{what} needs a validation split, and {dataset} has none: its thresholds are the "
            "declared ones and the last epoch is scored. Use a version of it that has one, if "
            "`harness list datasets` shows any, or leave this out."
        )


class ConfigError(UsageError):
    """A configuration key or value that does not fit the model's config."""


class PluginError(HarnessError):
    """A plugin that cannot be loaded or breaks its contract."""


class DataFormatError(HarnessError):
    """A data file that is not as documented: names file, key, expected and found."""


class NotFiniteError(DataFormatError):
    """Features that are NaN or infinite where a number is needed."""


class DuplicateIdError(DataFormatError):
    """Two samples of one id."""


class UnsafePickleError(DataFormatError):
    """A pickle that asks for a global outside the allow-list; nothing of it was executed."""


class DataMissingError(HarnessError):
    """Data that is needed and not there: says which file is expected where."""

    exit_code = 3


class StorageError(HarnessError):
    """A path that cannot be read or written (permission, full disk)."""


class RunFailedError(HarnessError):
    """A run that ended without a result (NaN loss, model error); its record says why."""

    exit_code = 1


def require(module: str, extra: str) -> Any:
    """Return an optional module.

    Raises:
        UsageError: it is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        top = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != top:
            raise
        raise UsageError(
            f"{top} is not installed; this needs it: pip install 'emotion-harness[{extra}]'."
        ) from error
