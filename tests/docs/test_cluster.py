"""`docs/cluster.md`: its ten commands, run with the debug executor in the place of a cluster."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.launch.slurm import OPTIONS
from harness.records.store import RunStore

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


def commands() -> list[list[str]]:
    return [shlex.split(line) for line in blocks("sh")[0].splitlines()]


def test_there_are_ten_commands_and_every_option_is_told() -> None:
    words = commands()
    assert len(words) == 10 and words[0][:2] == ["pip", "install"] and words[1][0] == "export"
    assert all(line[0] == "harness" for line in words[2:])
    table = PAGE.read_text().partition("## Options")[2]
    assert {name for name in OPTIONS if f"`{name}`" not in table} == set()


@pytest.mark.full
def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.chdir(tmp_path)
    Path("plan.yaml").write_text(blocks("yaml")[0])
    for _, *words in commands()[2:]:
        if "slurm" in words and "--dry-run" not in words:
            words += ["--launcher-option", "cluster=debug"]
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 0, f"{words}: {result.output}"
        if "slurm" in words and "--dry-run" in words:
            assert "#SBATCH --partition=gpu" in result.output
    made = {(r.model["name"], r.seed) for r in RunStore().all() if r.role == "model"}
    assert made == {(m, s) for m in ("bilstm-lmf", "carat") for s in (0, 1)}
    assert list((tmp_path / "board").iterdir())
