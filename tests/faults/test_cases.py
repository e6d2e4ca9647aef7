"""Inputs that failed once, as a user would give them: each ends as its file ``expect`` says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "cases"
CASES = sorted(p.name for p in HERE.glob("[0-9][0-9]-*"))
# They run a command as another account.
NEED_ROOT = ("54-", "55-")

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a ``.venv`` whose programs are those that run this test."""
    programs = tmp_path_factory.mktemp("checkout") / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, words in (("python", ""), ("harness", "-m harness ")):
        program = programs / name
        program.write_text(
            "#!/usr/bin/env bash\n"
            f'export PYTHONPATH="{os.pathsep.join(p for p in sys.path if p)}:$PYTHONPATH"\n'
            f'exec "{sys.executable}" {words}"$@"\n'
        )
        program.chmod(0o755)
    return programs.parents[1]


@pytest.mark.parametrize("case", CASES)
def test_case(case: str, checkout: Path) -> None:
    if case.startswith(NEED_ROOT) and (os.geteuid() != 0 or shutil.which("setpriv") is None):
        pytest.skip("the case runs a command as another account: it needs root and setpriv")
    done = subprocess.run(
        ["bash", str(HERE / "check.sh"), str(checkout), case.partition("-")[0]],
        capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.stdout.startswith(f"PASS {case}"), done.stdout + done.stderr
