"""``run --compile``: what is refused, what it computes, and the folder it compiles in."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import harness
from harness import paths
from harness.cli import cli
from harness.engine.compiled import CACHE, check_compilable, compile_cache
from harness.errors import UsageError
from harness.plugins import load

TOY = str(Path(__file__).parent / "toy_plugin.py")


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have steps traced only, which a second suffices for; return where they would compile."""
    seen: list[str] = []
    trace = partial(torch.compile, backend="eager")

    def compile_step(step: Callable[..., Any]) -> Any:
        seen.append(os.environ[CACHE])
        return trace(step)

    monkeypatch.setattr(torch, "compile", compile_step)
    return seen


def one(**options: Any) -> Any:
    sets = ("training.epochs=2", "training.patience=0")
    (record,) = harness.run(
        "toy", "toy", plugins=(TOY,), device="cpu", references=False, overrides=sets, **options
    )
    assert record.status == "ok", record.failure
    return record


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_compiled_run_has_the_numbers_of_a_plain_one(
    traced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    # In this process, where the tracer stands in for the compiler.
    monkeypatch.setattr("harness.launch.processes.run_children", _here)
    plain, compiled = one(), one(compile=True)
    assert traced and all(Path(p).parent == paths.home() / "compiled" for p in traced)
    assert [e["loss"] for e in compiled.epochs] == [e["loss"] for e in plain.epochs]
    assert compiled.id != plain.id and compiled.request["compile"]
    (whole,) = (paths.home() / "compiled").iterdir()
    assert whole.name.startswith("toy-") and os.environ.get(CACHE) not in traced


@pytest.mark.full
def test_the_real_compiler_gives_the_numbers_of_a_plain_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    plain, compiled = one(isolate=True), one(isolate=True, compile=True)
    losses = [[e["loss"] for e in record.epochs] for record in (plain, compiled)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    (whole,) = (paths.home() / "compiled").iterdir()
    assert any(whole.rglob("*.so"))


def _here(works: Any, *_: Any, **__: Any) -> Any:
    from harness.children import Ended
    from harness.launch.worker import perform

    for place, work in enumerate(works):
        yield Ended(place, perform(work.task.as_dict()), True)


def test_a_model_that_is_not_compiled_says_why() -> None:
    spec = replace(load().model("ml-gcn"), not_compiled="its step takes an hour to trace")
    with pytest.raises(UsageError, match="'ml-gcn' is not compiled on a CPU: its step takes"):
        check_compilable(spec, "cpu")
    check_compilable(spec, "cuda")
    check_compilable(load().model("ml-gcn"), "cpu")


def refused() -> list[str]:
    return [name for name, entry in load().models.items() if entry.spec.not_compiled]


def test_the_command_refuses_before_anything_is_trained(tmp_path: Path) -> None:
    name = refused()[0]
    arguments = ["run", "--model", name, "--dataset", "mosi", "--preset", "quick", "--compile"]
    done = CliRunner().invoke(cli, [*arguments, "--no-reference"])
    assert done.exit_code == 2, done.output
    assert (
        f"{name!r} is not compiled on a CPU: " in done.output and "without --compile" in done.output
    )
    assert not list((paths.home() / "runs").glob("*"))
    shown = CliRunner().invoke(cli, ["show", name])
    assert load().model(name).not_compiled[:20] in shown.output


def made(text: str) -> None:
    (Path(os.environ[CACHE]) / "library.so").write_text(text)


def test_what_is_compiled_is_found_again() -> None:
    with compile_cache("toy"):
        made("whole")
    with compile_cache("toy"):
        assert (Path(os.environ[CACHE]) / "library.so").read_text() == "whole"
        made("another run's is not touched by this")
    assert (paths.home() / "compiled" / "toy" / "library.so").read_text() == "whole"


def test_what_a_killed_or_failed_run_left_is_not_used() -> None:
    gone = paths.home() / "compiled" / ".toy.99999999"
    gone.mkdir(parents=True)
    (gone / "library.so").write_text("cut sh")
    with pytest.raises(KeyboardInterrupt), compile_cache("toy"):
        assert not list(Path(os.environ[CACHE]).iterdir())
        made("half")
        raise KeyboardInterrupt
    assert not list((paths.home() / "compiled").iterdir())
    with compile_cache("toy"):
        assert not list(Path(os.environ[CACHE]).iterdir())
