"""What plugins add to boards and protocols: formats, views, metrics, suites."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import PluginError
from harness.specs.kinds import LabelKind

if TYPE_CHECKING:
    from harness.protocols.dropout import Family, Traits
    from harness.protocols.metrics import Scored


@dataclass(frozen=True)
class BoardFormat:
    """A way to write boards, every view of them.

    Attributes:
        name: of the format.
        suffix: of its files, after the name of a view (``.md``); empty: it is never a file.
        render: ``"module:function"``, called with a `harness.boards.grid.View`, returns the text.
        of: ``view``, or ``boards`` for a format with one file of all boards: ``render`` is called
            with the list of `harness.boards.board.Board` and their views by the boards' names,
            ``suffix`` is the name of the file.
    """

    name: str
    suffix: str
    render: str
    of: Literal["view", "boards"] = "view"


@dataclass(frozen=True)
class BoardView:
    """A further view of boards, written by every format.

    ``make`` is ``"module:function"``, called with a `harness.boards.board.Board`; it returns a
    `harness.boards.grid.View`, or None where the board has nothing to show. The board's records
    are without epochs, provenance, timings and figures of other splits than ``test``.
    """

    name: str
    make: str


@dataclass(frozen=True, eq=False)
class Metric:
    """A metric, computed from decisions or from scores. N samples, L labels.

    A metric of decisions is a function of sums over samples, so that one definition gives its
    point value, every resample of the bootstrap and every permutation::

        value(*(part.sum(axis=-2) for part in sums(truth, decided)))

    Attributes:
        name: key in records and on the command line.
        heading: its column's heading.
        doc: one line for ``harness list metrics``.
        sums: maps truth and decisions, bool [..., N, L] each, to parts [..., N, K_i]; None for a
            metric of scores.
        value: maps the sums of the parts, [..., K_i] each, to the metric, [...], or [..., L] with
            ``per_label``; a zero denominator gives 0 (`harness.protocols.metrics.ratio`).
        from_scores: maps `harness.protocols.metrics.Scored` to a float, or with ``per_label`` to L
            floats, None where undefined; None for a metric of decisions.
        lower_is_better: true for losses.
        label_kinds: kinds of data sets whose records hold it.
        columns: its place among the columns of a board, by kind of labels; without a kind the
            boards of such data have no column of it.
        per_label: one value a label, kept under ``per_label`` of a record.

    Raises:
        PluginError: neither ``sums`` with ``value`` nor ``from_scores`` is given, or both are.
    """

    name: str
    heading: str
    doc: str
    sums: Callable[[Any, Any], tuple[Any, ...]] | None = None
    value: Callable[..., Any] | None = None
    from_scores: Callable[[Scored], Any] | None = None
    lower_is_better: bool = False
    label_kinds: tuple[LabelKind, ...] = ("multilabel", "singlelabel")
    columns: Mapping[LabelKind, int] = field(default_factory=dict)
    per_label: bool = False

    def __post_init__(self) -> None:
        decisions = self.sums is not None and self.value is not None
        if decisions == (self.from_scores is not None) or (self.sums is None) != (
            self.value is None
        ):
            raise PluginError(f"metric {self.name!r}: give either sums and value, or from_scores")


@dataclass(frozen=True, eq=False)
class Suite:
    """A named list of dropout protocols.

    ``members`` maps a data set's `harness.protocols.dropout.Traits` to the names of the protocols
    beside ``full``, without version, in order; those that the data cannot have are left out.
    """

    name: str
    members: Callable[[Traits], Sequence[str]]
    doc: str = ""


@dataclass(frozen=True, eq=False)
class DropoutFamily:
    """A family of dropout protocols: ``NAME@1``, or ``NAME-ARGUMENT@1`` where it takes one.

    ``family`` is a `harness.protocols.dropout.Family`: the rule that draws masks from the hash of
    names alone, the data that it fits, its argument, and what it does in a few words.
    """

    name: str
    family: Family


@dataclass(frozen=True)
class Skill:
    """What a generated data set measures: one skill (`harness.boards.views.skills`).

    Attributes:
        name: of the skill, one or two words.
        dataset: the name of the data set.
        observers: ``"module:function"``, called with the data set's name, N sample ids and their
            truth int [N, L]; returns decisions bool [N, L], ``full`` of the exact posterior and
            ``lacking`` of the observer without the skill. It raises `harness.DataFormatError` for
            samples that are not the data set's.
        dropout: the dropout protocol that is scored.
        claims: the skill is claimed only where its interval lies above this.
        doc: what a model has to do, in a sentence without a full stop.
    """

    name: str
    dataset: str
    observers: str
    dropout: str = "full@1"
    claims: float = 0.0
    doc: str = ""
