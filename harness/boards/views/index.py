"""``README.md`` of a folder of boards: which board has which files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from harness.boards.board import Board, formats, views
from harness.boards.grid import View
from harness.boards.render.markdown import markdown
from harness.plugins import Registry

FILE = "README.md"
FIGURES = "figures"
PICTURES = (".svg", ".png", ".pdf", ".html")
MARK = "<!-- Written by 'harness leaderboard'; edits are lost. -->"
_ABOUT = {
    "index.html": "all boards as one page to open in a browser; it reads `<board>.js` beside it",
    "ranks.md": "mean ranks over data sets; with the same name in the other formats",
    "skills.md": "what each model can do, on generated data; likewise",
}


@dataclass(frozen=True)
class Entry:
    """What the index says of a board; ``views`` are names and stems of its views."""

    dataset: str
    source: str
    compat: bool
    rows: int
    seeds: int
    protocols: tuple[str, ...]
    views: tuple[tuple[str, str], ...]


def entry(board: Board, shown: Sequence[View]) -> Entry:
    """Return the entry of a board with these views."""
    tables = (*board.tables, *board.external)
    trained = [row for t in tables for row in t.rows if row.trained]
    return Entry(
        board.dataset,
        board.source,
        board.compat,
        len({(r.label, r.setting, r.first.protocols["train_dropout"]) for r in trained}),
        len({seed for row in trained for seed in row.seeds}),
        tuple(dict.fromkeys(t.place.dropout for t in tables)),
        tuple((view.name, view.stem) for view in shown),
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
    page = markdown(View("index", "README", "Leaderboards", (), tuple(notes)))
    return f"{MARK}\n\n{page}"


def ours(path: Path) -> bool:
    """Return whether a file may be written: there is none, or this module wrote it."""
    return not path.is_file() or path.read_text("utf-8", errors="replace").startswith(MARK)


def _line(board: Entry, drawn: Sequence[str], suffixes: Sequence[str]) -> str:
    """Return what the index says of a board."""
    protocols = board.protocols
    scored = f"{len(protocols)} protocols" if protocols[1:] else "".join(protocols)
    rows, seeds = _count(board.rows, "row"), _count(board.seeds, "seed")
    parts = [
        f"{name} {' '.join(_link(s.removeprefix('.'), stem + s) for s in suffixes)}"
        for name, stem in board.views
    ]
    parts += [f"figures {', '.join(drawn)}"] if drawn else []
    return f"- `{board.dataset}` ({rows}, {seeds}, scored under {scored}): {'; '.join(parts)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


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
