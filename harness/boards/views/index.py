"""``README.md`` of a folder of boards: which board has which files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.boards.board import Board, formats, views
from harness.boards.cost import Cost, cost_of, cost_of_searches, searched, trials_of
from harness.boards.grid import View
from harness.boards.render.markdown import markdown
from harness.boards.render.text import numbered
from harness.plugins import Registry
from harness.records.record import RunRecord

FILE = "README.md"
FIGURES = "figures"
PICTURES = (".svg", ".png", ".pdf", ".html")
MARK = "<!-- Written by 'harness leaderboard'; edits are lost. -->"
MACHINES = (
    "On another machine the data and the masks of missing modalities are the same to the byte, and "
    "so is the hash that a board joins by. Training is not bit-equal between processors, BLAS "
    "kernels and numbers of threads: the same command gives figures that differ a little, and a "
    "difference below the deviation over seeds says nothing. Processor, BLAS kernel and "
    "instruction set stand in each record (`provenance`)."
)
_ABOUT = {
    "index.html": "all boards as one page to open in a browser; it reads `<board>.js` beside it",
    "ranks.md": "mean ranks over data sets; with the same name in the other formats",
    "skills.md": "what each model can do, on generated data; likewise",
}


@dataclass(frozen=True)
class Entry:
    """What the index says of a board; ``views`` are names and stems of its views.

    ``cost`` is CPU and wall seconds of its runs (`harness.boards.cost.Cost`), ``trials`` those of
    each trial among its records by run, ``searched`` the models whose settings a search chose.
    """

    dataset: str
    source: str
    compat: bool
    rows: int
    seeds: int
    protocols: tuple[str, ...]
    views: tuple[tuple[str, str], ...]
    cost: tuple[float, float] = (0.0, 0.0)
    trials: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    searched: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Entry:
        """Return an entry from its JSON values."""
        lists = {n: tuple(known[n]) for n in ("protocols", "cost", "searched")}
        views = tuple((name, stem) for name, stem in known["views"])
        return cls(**{**known, **lists, "views": views})


def entry(board: Board, shown: Sequence[View], records: Iterable[RunRecord] = ()) -> Entry:
    """Return the entry of a board with these views.

    Args:
        board: the board.
        shown: its views.
        records: all of its records; trials of searches are among no board's rows.
    """
    tables = (*board.tables, *board.external)
    trained = [row for t in tables for row in t.rows if row.trained]
    cost = cost_of(r.budget for r in board.records)
    return Entry(
        board.dataset,
        board.source,
        board.compat,
        len({(r.label, r.setting, r.first.protocols["train_dropout"]) for r in trained}),
        len({seed for row in trained for seed in row.seeds}),
        tuple(dict.fromkeys(t.place.dropout for t in tables)),
        tuple((view.name, view.stem) for view in shown),
        (cost.cpu, cost.wall),
        trials_of(records),
        searched(board.records),
    )


def text(
    boards: Sequence[Board], out: Path, others: Iterable[str] = (), registry: Registry | None = None
) -> str:
    """Return the index of boards, as `text_of` their entries."""
    entries = [entry(board, views(board, registry)) for board in boards]
    return text_of(entries, out, others, registry)


def text_of(
    boards: Sequence[Entry], out: Path, others: Iterable[str] = (), registry: Registry | None = None
) -> str:
    """Return the index of the boards in a folder, and of the figures that lie there.

    Args:
        boards: the entries of all boards.
        out: the folder; pictures in its ``figures/`` are listed with the data set that their name
            begins with.
        others: files about all boards, such as the page.
        registry: for the formats and views of plugins.
    """
    notes = [
        "Boards and pages follow from the run records: `harness leaderboard --check` says whether "
        "they still do. Figures on real data, figures "
        "on generated twins and figures that papers report never share a table.",
        *(f"- {_link(n, n)}: {_ABOUT.get(n, 'of all boards')}" for n in others if n in _ABOUT),
    ]
    if any(board.compat for board in boards):
        notes.append("\nBoards named `-compat` hold authors' own evaluations, reproduced.")
    drawn = _drawn(boards, out)
    suffixes = [spec.suffix for spec in formats(registry).values()]
    for title, chosen in (
        ("Real data", [b for b in boards if b.source != "twin"]),
        ("Generated twins", [b for b in boards if b.source == "twin"]),
    ):
        notes += [f"\n## {title}\n"] if chosen else []
        notes += [_line(board, drawn[board.dataset], suffixes) for board in chosen]
    notes += _computation(boards, registry)
    page = markdown(View("index", "README", "Leaderboards", (), tuple(notes)))
    return f"{MARK}\n\n{page}"


def _computation(boards: Sequence[Entry], registry: Registry | None) -> list[str]:
    """Return what the runs of all boards cost, and what differs where they are made again."""
    runs = sum((Cost(*board.cost) for board in boards), Cost())
    if not runs.text:
        return []
    trials = {run: cost for board in boards for run, cost in board.trials.items()}
    models = (name for board in boards for name in board.searched)
    searches = cost_of_searches(models, trials, registry)
    parts = [f"{runs.text} of training"]
    parts += [f"{searches.text} of searches for the settings"] if searches.text else []
    total = f"; {(runs + searches).text} in all" if searches.text else ""
    old = " Wall time stands where a record is older than the field of CPU time."
    return [
        "\n## Computation\n",
        f"All boards: {', '.join(parts)}{total}.{old if (runs + searches).wall else ''} "
        "Preparation of data and scoring are not counted.",
        f"\n{MACHINES}",
    ]


def ours(path: Path) -> bool:
    """Return whether a file may be written: there is none, or this module wrote it."""
    return not path.is_file() or path.read_text("utf-8", errors="replace").startswith(MARK)


def _line(board: Entry, drawn: Sequence[str], suffixes: Sequence[str]) -> str:
    """Return what the index says of a board."""
    protocols = board.protocols
    scored = f"{len(protocols)} protocols" if protocols[1:] else "".join(protocols)
    rows, seeds = numbered(board.rows, "row"), numbered(board.seeds, "seed")
    cost = Cost(*board.cost).text
    about = f"{rows}, {seeds}, scored under {scored}{f', {cost}' if cost else ''}"
    parts = [
        f"{name} {' '.join(_link(s.removeprefix('.'), stem + s) for s in suffixes)}"
        for name, stem in board.views
    ]
    parts += [f"figures {', '.join(drawn)}"] if drawn else []
    return f"- `{board.dataset}` ({about}): {'; '.join(parts)}"


def pictures(out: Path, boards: Iterable[str]) -> dict[str, list[Path]]:
    """Return the pictures in ``figures/`` by the board that their name begins with, in order."""
    folder = out / FIGURES
    found: dict[str, list[Path]] = {name: [] for name in boards}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        owners = [name for name in found if path.stem.startswith(f"{name}-")]
        if owners and path.suffix in PICTURES:
            found[max(owners, key=len)].append(path)
    return found


def _drawn(boards: Sequence[Entry], out: Path) -> dict[str, list[str]]:
    """Return links to the pictures of each board; a picture in several formats is one link."""
    links = {}
    for owner, found in pictures(out, (board.dataset for board in boards)).items():
        stems = {p.stem: p for p in sorted(found, key=lambda p: -PICTURES.index(p.suffix))}
        links[owner] = [
            _link(stem.removeprefix(f"{owner}-"), f"{FIGURES}/{path.name}")
            for stem, path in sorted(stems.items())
        ]
    return links


def _link(words: str, target: str) -> str:
    return f"[{words}]({quote(target)})"
