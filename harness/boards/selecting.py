"""From names a user gives to rows that may be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.boards.frame import REFERENCE_ROLES, Place, board_name, on_board
from harness.boards.reported import Reported
from harness.boards.rows import Row, Table, on_boards, tables
from harness.boards.settings import ablated
from harness.boards.tracks import trainings
from harness.errors import DataMissingError, NoValidationError, UnknownNameError, UsageError
from harness.plugins import TWIN
from harness.protocols.dropout import EVERYTHING, Traits, parse
from harness.records.record import COMPLETE, RunRecord


@dataclass(frozen=True)
class Wanted:
    """Where rows are looked for.

    ``mask`` None: the only mask option of the runs. ``split`` is what is scored. ``train_dropout``
    is a protocol of training or the name of a track (`harness.boards.tracks`); None: complete data.
    """

    dataset: str
    dropout: str = COMPLETE
    train_dropout: str | None = None
    mask: str | None = None
    split: str = "test"


@dataclass(frozen=True)
class Chosen:
    """A row under the name it was asked for, with the key of its group."""

    name: str
    row: Row
    key: Place


def select(
    records: Iterable[RunRecord],
    names: Sequence[str],
    wanted: Wanted,
    reported: Mapping[str, Reported],
) -> list[Chosen]:
    """Return a row a name: ``model``, or ``model:setting`` where a model has several rows.

    Case, spaces and underscores do not matter in a model's name, unless another has it exactly.
    In a track of several protocols of training ``model:train-mix`` is a name too, and a row that
    was trained on complete data is meant only where there is no other.

    A model's ablations are named by their settings only; without one its full rows are meant.
    Of several contents of the data the newest that all the models were run on is taken; twins of
    one recipe are one content (`harness.boards.twins`).

    Raises:
        DataMissingError: no run of the data set under the protocol.
        NoValidationError: validation is asked for, and the data set has none.
        UnknownNameError: a data set or a model without runs.
        UsageError: a reported row, an authors' own evaluation, several rows for one name, or
            models that share no content of the data.
    """
    known = list(filter(on_boards, records))
    found = _rows(known, wanted)
    masks = sorted({key.mask for key, _ in found})
    if wanted.mask is None and len(masks) > 1:
        raise UsageError(f"{wanted.dataset} was run under the masks {', '.join(masks)}: --mask.")
    by_name = {name: _matching(name, found, reported, wanted.dataset) for name in names}
    contents = [{key.content for key, _ in rows} for rows in by_name.values()]
    common = set.intersection(*contents)
    newest = [key.content for key, _ in found if key.content in common]
    if not newest:
        raise UsageError(
            f"not comparable: {', '.join(names)} were run on different contents of "
            f"{wanted.dataset}. Run them again on the data as it is now."
        )
    return [_only(name, rows, newest[0]) for name, rows in by_name.items()]


def board_meant(records: Iterable[RunRecord], name: str) -> tuple[str, str]:
    """Return the board that a person means by a data set's name, and what they should be told.

    A data set without runs whose twin has some means the twin: what is told says so. Upper and
    lower case are alike. A name that means no board is returned as it is.
    """
    boards = {board_name(record) for record in filter(on_boards, records)}
    near = {board.casefold(): board for board in boards}
    meant = near.get(name.casefold()) if name not in boards else name
    if meant is not None:
        return meant, ""
    twin = near.get(f"{name.casefold()}{TWIN}")
    if twin is None:
        return name, ""
    return twin, (
        f"There are no runs on {name}; this is its twin, {twin}: generated data, which says "
        "nothing about the real."
    )


def check_protocols(made: Iterable[Table], names: Iterable[str]) -> None:
    """Refuse dropout protocols that there are not: neither in the tables nor anywhere.

    Raises:
        UnknownNameError: no such protocol.
        UsageError: the version does not exist, or the number is out of range.
    """
    places = [table.place for table in made]
    used = {name for place in places for name in (place.dropout, place.train_dropout)}
    for name in names:
        if name not in used:  # of a plugin that is not loaded, perhaps
            parse(name, replace(EVERYTHING, keys=Traits.of_protocols(used).keys))


def _rows(known: Sequence[RunRecord], wanted: Wanted) -> list[tuple[Place, Row]]:
    """Return the rows of the data set under the protocol, newest data first."""
    mine = on_board(known, wanted.dataset)
    if any(r.compat is not None for r in mine):
        raise UsageError(
            f"{wanted.dataset}: an author's own evaluation may mix several checkpoints and "
            "samples; nothing is tested there."
        )
    split = wanted.split
    if not any(split in r.dataset["splits"] for r in mine):
        raise NoValidationError(wanted.dataset, f"--split {split}")
    # Ablations apart, so that they change the setting of no full row.
    kinds = (
        [r for r in mine if r.role != "external" and not ablated(r)],
        [r for r in mine if r.role == "external"],
        [r for r in mine if ablated(r)],
    )
    made = [table for some in kinds for table in tables(some, split=split)]
    made.sort(key=lambda t: (t.newest, t.place), reverse=True)
    trained = trainings(wanted.train_dropout or COMPLETE)
    check_protocols(made, (wanted.dropout, *trained))
    found: dict[tuple[str, ...], tuple[Place, Row]] = {}
    for table in made:
        key = table.place
        if key.dropout != wanted.dropout or (wanted.mask or key.mask) != key.mask:
            continue
        for row in table.rows:
            # Trivial rows and the ceiling join the groups of every training.
            reference = row.role in (*REFERENCE_ROLES, "external")
            if not reference and key.train_dropout not in trained:
                continue
            found.setdefault((key.content, key.digest, *row.runs), (key, row))
    if not found:
        tried = sorted({t.place.dropout for t in made})
        raise DataMissingError(
            f"no runs of {wanted.dataset!r} scored under {wanted.dropout} on {split}, trained "
            f"under {wanted.train_dropout or COMPLETE}; there are: {', '.join(tried) or 'none'}."
        )
    return list(found.values())


def _matching(
    name: str,
    found: Sequence[tuple[Place, Row]],
    reported: Mapping[str, Reported],
    dataset: str,
) -> list[tuple[Place, Row]]:
    model, _, setting = name.partition(":")
    mine = [(k, r) for k, r in found if model in (r.model, r.label)]
    written = _as_written(model)
    mine = mine or [(k, r) for k, r in found if written in map(_as_written, (r.model, r.label))]
    if not mine:
        printed = reported.get(found[0][1].first.dataset["base_name"])
        if printed is not None and model.casefold() in {r.name.casefold() for r in printed.rows}:
            raise UsageError(
                f"{model!r} is a reported row of {dataset}: one printed number has no predictions, "
                "so nothing can be tested against it."
            )
        raise UnknownNameError(f"model with runs on {dataset}", model, {r.model for _, r in found})
    chosen = [(k, r) for k, r in mine if not setting or setting in (r.setting, _training(k, r))]
    if not chosen:
        raise UnknownNameError(f"setting of {model}", setting, {r.setting for _, r in mine})
    full = [(k, r) for k, r in chosen if not ablated(r.first)]
    return chosen if setting else full or chosen


def _as_written(name: str) -> str:
    """Return a name without what people write differently: ``RAMer_public`` is ``ramer-public``."""
    return name.casefold().replace("_", "-").replace(" ", "-")


def _training(key: Place, row: Row) -> str:
    """Return the name of a row's protocol of training, without version; of a reference row none."""
    return key.train_dropout.partition("@")[0] if row.trained else ""


def _only(name: str, rows: Sequence[tuple[Place, Row]], content: str) -> Chosen:
    mine = [(k, r) for k, r in rows if k.content == content]
    mine = [(k, r) for k, r in mine if k.train_dropout != COMPLETE] or mine
    if len(mine) > 1:
        several = len({r.setting for _, r in mine}) < len(mine)
        names = (_training(k, r) if several else r.setting for k, r in mine)
        settings = ", ".join(repr(f"{name}:{one}") for one in names)
        raise UsageError(f"{name!r} has several rows; name one of: {settings}.")
    return Chosen(name, mine[0][1], mine[0][0])
