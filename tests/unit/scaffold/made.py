"""Calls of the command line, and projects that `harness new` wrote."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from harness.cli import cli


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def made(*arguments: str) -> Path:
    """Write a project; return its folder."""
    done = call("new", *arguments)
    assert done.exit_code == 0, done.output
    return Path(arguments[1])
