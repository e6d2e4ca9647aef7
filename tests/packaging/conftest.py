"""The wheel of the tree, and environments in which it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Folders that a build from a working tree would carry along or be misled by.
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist", ".*", "tests")
BUILD = ("-m", "build", "--no-isolation", "--outdir")


def built(source: Path, out: Path, *kinds: str) -> None:
    """Build distributions of a folder, without network: no isolation, no dependencies."""
    command = [sys.executable, *BUILD, str(out), *kinds, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clean copy of what a distribution is built from."""
    source = tmp_path_factory.mktemp("source") / "tree"
    source.mkdir()
    for name in ("harness", "plugins", "baselines"):
        shutil.copytree(ROOT / name, source / name, ignore=IGNORED)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source / name)
    return source


@pytest.fixture(scope="session")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    built(tree, out, "--wheel")
    (made,) = out.glob("*.whl")
    return made


@dataclass(frozen=True)
class Environment:
    """An environment of its own, and an empty folder in which commands are called."""

    folder: Path

    @property
    def packages(self) -> Path:
        (found,) = (self.folder / "env/lib").glob("python*/site-packages")
        return found

    def call(self, *command: str | Path) -> str:
        """Call a program of the environment; return what it prints."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HARNESS"))}
        env["HARNESS_HOME"] = str(self.folder / "home")
        env["HARNESS_DATA"] = str(self.folder / "data")
        program = self.folder / "env/bin" / command[0]
        words = [program if program.exists() else command[0], *command[1:]]
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        done = subprocess.run([*map(str, words)], cwd=work, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout


def environment(folder: Path, *wheels: Path) -> Environment:
    """Return an environment with these wheels alone; dependencies come from behind them.

    The wheels win over what the environment of the tests has.
    """
    made = Environment(folder)
    made.call(sys.executable, "-m", "venv", "--without-pip", folder / "env")
    pip = (sys.executable, "-m", "pip", "--python", folder / "env/bin/python", "install")
    made.call(*pip, "--no-index", "--no-deps", *wheels)
    behind = sysconfig.get_paths()["purelib"]
    (made.packages / "behind.pth").write_text(behind + "\n")
    return made
