"""What is committed stays small: no file over 2 MB, all boards together under 40 MB."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
LARGEST = 2_000_000
BOARDS = 40_000_000
# What tools leave in a working tree that git does not track.
_LEFT = {".git", ".venv", "venv", "build", "dist", "shared", "node_modules", "__pycache__"}


def tracked() -> list[Path]:
    """Return the files that git tracks; in an unpacked archive, all that are no tool's."""
    git = shutil.which("git") if (ROOT / ".git").exists() else None
    if git is not None:
        done = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
        if done.returncode == 0:
            names = done.stdout.decode().split("\0")
            return [path for name in names if name and (path := ROOT / name).is_file()]
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and not any(part in _LEFT or part.startswith(".") or part.endswith(".egg-info")
                    for part in path.relative_to(ROOT).parts[:-1])
    ]  # fmt: skip


def test_no_file_is_over_two_megabytes() -> None:
    found = tracked()
    assert ROOT / "pyproject.toml" in found and len(found) > 100
    assert [str(p.relative_to(ROOT)) for p in found if p.stat().st_size > LARGEST] == []


def test_all_boards_together_are_under_forty_megabytes() -> None:
    sizes = [p.stat().st_size for p in (ROOT / "leaderboards").rglob("*") if p.is_file()]
    assert 100_000 < sum(sizes) <= BOARDS
