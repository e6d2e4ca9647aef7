"""A data set's board: its tables, newest data first, its views, and the files they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.boards.entrants import Reader, SumsReader, sums_reader, with_standings
from harness.boards.frame import board_name
from harness.boards.grid import Grid, View, older_note
from harness.boards.reported import Reported
from harness.boards.robust import RobustTable, robust_tables
from harness.boards.robust_standings import with_aggregate_standings
from harness.boards.rows import Older, Row, Table, full_models, on_boards, tables
from harness.boards.views import ablation, leaderboard, mechanisms, reported, robustness
from harness.errors import UnknownNameError
from harness.paths import atomic_write_text, storage_errors
from harness.plugins import Registry, load, resolve
from harness.records.record import COMPLETE, RunRecord
from harness.specs import NOT_STATED, BoardFormat, DatasetSpec, LabelKind, ModelSpec, Skill

_LINE_ENDS = (b"\r\n", b"\n")
PAGE_DATA = ".js"
"""Suffix of what the page reads where a board is chosen."""


@dataclass(frozen=True)
class Board:
    """Everything that is shown of one data set.

    ``tables`` hold measured models, ``external`` predictions of code that was not run here;
    ``robustness`` has tables where runs were scored under dropout; ``ablations`` has the runs
    with parts of a model switched off, which stand in no other table. ``compat``: authors' own
    evaluations, which have a board of their own. ``about`` begins with three sentences: what the
    data is, what its labels are, what may be concluded (`harness.specs.DatasetSpec.sentences`);
    every view does. ``skill`` is what the data set measures, where it was generated for that: it is
    then no data set of emotions and has no part in ranks.
    """

    dataset: str
    base_name: str
    source: str
    label_kind: LabelKind
    tables: tuple[Table, ...]
    reported: Reported | None = None
    robustness: tuple[RobustTable, ...] = ()
    external: tuple[Table, ...] = ()
    ablations: tuple[ablation.AblationTable, ...] = ()
    compat: bool = False
    about: tuple[str, ...] = ()
    skill: Skill | None = None
    split: str = "test"
    records: tuple[RunRecord, ...] = field(default=(), repr=False)

    @property
    def hashes(self) -> tuple[str, ...]:
        """Return what rows join by, newest run first: content hashes; of twins, recipes."""
        return tuple(dict.fromkeys(t.place.content for t in self.tables))

    @property
    def sentences(self) -> tuple[str, ...]:
        """Return what the data is, what its labels are and what may be concluded."""
        return self.about[:3]

    def view(
        self,
        name: str,
        suffix: str,
        title: str,
        grids: Sequence[Grid],
        notes: Sequence[str] = (),
        after: Sequence[str] = (),
    ) -> View:
        """Return a view of this board in the file ``<board><suffix>``; it begins with `sentences`.

        Args:
            name: the kind of view.
            suffix: of the file's name.
            title: its title.
            grids: its tables.
            notes: what stands before them.
            after: what stands behind them.
        """
        title = title if self.split == "test" else f"{title} ({self.split})"
        return View(
            name, f"{self.dataset}{suffix}", title, tuple(grids), (*self.sentences, *notes),
            self.dataset, self.source, after=(*after, *older_note(grids)),
        )  # fmt: skip


def build_boards(
    records: Iterable[RunRecord],
    reported: Mapping[str, Reported] | None = None,
    dataset: str | None = None,
    read: Reader | None = None,
    registry: Registry | None = None,
    older: Older = lambda record: False,
    sums: SumsReader | None = None,
    kept: ablation.Kept | None = None,
    split: str = "test",
) -> list[Board]:
    """Return one board per data set (or the one asked for), in name order.

    Args:
        records: runs of any data sets.
        reported: printed tables by data set.
        dataset: the name of one board.
        read: gives predictions; with it rows get intervals and rank groups where it has them.
        registry: says what each ablation removes, which protocols a suite has and which warnings
            a model's card explains.
        older: whether a run was made by older code than what is installed.
        sums: gives what tests need of a run; None: it is computed from what ``read`` gives.
        kept: gives the tests of ablations; None: they are computed.
        split: what is scored.
    """
    by_board: dict[str, list[RunRecord]] = {}
    for record in filter(on_boards, records):
        by_board.setdefault(board_name(record), []).append(record)
    chosen = sorted(by_board) if dataset is None else [d for d in by_board if d == dataset]
    known = registry or load()
    given = sums or (sums_reader(read) if read is not None else None)
    return [
        _board(name, by_board[name], reported or {}, read, given, known, older, kept, split)
        for name in chosen
    ]


def views(board: Board, registry: Registry | None = None) -> list[View]:
    """Return the views of a board that show anything, those of plugins last.

    Raises:
        PluginError: a plugin's view cannot be imported.
    """
    made = [leaderboard.leaderboard(board), robustness.view(board), leaderboard.slices(board)]
    made += [*ablation.views(board), mechanisms.view(board), reported.view(board)]
    for entry in registry.views.values() if registry else ():
        made.append(resolve(entry.spec.make, f"view {entry.spec.name!r}")(board))
    return [view for view in made if view and view.grids]


def formats(registry: Registry | None = None, of: str = "view") -> dict[str, BoardFormat]:
    """Return the formats by name: those that write files of one view, or of all boards."""
    known = (registry or load()).formats.values()
    return {e.spec.name: e.spec for e in known if e.spec.of == of and e.spec.suffix}


def render(view: View, spec: BoardFormat) -> str:
    """Return a view in a format.

    Raises:
        PluginError: a plugin's format cannot be imported.
    """
    return str(resolve(spec.render, f"format {spec.name!r}")(view))


def files_of(shown: Iterable[View], registry: Registry | None = None) -> dict[str, str]:
    """Return the files of views in every format, text by name; raises as `render`."""
    known = formats(registry).values()
    return {f"{v.stem}{spec.suffix}": render(v, spec) for v in shown for spec in known}


def board_files(board: Board, registry: Registry | None = None) -> dict[str, str]:
    """Return the files of a board, text by name; raises as `render`."""
    return files_of(views(board, registry), registry)


def write_board(board: Board, out: Path, registry: Registry | None = None) -> list[Path]:
    """Write a board in every format; return the paths.

    Raises:
        StorageError: the folder cannot be written.
        PluginError: a plugin's format cannot be imported.
    """
    texts = board_files(board, registry)
    for name, text in texts.items():
        atomic_write_text(out / name, text)
    return [out / name for name in texts]


def runs_of(boards: Iterable[Board]) -> set[str]:
    """Return the ids of the runs that boards show, failed ones included."""
    every = [t for board in boards for t in (*board.tables, *board.external,
                                             *(a.table for a in board.ablations))]  # fmt: skip
    return {record.id for table in every for record in table.every}


def stale_files(
    texts: Mapping[str, str], out: Path, registry: Registry | None = None, whole: bool = True
) -> tuple[list[str], list[str]]:
    """Return what is wrong with the files of a folder, a line a file, and files without records.

    Args:
        texts: the files as they should be, text by name.
        out: the folder.
        registry: for the formats of plugins.
        whole: these are all the files there should be; further ones of any format are stale.
    """
    wrong = [
        f"{name} is missing"
        if not (out / name).is_file()
        else f"{name} does not follow from the records"
        for name, text in texts.items()
        if not (out / name).is_file() or _unix(out / name) != text.encode().replace(*_LINE_ENDS)
    ]
    suffixes = (*(spec.suffix for spec in formats(registry).values()), PAGE_DATA)
    extra = [
        path.name
        for path in sorted(out.iterdir() if whole and out.is_dir() else ())
        if path.name.endswith(suffixes) and path.name not in texts and path.name != "README.md"
    ]
    return wrong, extra


def _unix(path: Path) -> bytes:
    """Return a file's bytes with the line ends that were written: git may have changed them."""
    with storage_errors(path):
        return path.read_bytes().replace(*_LINE_ENDS)


def _board(
    name: str,
    records: Sequence[RunRecord],
    printed: Mapping[str, Reported],
    read: Reader | None,
    sums: SumsReader | None,
    registry: Registry,
    older: Older,
    kept: ablation.Kept | None,
    split: str,
) -> Board:
    models = {n: entry.spec for n, entry in registry.models.items()}
    made = tables(filter(full_models, records), older, split)
    made = [_with_announced(table, models) for table in made]
    others = tables((r for r in records if r.role == "external"), older, split)
    if sums is not None:
        made = [with_standings(table, sums) for table in made]
        others = [with_standings(table, sums) for table in others]
    suites = robust_tables(made, registry=registry)
    if sums is not None:
        suites = [with_aggregate_standings(table, sums) for table in suites]
    newest: dict[str, str] = {}
    for table in made:
        content = table.place.content
        newest[content] = max(table.newest, newest.get(content, ""))
    order = sorted(newest, key=lambda h: (newest[h], h), reverse=True)
    made.sort(key=lambda t: (order.index(t.place.content), *_complete_first(t)))
    about = records[0].dataset
    return Board(
        dataset=name,
        base_name=about["base_name"],
        source=about["source"],
        label_kind=about["label_kind"],
        tables=tuple(made),
        reported=printed.get(about["base_name"]),
        robustness=tuple(suites),
        external=tuple(others),
        ablations=tuple(
            ablation.ablation_tables(records, models, printed, read, older, kept, split)
        ),
        compat=records[0].compat is not None,
        about=_about(records[0], registry, made),
        skill=next((s.spec for s in registry.skills.values() if s.spec.dataset == name), None),
        split=split,
        records=tuple(records),
    )


def _with_announced(table: Table, models: Mapping[str, ModelSpec]) -> Table:
    """Return a table whose rows know which of their warnings the models' cards explain."""

    def known(row: Row) -> Row:
        spec = models.get(row.model)
        announced = frozenset(w for w in row.warnings if spec is not None and spec.announces(w))
        return replace(row, announced=announced)

    return replace(table, rows=tuple(map(known, table.rows)))


def _about(record: RunRecord, registry: Registry, made: Sequence[Table]) -> tuple[str, ...]:
    """Return the first lines of a board: what the data and labels are, what may be concluded."""
    name, about = str(record.dataset["name"]), record.dataset
    try:
        spec = registry.dataset(name)
    except UnknownNameError:  # its plugin is not here
        spec = DatasetSpec(name, "", (), tuple(about["labels"]), source=about["source"])
    lines = list(spec.sentences())
    features: dict[str, list[str]] = {}
    for modality in spec.modalities:
        said = f"{modality.extractor or NOT_STATED} (trained on: "
        features.setdefault(f"{said}{modality.trained_on or NOT_STATED})", []).append(modality.name)
    if features and spec.source != "twin":
        text = "; ".join(f"{', '.join(m)}: {text}" for text, m in features.items())
        lines.append(f"Features: {text}.")
    if spec.superseded:
        lines.append(f"Superseded: {spec.superseded}")
    apart = {(row.clusters, table.samples) for table in made for row in table.rows}
    # A video has several clips: as many groups as samples means that nobody knows the videos.
    known = spec.group_key not in ("sample", "video")
    if not known and any(clusters == count for clusters, count in apart):
        lines.append("Groups unknown: intervals are over samples.")
    return tuple(lines)


def _complete_first(table: Table) -> tuple[str, bool, str, bool, str]:
    """Return the order of tables: by mask option, complete data first."""
    place = table.place
    training, scoring = place.train_dropout != COMPLETE, place.dropout != COMPLETE
    return (place.mask, training, place.train_dropout, scoring, place.dropout)
