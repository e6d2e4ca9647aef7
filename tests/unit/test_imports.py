"""What each verb imports: what it does not use costs every user seconds, every time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import harness
from harness.cli import cli

TOY = str(Path(__file__).parent / "engine" / "toy_plugin.py")
SHORT = ("training.epochs=1", "training.patience=0")
# Seconds each; torch's compiler brings sympy, torchmetrics scipy.signal and matplotlib.
HEAVY = (
    *("torch", "datasets", "torchmetrics", "pandas", "scipy", "sklearn", "matplotlib"),
    *("omegaconf", "jsonschema", "pyarrow"),
)
OF_A_RUN = ("torch", "omegaconf", "pyarrow")
COMPILER = ("torch._inductor", "torch._dynamo", "sympy")

DATA = """
import numpy as np
from harness.data.corpus import Corpus, SplitArrays
from harness.hookspecs import hookimpl
from harness.specs import DatasetSpec, ModalitySpec

class Made(Corpus):
    reader_version = 1

    def read(self, root, *, repair=False):
        for name in self.spec.splits:
            ids = [name + "0", name + "1"]
            features = {"text": [np.ones((2, 3), np.float32)] * 2}
            yield SplitArrays(name, ids, ids, np.eye(2, dtype=np.uint8), features)

@hookimpl
def harness_datasets():
    text = ModalitySpec("text", "t", 3, 2)
    return [DatasetSpec("made", f"{__name__}:Made", (text,), ("a", "b"), group_key="clip")]
"""
VERB = """
import sys
from harness.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    code = end.code
found = sorted(set({heavy!r}) & set(sys.modules))
sys.exit(f"imported: {{found}}" if found else {ends!r} - code)
"""


def check(arguments: list[str], heavy: tuple[str, ...], ends: int = 0) -> None:
    """Check in a process of its own that a verb imports none of the modules, and how it ends."""
    code = VERB.format(arguments=arguments, heavy=heavy, ends=ends)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "ends"),
    [
        (["--help"], 0),
        (["list"], 0),
        (["list", "metrics"], 0),
        (["plugins"], 0),
        (["runs"], 2),  # the group explains itself
        (["runs", "verify", "--help"], 0),
        (["leaderboard", "--help"], 0),
        (["run", "--help"], 0),
    ],
    ids=str,
)
def test_verbs_that_read_no_data(
    arguments: list[str], ends: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARNESS_PLUGINS", raising=False)
    check(arguments, HEAVY, ends)


def test_a_list_of_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_PLUGINS", raising=False)
    check(["list", "models"], (*HEAVY, "numpy", "harness.launch.processes", "harness.records"))


@pytest.mark.parametrize("name", ["mosi", "ramer"])
def test_show(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_PLUGINS", raising=False)
    check(["show", name], tuple(m for m in HEAVY if m != "omegaconf"))  # presets are configurations


def test_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_PLUGINS", raising=False)
    check(["doctor"], tuple(m for m in HEAVY if m != "pyarrow"))


def test_statistics_of_a_prepared_data_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    plugin = tmp_path / "made.py"
    plugin.write_text(DATA)
    done = CliRunner().invoke(cli, ["data", "prepare", "made", "--plugin", str(plugin)])
    assert done.exit_code == 0, done.output
    arguments = ["data", "stats", "made", "--plugin", str(plugin)]
    check(arguments, tuple(m for m in HEAVY if m != "pyarrow"))


def test_a_finished_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    asked = {"device": "cpu", "plugins": (TOY,), "overrides": SHORT}
    harness.run("toy", "toy", references=False, **asked)  # type: ignore[arg-type]
    code = (
        "import sys\n"
        "from harness.engine.execute import execute\n"
        "from harness.engine.request import RunRequest\n"
        "from harness.plugins import load\n"
        "said = []\n"
        f"request = RunRequest('toy', 'toy', 0, notify=said.append, **{asked!r})\n"
        "execute([request], load(request.plugins), references=False)\n"
        "assert 'already done' in said[-1], said\n"
        f"heavy = {set(HEAVY) - set(OF_A_RUN) | set(COMPILER)!r} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_deterministic_algorithms_are_set_as_torch_sets_them() -> None:
    code = """
import sys
import torch
from harness.conformance import set_deterministic

def state():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        sys.modules["torch._inductor.config"].deterministic,
    )

set_deterministic(True, warn_only=True)
assert "torch._inductor" not in sys.modules
import torch._inductor.config
for enabled, warn_only in [(True, True), (False, False), (True, False)]:
    set_deterministic(enabled, warn_only=warn_only)
    ours = state()
    torch.use_deterministic_algorithms(not enabled)
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
    assert ours == state(), (ours, state())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
