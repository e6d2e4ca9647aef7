"""Two checkouts in turn, A B A B, for one's own change.

Both run this benchmark code, each with its own sources of harness, plugins and baselines. Kept is
the best of the rounds: the least time, the largest rate.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from benchmarks.measuring import table

ROOT = Path(__file__).parents[1]
LESS = ("_s", "_ms", "_us", "_gb", "products", "gflop")
MORE = ("_per_second", "limit_share")
NOT_MEASURED = ("reference", "limit", "target", "machine")
# Exit codes with a result: done, and done but disturbed.
USABLE = (0, 2)


@contextmanager
def checkout(base: str) -> Iterator[Path]:
    """Give the folder of a checkout: a path, or a git revision that is checked out for a while.

    Raises:
        click.ClickException: it is neither.
    """
    if Path(base).is_dir():
        yield Path(base).resolve()
        return
    with TemporaryDirectory(prefix="harness-base-") as folder:
        target = Path(folder) / "base"
        made = _git("worktree", "add", "--detach", str(target), base)
        if made.returncode:
            raise click.ClickException(
                f"{base!r} is no folder and no revision: {made.stderr.strip()}"
            )
        try:
            yield target
        finally:
            _git("worktree", "remove", "--force", str(target))


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def measured(tree: Path, words: Sequence[str]) -> dict[str, Any]:
    """Return what ``python -m benchmarks WORDS --json`` says of a checkout's sources.

    Raises:
        click.ClickException: the command failed.
    """
    parts = (tree, tree / "plugins", tree / "baselines")
    with TemporaryDirectory(prefix="harness-compare-") as folder:
        (Path(folder) / "benchmarks").symlink_to(Path(__file__).parent)
        (Path(folder) / "leaderboards").symlink_to(ROOT / "leaderboards")
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", *words, "--json"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, parts))},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode not in USABLE or not done.stdout.strip():
        raise click.ClickException(f"{tree}: {done.stderr.strip()[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def figures(found: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    """Yield the measured numbers of a result with their paths."""
    for key, value in found.items():
        if key in NOT_MEASURED:
            continue
        if isinstance(value, Mapping):
            yield from figures(value, f"{path}{key}: ")
        elif isinstance(value, int | float) and key.endswith(LESS + MORE):
            yield f"{path}{key}", float(value)


def compare(base: str, words: Sequence[str], rounds: int = 2) -> dict[str, Any]:
    """Return the best of the rounds of both checkouts by figure.

    Args:
        base: a folder or a git revision.
        words: a sub-command and its options.
        rounds: of A and B.
    """
    best: dict[str, dict[str, float]] = {}
    with checkout(base) as tree:
        for _ in range(rounds):
            for name, where in (("base", tree), ("here", ROOT)):
                for path, value in figures(measured(where, words)):
                    held = best.setdefault(path, {})
                    better = max if path.endswith(MORE) else min
                    held[name] = better(held.get(name, value), value)
    for held in best.values():
        if len(held) == 2 and held["base"]:
            held["ratio"] = round(held["here"] / held["base"], 4)
    return {"base": base, "words": [*words], "rounds": rounds, "figures": best}


def show(found: Mapping[str, Any]) -> str:
    """Return both checkouts' figures as a table; a ratio below 1 is less in this one."""
    rows = [
        (path, f.get("base"), f.get("here"), f.get("ratio")) for path, f in found["figures"].items()
    ]
    return table(("figure", "base", "here", "here / base"), rows)
