"""Declarations of kinds of figures (`harness figure`). Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class FigureOption:
    """An option of ``harness figure KIND``: ``name="tsne_seed"`` is ``--tsne-seed``.

    With ``choices`` only these are taken; with ``minimum`` no smaller number.
    """

    name: str
    help: str = ""
    default: str | int | None = None
    type: type[str] | type[int] = str
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    multiple: bool = False
    required: bool = False
    metavar: str | None = None


@dataclass(frozen=True)
class FigureReport:
    """What a figure prints: a table above the written files, and facts for ``--json``."""

    facts: Mapping[str, Any]
    title: str = ""
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class FigureKind:
    """A kind of figure: its options, what it shows and how that is drawn.

    Attributes:
        name: the command, ``harness figure NAME``.
        summary: one line for lists.
        compute: returns what is shown, from a `harness.figures.request.FigureRequest`.
        draw: called with what `compute` returned, the path of the files without suffix, and the
            formats (``svg``, ``png``, ``pdf``); writes the files and returns their paths.
        stem: called with the request and what `compute` returned; returns the name of the files.
        description: further paragraphs of the help text.
        models: positional names: ``none``, ``optional`` (one or none), ``one``, ``any``, ``some``.
        common: names of options that other verbs have too: ``dataset``, ``dropout``,
            ``train_dropout``, ``mask``, ``split``, ``device`` (`harness.cli.options`).
        options: options of this kind alone.
        examples: command lines shown in the help text.
        trained: whether models are loaded from checkpoints; exported records have none.
        formats: whether ``--formats`` is offered.
        report: returns what is printed beside the paths; None: nothing.
    """

    name: str
    summary: str
    compute: Callable[[Any], Any]
    draw: Callable[[Any, Path, Sequence[str]], list[Path]]
    stem: Callable[[Any, Any], str]
    description: str = ""
    models: Literal["none", "optional", "one", "any", "some"] = "some"
    common: tuple[str, ...] = ("dataset", "train_dropout", "mask")
    options: tuple[FigureOption, ...] = ()
    examples: tuple[str, ...] = ()
    trained: bool = False
    formats: bool = True
    report: Callable[[Any], FigureReport] | None = None
