"""Ctrl-C while torch writes an archive is Ctrl-C, not the RuntimeError of closing that archive."""

from __future__ import annotations

import ast
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import harness
import harness_corpora
from harness.engine import state
from harness.launch.limits import OverLimitError
from harness.paths import storage_errors, unhidden
from harness_corpora.twins import files

ROOMS = (harness, harness_corpora)
CONTENT = {"weights": torch.zeros(300), "more": {"bias": torch.ones(5)}}


class Interrupted(io.BytesIO):
    """A file at whose ``n``-th write an exception arrives, as a signal's handler raises it."""

    def __init__(self, n: int = 3, error: type[BaseException] = KeyboardInterrupt) -> None:
        super().__init__()
        self.left, self.error = n, error

    def write(self, content: Any) -> int:
        self.left -= 1
        if self.left == 0:
            raise self.error
        return super().write(content)


def test_torch_hides_what_ended_it() -> None:
    """What all this is for; once torch no longer does it, `unhidden` can go."""
    with pytest.raises(RuntimeError, match="unexpected pos"):
        torch.save(CONTENT, Interrupted())


@pytest.mark.parametrize("n", range(1, 12))
@pytest.mark.parametrize("error", [KeyboardInterrupt, OverLimitError])
def test_an_interrupt_at_any_write_is_raised(n: int, error: type[BaseException]) -> None:
    for guard in (unhidden(), storage_errors(Path("x"))):
        with pytest.raises(error), guard:
            torch.save(CONTENT, Interrupted(n, error))


def test_other_runtime_errors_stay(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="own"), unhidden():
        raise RuntimeError("own")
    with pytest.raises(RuntimeError, match="own"), storage_errors(tmp_path):
        try:
            raise KeyError("x")
        except KeyError:
            raise RuntimeError("own")  # noqa: B904


def test_a_resume_state_that_is_interrupted_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    folder = tmp_path / "run" / "resume"
    resume = state.ResumeFolder(folder)
    folder.mkdir(parents=True)
    resume.save(state.Progress(1, (), 0, 0.5), model.state_dict(), [optimizer])
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(state, "io", SimpleNamespace(BytesIO=Interrupted))
        resume.save(state.Progress(2, (), 1, 0.6), model.state_dict(), [optimizer])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept
    assert state.ResumeFolder(folder).load() == state.Progress(1, (), 0, 0.5)


def test_a_twin_s_file_that_is_interrupted_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "open", lambda *_: Interrupted())
        files.write_torch(tmp_path / "x.pt", CONTENT)
    assert list(tmp_path.iterdir()) == []


def test_every_torch_save_is_guarded() -> None:
    guarded = found = 0
    for room in ROOMS:
        for path in Path(str(room.__file__)).parent.rglob("*.py"):
            tree = ast.parse(path.read_text())
            found += sum(map(_saves, ast.walk(tree)))
            guarded += sum(
                _saves(node)
                for block in ast.walk(tree)
                if isinstance(block, ast.With)
                and any("unhidden" in ast.dump(item) for item in block.items)
                for node in ast.walk(block)
            )
    assert guarded == found > 0


def _saves(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.save"
