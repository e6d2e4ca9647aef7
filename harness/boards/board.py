"""A data set's leaderboard: its tables, newest data first, and the figures papers report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.boards.ablation import AblationTable, ablation_tables
from harness.boards.aggregate import Table, aggregate
from harness.boards.collect import ablated, board_name, collect
from harness.boards.entrants import Reader, with_standings
from harness.boards.reported import Reported
from harness.boards.robustness import RobustTable, robustness
from harness.boards.slices import SliceTable, by_slice
from harness.boards.swapped import SwappedTable, both_ways
from harness.paths import atomic_write_text
from harness.records.record import COMPLETE, RunRecord
from harness.registry import Registry, resolve
from harness.specs import ModelSpec

ROBUSTNESS = "-robustness"
SLICES = "-slices"
EXTERNAL = "external"


@dataclass(frozen=True)
class Board:
    """Everything a leaderboard of one data set shows.

    ``robustness`` has tables where runs were scored under a suite of dropout protocols; they are
    files of their own, ``<dataset>-robustness.*``. ``external`` has predictions of code that was
    not run here, in tables without any measured row. ``slices`` has the tables again, by slice,
    where the data has slices; as CSV they are a file of their own, ``<dataset>-slices.csv``.
    ``swapped`` has the clip diagnostic's figures both ways (`harness.boards.swapped`).
    ``ablations`` has the runs with parts of a model switched off, which stand in no other table;
    they are files of their own, ``<dataset>-<model>-ablation.*``.
    """

    dataset: str
    base_name: str
    source: str
    label_kind: str
    tables: tuple[Table, ...]
    reported: Reported | None
    robustness: tuple[RobustTable, ...] = ()
    external: tuple[Table, ...] = ()
    slices: tuple[SliceTable, ...] = ()
    swapped: tuple[SwappedTable, ...] = ()
    ablations: tuple[AblationTable, ...] = ()

    @property
    def hashes(self) -> tuple[str, ...]:
        """Return the content hashes of the data, newest run first."""
        return tuple(dict.fromkeys(t.key.content_hash for t in self.tables))


def build_boards(
    records: Iterable[RunRecord],
    reported: Mapping[str, Reported] | None = None,
    dataset: str | None = None,
    read: Reader | None = None,
    models: Mapping[str, ModelSpec] | None = None,
) -> list[Board]:
    """Return one board per data set (or the one asked for), in name order.

    With ``read``, rows get intervals and rank groups where their predictions are at hand.
    ``models`` says what each ablation removes, and in which order they stand.
    """
    by_dataset: dict[str, list[RunRecord]] = {}
    for record in records:
        by_dataset.setdefault(board_name(record), []).append(record)
    chosen = sorted(by_dataset) if dataset is None else [d for d in by_dataset if d == dataset]
    specs = models or {}
    return [_board(name, by_dataset[name], reported or {}, read, specs) for name in chosen]


def write_board(board: Board, out: Path, registry: Registry | None = None) -> list[Path]:
    """Write a board as md, csv, json and tex (and in the formats of plugins); return the paths.

    Raises:
        StorageError: the folder cannot be written.
        PluginError: a plugin's format cannot be imported.
    """
    paths = []
    for name, text in board_files(board, registry).items():
        atomic_write_text(out / name, text)
        paths.append(out / name)
    return paths


def board_files(board: Board, registry: Registry | None = None) -> dict[str, str]:
    """Return the files of a board, text by name.

    Raises:
        PluginError: a plugin's format cannot be imported.
    """
    from harness.boards import ablation_text, latex, robustness_text, slices, tables

    texts = {
        ".md": tables.markdown(board),
        ".csv": tables.csv_text(board),
        ".json": tables.json_text(board),
        ".tex": latex.latex(board),
    }
    if board.robustness:
        texts[f"{ROBUSTNESS}.md"] = robustness_text.markdown(board.robustness)
        texts[f"{ROBUSTNESS}.csv"] = robustness_text.csv_text(board.robustness)
        texts[f"{ROBUSTNESS}.json"] = robustness_text.json_text(board.robustness)
    if board.slices:
        texts[f"{SLICES}.csv"] = slices.csv_text(board.slices)
    for entry in registry.formats.values() if registry else ():
        texts[entry.spec.suffix] = str(resolve(entry.spec.render)(board))
    named = {f"{board.dataset}{suffix}": text for suffix, text in texts.items()}
    return named | ablation_text.files(board.ablations)


def runs_of(boards: Iterable[Board]) -> set[str]:
    """Return the ids of the runs that boards show, failed ones included."""
    shown: set[str] = set()
    for table in (t for board in boards for t in (*board.tables, *board.external)):
        shown |= {run for row in table.rows for run in row.runs}
        shown |= {failure.run for failure in table.failures}
    for ablation in (a for board in boards for a in board.ablations):
        shown |= {run for row in ablation.rows for run in row.runs}
        shown |= {failure.run for failure in ablation.failures}
    return shown


def stale_files(
    boards: Sequence[Board], out: Path, registry: Registry | None = None, whole: bool = True
) -> list[str]:
    """Return what is wrong with the boards in a folder, a line a file; empty: they are current.

    ``whole`` says that these are all the boards there should be.
    """
    wrong: list[str] = []
    known: set[str] = set()
    for board in boards:
        texts = board_files(board, registry)
        known |= set(texts)
        for name, text in texts.items():
            path = out / name
            if not path.is_file():
                wrong.append(f"{name} is missing")
            elif path.read_bytes() != text.encode():
                wrong.append(f"{name} does not follow from the records")
    extra = sorted(p.name for p in out.glob("*.csv") if p.name not in known) if whole else []
    return wrong + [f"{name} has no records" for name in extra]


def _board(
    name: str,
    records: Sequence[RunRecord],
    reported: Mapping[str, Reported],
    read: Reader | None,
    models: Mapping[str, ModelSpec],
) -> Board:
    measured = [r for r in records if r.role != EXTERNAL and not ablated(r)]
    made = [aggregate(group) for group in collect(measured)]
    others = [aggregate(g) for g in collect([r for r in records if r.role == EXTERNAL])]
    by_id = {r.id: r for r in records}
    if read is not None:
        made = [with_standings(table, by_id, read) for table in made]
        others = [with_standings(table, by_id, read) for table in others]
    newest: dict[str, str] = {}
    for table in made:
        content = table.key.content_hash
        newest[content] = max(table.newest, newest.get(content, ""))
    order = sorted(newest, key=lambda h: (newest[h], h), reverse=True)
    made.sort(key=lambda t: (order.index(t.key.content_hash), _dropout_first(t), t.key))
    about = records[0].dataset
    return Board(
        dataset=name,
        base_name=about["base_name"],
        source=about["source"],
        label_kind=about["label_kind"],
        tables=tuple(made),
        reported=reported.get(about["base_name"]),
        robustness=tuple(robustness(measured)),
        external=tuple(others),
        slices=tuple(s for s in (by_slice(t, by_id) for t in (*made, *others)) if s is not None),
        swapped=tuple(s for s in (both_ways(t, by_id) for t in made) if s is not None),
        ablations=tuple(ablation_tables(records, models, reported, read)),
    )


def _dropout_first(table: Table) -> tuple[str, bool, bool, str]:
    """Put complete data first within a mask option."""
    key = table.key
    return (key.mask, key.train_dropout != COMPLETE, key.dropout != COMPLETE, key.dropout)
