"""Standard streams that are closed, full, of another encoding, or read by somebody who leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
import types
import click
from harness.cli import VERBS, main

@click.command()
@click.option("--lines", default=1)
def speak(lines):
    for _ in range(lines):
        click.echo("\\u2227 caf\\u00e9 " + "x" * 200)
    click.echo("done", err=True)

VERBS["speak"] = ""
sys.modules["harness.cli.speak"] = types.SimpleNamespace(command=speak)
main(["speak", *sys.argv[1:]])
"""


def speak(shell: str, *, lines: int = 1, **environment: str) -> subprocess.CompletedProcess[str]:
    command = f'"$PY" -c "$SCRIPT" --lines {lines} {shell}'
    known = {**os.environ, "PY": sys.executable, "SCRIPT": SCRIPT, **environment}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env=known, capture_output=True, timeout=60, text=True, errors="replace",
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["cp1252", "cp437"])
def test_characters_that_an_encoding_lacks_are_replaced(encoding: str) -> None:
    done = speak("", PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert done.stdout.startswith("?")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_the_output_is_one_sentence() -> None:
    done = speak("> /dev/full", lines=300)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "done",
        "Error: the output cannot be written: no space left on device.",
    ]


def test_a_reader_that_leaves_ends_nothing() -> None:
    done = speak("| head -1", lines=3000, PYTHONUNBUFFERED="1")
    assert done.returncode == 0
    assert done.stderr == "done\n" and done.stdout.count("\n") == 1


@pytest.mark.parametrize("closing", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closing: str, tmp_path: Path) -> None:
    assert speak(closing).returncode == 0


def test_an_error_of_the_harness_itself_is_one_sentence() -> None:
    broken = SCRIPT.replace('click.echo("done", err=True)', "raise KeyError('x')")
    done = subprocess.run(
        [sys.executable, "-c", broken], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "Error: internal error: KeyError: 'x'" in done.stderr
    assert json.dumps(done.stderr).isascii()


def test_a_name_that_is_no_utf8_is_shown_with_escapes() -> None:
    broken = SCRIPT.replace(
        'click.echo("done", err=True)',
        "raise __import__('harness.errors', fromlist=['x']).UsageError('bad \\udce9 name')",
    )
    done = subprocess.run([sys.executable, "-c", broken], capture_output=True, timeout=60)
    assert done.returncode == 2 and b"bad \\udce9 name" in done.stderr
