"""Every model computes the stored golden numbers, and a change of what it computes is noticed."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.nn import task_loss
from tests import golden_numbers
from tests.golden_numbers import (
    FOLDER,
    REMEDY,
    all_cases,
    differences,
    kept_case,
    moved,
    places,
    stored,
    values,
    write,
)

ROOT = Path(__file__).parents[2]
EIGHT = [
    -0.3180227279663086,
    0.7485487461090088,
    0.2507450580596924,
    0.011519670486450195,
    -0.08666014671325684,
    -0.8136441707611084,
    0.5222220420837402,
    0.387434720993042,
]


@pytest.mark.parametrize(("name", "layout"), all_cases())
def test_numbers_are_the_stored_ones(name: str, layout: str) -> None:
    assert layout in stored(name), f"write them: python -m tests.golden_numbers {name}"
    lines = moved(name, layout)
    assert not lines, "\n".join([*lines, REMEDY])


def test_no_file_is_left_of_a_model_that_is_gone() -> None:
    kinds = {(p.stem, k) for p in FOLDER.glob("*.json") for k in json.loads(p.read_text("utf-8"))}
    assert {k for k in kinds if k[1] != "result_version"} == set(all_cases())


def test_values_are_fixed_numbers() -> None:
    """By arithmetic on integers: the first eight of one stream, their range and their mean."""
    x = values("text", 2, 4)
    assert x.flatten().tolist() == EIGHT
    many = values("many", 10_000)
    assert many.min() >= -1 and many.max() < 1 and abs(many.mean()) < 0.02
    assert many.std().item() == pytest.approx(1 / 3**0.5, abs=0.01)


def test_a_change_of_a_shared_block_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = task_loss.F.binary_cross_entropy_with_logits
    monkeypatch.setattr(
        task_loss.F,
        "binary_cross_entropy_with_logits",
        lambda x, y, **options: 1.001 * plain(x, y, **options),
    )
    lines = moved("ml-gcn", "sequence")
    assert any("loss of step 1" in line for line in lines)
    assert any("first gradient" in line for line in lines)
    assert not any("scores" in line for line in lines)


def test_a_change_of_initial_values_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = torch.nn.init.kaiming_uniform_
    monkeypatch.setattr(
        torch.nn.init, "kaiming_uniform_", lambda w, **options: plain(w, **options).data.mul_(2)
    )
    lines = moved("mdl", "grid")
    assert lines and all("initial spread" in line or line.endswith(" more") for line in lines)


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "scores": lambda n: n["scores"][2].__setitem__(1, n["scores"][2][1] + 2e-4),
    "loss of step 2": lambda n: n["losses"].__setitem__(1, n["losses"][1] * 1.01),
    "norm of the first gradient": lambda n: _largest(n).__setitem__(1, _largest(n)[1] * 1.001),
    "first gradient None": lambda n: _largest(n).__setitem__(1, None),
    "only stored": lambda n: n["parameters"].pop(next(iter(n["parameters"]))),
    "kinds of numbers": lambda n: n.pop("losses"),
}


def _largest(numbers: dict[str, Any]) -> list[Any]:
    return max(numbers["parameters"].values(), key=lambda pair: pair[1])


@pytest.mark.parametrize("kind", CHANGES)
def test_each_kind_of_difference_is_named(kind: str) -> None:
    _, kept = kept_case("mdl", "grid")
    found = copy.deepcopy(kept)
    CHANGES[kind](found)
    (line,) = differences(found, kept)
    assert kind in line
    assert not list(differences(kept, kept))


def test_moved_numbers_are_written_under_a_higher_version_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden_numbers, "FOLDER", tmp_path)
    assert write("mdl") == []
    path = tmp_path / "mdl.json"
    numbers = json.loads(path.read_text("utf-8"))
    numbers["grid"]["losses"][0] += 1
    path.write_text(json.dumps(numbers), "utf-8")
    with pytest.raises(SystemExit, match="raise RESULT_VERSION"):
        write("mdl")
    assert json.loads(path.read_text("utf-8")) == numbers
    (line,) = write("mdl", own_code=True)
    assert line.startswith("mdl on grid: loss of step 1")
    path.write_text(json.dumps(numbers | {"result_version": -1}), "utf-8")
    assert write("mdl") == [line]
    assert write("mdl") == []


def test_a_renamed_parameter_keeps_its_place() -> None:
    pairs = [("a", torch.zeros(2, 3)), ("b", torch.zeros(2, 3)), ("c", torch.zeros(()))]
    assert places(pairs) == {"a": "2x3#0", "b": "2x3#1", "c": "#0"}
    renamed = [("x", pairs[0][1]), ("z", pairs[2][1]), ("y", pairs[1][1])]
    assert places(renamed) == {"x": "2x3#0", "z": "#0", "y": "2x3#1"}


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(SystemExit, match="unknown: nothing"):
        golden_numbers.main(["nothing"])


@pytest.mark.full
@pytest.mark.parametrize("kernel", ["Haswell", "Nehalem"])
@pytest.mark.parametrize("capability", ["default", "avx2"])
@pytest.mark.parametrize("threads", ["1", "2"])
def test_numbers_depend_on_no_kernel_and_no_number_of_threads(
    kernel: str, capability: str, threads: str
) -> None:
    """In a process each: libraries choose their kernels when they are loaded."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden_numbers", "--check"],
        cwd=ROOT,
        env=os.environ
        | {
            "OPENBLAS_CORETYPE": kernel,
            "ATEN_CPU_CAPABILITY": capability,
            "OMP_NUM_THREADS": threads,
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
