"""Which twins a board is of, and which runs stand on it.

Runs on twins of one recipe and size share a board whatever twin each of them is on: a row is a
model over its twins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from harness.boards.frame import REFERENCE_ROLES, Place, content_of, digest_of, short, twin_of
from harness.records.record import RunRecord
from harness.records.scorings import identity
from harness.statistics.measured import REAL


@dataclass(frozen=True, order=True)
class Twin:
    """A twin of a table: its number, the hash of its content, and the samples that are scored."""

    number: int
    content_hash: str
    samples: int = 0


T = TypeVar("T")
Content = tuple[int, str]
"""Number and content hash of a twin."""


def joined(records: Iterable[RunRecord], also: Collection[int] = ()) -> dict[str, str]:
    """Return by run what it joins others by; runs beyond the twins of their board are left out.

    The twins of a board are those that more than half of its rows with several twins were trained
    on; where that is none, all. Of two contents of one twin it is the one that more rows have. A
    row with another content of one of them, or with none of them, stands apart from the board,
    under ``<recipe, size>, twin <number> <hash>, ...``, with others of its kind. Of a row that was
    trained on further twins these runs are left out.

    Args:
        records: runs; those on real data join by content hash.
        also: numbers of twins that are on the board in any case.
    """
    found: dict[str, str] = {}
    groups: dict[tuple[str, ...], list[RunRecord]] = {}
    for record in records:
        if twin_of(record) == REAL:
            found[record.id] = content_of(record)
        else:
            about = record.dataset
            key = (about["name"], record.protocols["dataset"], about["mask"], content_of(record))
            groups.setdefault((*key, str(record.compat)), []).append(record)
    for group in groups.values():
        found |= _levels(group, also)
    return found


def twins_of(records: Iterable[RunRecord], split: str) -> tuple[Twin, ...]:
    """Return the twins that runs are on, in order; none: real data."""
    return tuple(
        sorted(
            {
                Twin(twin_of(r), r.dataset["content_hash"], int(r.dataset["splits"].get(split, 0)))
                for r in records
                if twin_of(r) != REAL
            }
        )
    )


def by_masks(
    scored: Mapping[Place, dict[str, T]], by_id: Mapping[str, RunRecord]
) -> dict[Place, dict[str, T]]:
    """Return runs by place where those on one twin were scored under the same masks.

    Runs under other masks than most on their twin stand apart, under the digest of theirs.
    """
    found: dict[Place, dict[str, T]] = {}
    for place, runs in scored.items():
        votes: dict[int, Counter[str]] = {}
        each = {run: digest_of(by_id[run], place.dropout, place.split) for run in runs}
        for run, digest in each.items():
            votes.setdefault(twin_of(by_id[run]), Counter())[digest] += 1
        for run, values in runs.items():
            twin = twin_of(by_id[run])
            same = twin == REAL or each[run] == max(votes[twin], key=lambda d: (votes[twin][d], d))
            here = place if same else replace(place, digest=each[run])
            found.setdefault(here, {})[run] = values
    return found


def _levels(group: Sequence[RunRecord], also: Collection[int]) -> dict[str, str]:
    """Return what runs of one recipe join by: the board's own first, then those apart."""
    rows: dict[tuple[str, str], list[RunRecord]] = {}
    references = []
    for record in group:
        if record.role in REFERENCE_ROLES:
            references.append(record)
        else:
            kind = (identity(record), record.protocols["train_dropout"])
            rows.setdefault(kind, []).append(record)
    if not rows:  # each predictor that was made stands on all of its twins
        for record in references:
            rows.setdefault((record.role, record.model["name"]), []).append(record)
        references = []
    found: dict[str, str] = {}
    label, left = content_of(group[0]), list(rows.values())
    while left:
        board = _board_of(left, also if not found else ())
        if found:
            named = (f"twin {number} {short(digest)}" for number, digest in sorted(board.items()))
            label = ", ".join((content_of(group[0]), *named))
        apart = []
        for row in left:
            if not _fits(row, board):
                apart.append(row)
                continue
            found |= {r.id: label for r in row if _content(r) in board.items()}
        for record in references:
            if record.id not in found and _content(record) in board.items():
                found[record.id] = label
        if len(apart) == len(left):  # two contents of one twin within every row
            apart = [[record] for row in left for record in row]
        left = apart
    return found


def _board_of(rows: Sequence[Sequence[RunRecord]], also: Collection[int]) -> dict[int, str]:
    """Return the content of each of the twins that most rows were trained on."""
    newest: dict[Content, str] = {}
    for record in (record for row in rows for record in row):
        content = _content(record)
        newest[content] = max(record.created, newest.get(content, ""))
    each = [{_content(record) for record in row} for row in rows]
    votes = Counter(content for contents in each for content in contents)
    board: dict[int, str] = {}
    for content in sorted(votes, key=lambda c: (votes[c], newest[c], c)):
        board[content[0]] = content[1]
    fitting = [contents & set(board.items()) for contents in each]
    several = [contents for contents in fitting if len(contents) > 1]
    shared = Counter(number for contents in several for number, _ in contents)
    most = {number for number, count in shared.items() if 2 * count > len(several)}
    wanted = (most or set(board)) | set(also)
    return {number: digest for number, digest in board.items() if number in wanted}


def _fits(row: Sequence[RunRecord], board: Mapping[int, str]) -> bool:
    contents = [_content(record) for record in row]
    other = any(board.get(number, digest) != digest for number, digest in contents)
    return not other and any(number in board for number, _ in contents)


def _content(record: RunRecord) -> Content:
    return twin_of(record), str(record.dataset["content_hash"])
