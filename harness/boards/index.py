"""``README.md`` of a folder of boards: which board has which files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from tabulate import tabulate

from harness.boards.ablation_text import SUFFIX as ABLATION
from harness.boards.board import ROBUSTNESS, SLICES, Board
from harness.boards.cells import NOTHING
from harness.registry import Registry

FILE = "README.md"
FIGURES = "figures"
PICTURES = (".svg", ".png", ".pdf", ".html")
MARK = "<!-- Written by 'harness leaderboard'; edits are lost. -->"
WHOLE = (".md", ".tex", ".csv", ".json")
_HEADS = ["data set", "rows", "seeds", "scored under", "board", "robustness", "slices",
          "ablations", "figures"]  # fmt: skip


def markdown(
    boards: Sequence[Board], out: Path, others: Iterable[str] = (), registry: Registry | None = None
) -> str:
    """Return the index of the boards in a folder, and of the figures that lie there.

    Args:
        boards: all boards.
        out: the folder; pictures in its ``figures/`` are listed with the data set that their name
            begins with.
        others: files about all boards, such as the page.
        registry: for the formats of plugins.
    """
    parts = [
        MARK,
        "# Leaderboards",
        "Boards and pages follow from the run records: `harness leaderboard --check` says whether "
        "they still do. Figures on real data, figures "
        "on generated twins and figures that papers report never share a table.",
        "\n".join(f"- {_link(name, name)}: {_ABOUT[name]}" for name in others if name in _ABOUT),
    ]
    drawn = _drawn(boards, out)
    for title, chosen in (
        ("Real data", [b for b in boards if b.source != "twin"]),
        ("Generated twins", [b for b in boards if b.source == "twin"]),
    ):
        if chosen:
            rows = [_row(board, drawn[board.dataset], registry) for board in chosen]
            parts += [f"## {title}", _table(rows)]
    if any(board.dataset.endswith("-compat") for board in boards):
        parts.append("Boards named `-compat` hold authors' own evaluations, reproduced.")
    return "\n\n".join(part for part in parts if part) + "\n"


def ours(path: Path) -> bool:
    """Return whether a file may be written: there is none, or this module wrote it."""
    return not path.is_file() or path.read_text("utf-8", errors="replace").startswith(MARK)


def names_of(board: Board, registry: Registry | None = None) -> dict[str, list[str]]:
    """Return the names of a board's files (`harness.boards.board.board_files`) by column."""
    formats = [entry.spec.suffix for entry in registry.formats.values()] if registry else []
    stems = dict.fromkeys(f"{t.key.dataset}-{t.model}{ABLATION}" for t in board.ablations)
    return {
        "board": [board.dataset + suffix for suffix in dict.fromkeys((*WHOLE, *formats))],
        "robustness": [
            f"{board.dataset}{ROBUSTNESS}{suffix}"
            for suffix in (".md", ".csv", ".json")
            if board.robustness
        ],
        "slices": [f"{board.dataset}{SLICES}.csv"] if board.slices else [],
        "ablations": [f"{stem}{suffix}" for stem in stems for suffix in WHOLE],
    }


_ABOUT = {
    "index.html": "all boards as one page to open in a browser; it needs nothing else",
    "ranks.md": "mean ranks over data sets",
}


def _row(board: Board, pictures: Sequence[str], registry: Registry | None) -> list[str]:
    names = names_of(board, registry)
    tables = (*board.tables, *board.external)
    rows = [row for t in tables for row in t.rows if row.role in ("model", "external")]
    models = {(row.label, row.setting) for row in rows}
    seeds = sorted({seed for row in rows for seed in row.seeds})
    protocols = {t.key.dropout for t in tables}
    ablations = []
    for stem in dict.fromkeys(name.rpartition(".")[0] for name in names["ablations"]):
        mine = [name for name in names["ablations"] if name.rpartition(".")[0] == stem]
        model = stem.removeprefix(f"{board.dataset}-").removesuffix(ABLATION)
        ablations.append(f"{model} {_links(mine)}")
    return [
        board.dataset,
        str(len(models)),
        str(len(seeds)),
        f"{len(protocols)} protocols" if len(protocols) > 1 else "".join(protocols) or NOTHING,
        _links(names["board"]),
        _links(names["robustness"]) or NOTHING,
        _links(names["slices"]) or NOTHING,
        "; ".join(ablations) or NOTHING,
        ", ".join(pictures) or NOTHING,
    ]


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Return the table without columns that no board has anything in."""
    kept = [place for place in range(len(_HEADS)) if any(row[place] != NOTHING for row in rows)]
    return tabulate(
        [[row[place] for place in kept] for row in rows],
        [_HEADS[place] for place in kept],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["right" if _HEADS[place] in ("rows", "seeds") else "left" for place in kept],
    )


def _drawn(boards: Sequence[Board], out: Path) -> dict[str, list[str]]:
    """Return links to the pictures of each board; a picture in several formats is one link."""
    folder = out / FIGURES
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    stems: dict[str, Path] = {}
    for suffix in PICTURES:
        for path in found:
            if path.suffix == suffix:
                stems.setdefault(path.stem, path)
    links: dict[str, list[str]] = {board.dataset: [] for board in boards}
    for stem, path in sorted(stems.items()):
        owners = [name for name in links if stem.startswith(f"{name}-")]
        if owners:
            owner = max(owners, key=len)
            links[owner].append(_link(stem.removeprefix(f"{owner}-"), f"{FIGURES}/{path.name}"))
    return links


def _links(names: Iterable[str]) -> str:
    return " ".join(_link(name.rpartition(".")[2], name) for name in names)


def _link(text: str, target: str) -> str:
    return f"[{text}]({quote(target)})"
