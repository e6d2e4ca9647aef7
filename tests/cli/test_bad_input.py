"""Whatever a user can get wrong ends in one clear message and its exit code, nothing half-written.

Messages come from real files, options and faults of the machine; only the faults are simulated.
"""

from __future__ import annotations

import argparse
import errno
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets.arrow_writer
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import harness
from harness import paths
from harness.cli import cli
from harness_corpora.mosei import MoseiAligned

WIDTHS = {"text": 300, "visual": 35, "audio": 74}
COUNTS = {"train": 24, "valid": 6, "test": 6}
NAMES = {"happy": 4, "sad": 5, "anger": 6, "surprise": 7, "disgust": 8, "fear": 9}
ALIGNED = "mosei/train_valid_test.pt"
M3ED = "m3ed/features.pkl"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def content() -> dict[str, Any]:
    """Return what is inside an authors' file, with few samples."""
    rng = np.random.default_rng(0)
    data: dict[str, Any] = {
        split: {
            f"src-{m}": rng.normal(size=(n, 60, d)).astype(np.float32) for m, d in WIDTHS.items()
        }
        | {"tgt": [[2, 4 + i % 6, 3] for i in range(n)]}
        for split, n in COUNTS.items()
    }
    specials = {"<blank>": 0, "<unk>": 1, "<s>": 2, "</s>": 3}
    data["dict"] = {"src": None, "tgt": specials | NAMES}
    data["settings"] = argparse.Namespace(max_text_seq_len=60)
    return data


def place(name: str = ALIGNED) -> Path:
    path = paths.data_root() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def save(data: Any) -> Path:
    torch.save(data, place())
    return place()


def kept() -> list[str]:
    """Return the files under HARNESS_HOME, locks aside."""
    home = paths.home()
    files = [p for p in home.rglob("*") if p.is_file() and p.suffix not in (".lock", ".lease")]
    return sorted(str(p.relative_to(home)) for p in files)


def refused(result: Result, code: int, *texts: str) -> None:
    """Check for one message that holds the texts, and the exit code."""
    assert result.exit_code == code, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert f"\n{result.stderr}".count("\nError: ") == 1 and "Traceback" not in result.output
    for text in texts:
        assert text in result.stderr, result.stderr


class Hostile:
    """Asks the unpickler to run a command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def with_nan(data: dict[str, Any]) -> None:
    data["valid"]["src-visual"][2, 3, 4] = np.nan


def with_fewer_labels(data: dict[str, Any]) -> None:
    data["train"]["tgt"] = data["train"]["tgt"][:-1]


def with_empty_split(data: dict[str, Any]) -> None:
    data["test"] = {k: v[:0] for k, v in data["test"].items()}


def without_key(data: dict[str, Any]) -> None:
    del data["train"]["src-audio"]


def with_other_width(data: dict[str, Any]) -> None:
    data["train"]["src-text"] = data["train"]["src-text"][..., :299]


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (with_nan, ("valid", "visual", "NaN")),
        (with_fewer_labels, ("train", "24", "23")),
        (with_empty_split, ("test",)),
        (without_key, ("src-audio",)),
        (with_other_width, ("src-text", "300", "299")),
    ],
)
def test_wrong_content_is_refused_by_key_expected_and_found(
    change: Callable[[dict[str, Any]], None], texts: tuple[str, ...]
) -> None:
    data = content()
    change(data)
    save(data)
    for words in (["data", "prepare", "mosei-aligned"],
                  ["run", "--model", "prior", "--dataset", "mosei-aligned"]):  # fmt: skip
        refused(call(*words), 2, "train_valid_test.pt", *texts)
    assert kept() == []


@pytest.mark.parametrize("damage", ["noise", "truncated", "empty"])
def test_a_broken_file_is_refused(damage: str) -> None:
    path = save(content())
    whole = path.read_bytes()
    noise = np.random.default_rng(1).bytes(5000)
    path.write_bytes({"noise": noise, "truncated": whole[: len(whole) // 2], "empty": b""}[damage])
    refused(call("data", "prepare", "mosei-aligned"), 2, "train_valid_test.pt")
    assert kept() == []


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_a_hostile_pickle_is_refused_by_name_and_not_executed(kind: str, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    bomb = Hostile(marker)
    if kind == "pickle":
        place(M3ED).write_bytes(pickle.dumps([bomb]))
    else:
        torch.save({"train": bomb}, place(), _use_new_zipfile_serialization=kind == "zip")
    result = call("data", "prepare", "m3ed" if kind == "pickle" else "mosei-aligned")
    refused(result, 2, "system")
    assert not marker.exists() and kept() == []


def test_missing_data_says_which_file_is_expected_where() -> None:
    for words in (["data", "prepare", "mosei-aligned"],
                  ["run", "--model", "ramer", "--dataset", "mosei-aligned", "--real"]):  # fmt: skip
        refused(call(*words), 3, str(paths.data_root()), "train_valid_test.pt")
    refused(call("run", "--model", "cc", "--dataset", "music-emotions"), 3, "emotions-train.arff")
    assert kept() == []


RUN = {"--model": "carat", "--dataset": "mosi", "--device": "cpu"}


PLAIN = ("run", "--model", "misa", "--dataset", "mosi")


@pytest.mark.parametrize(
    ("words", "option", "value"),
    [
        (("run", "--dataset", "mosi"), "--model", "misa,,mult"),
        (("run", "--model", "misa"), "--dataset", "mosi,"),
        (PLAIN, "--seeds", "0,,1"),
        (PLAIN, "--seeds", ","),
        (PLAIN, "--dropout", "full, ,core@1"),
        (PLAIN, "--log", "csv,"),
        (("ablate", "--model", "ramer", "--dataset", "mosi"), "--only", ",a"),
        (("runs", "list"), "--model", "misa,,mult"),
    ],
)
def test_a_comma_list_with_an_empty_part_is_refused_in_one_sentence(
    words: tuple[str, ...], option: str, value: str
) -> None:
    done = call(*words, option, value)
    assert done.exit_code == 2 and not paths.runs_dir().exists()
    said = f"Error: {option} {value!r}: a value is missing beside a comma; give it, or no comma.\n"
    assert done.stderr == said


def test_a_comma_list_with_an_empty_part_is_refused_in_python() -> None:
    with pytest.raises(harness.UsageError, match="'0,,1': a value is missing beside a comma"):
        harness.run("misa", "mosi", seeds="0,,1")


@pytest.mark.parametrize(
    ("option", "value", "texts"),
    [
        ("--model", "raner", ("Did you mean 'ramer'",)),
        ("--dataset", "mosei-alinged", ("Did you mean 'mosei-aligned'",)),
        ("--dataset", "mosi-twin", ("mosi-twin",)),
        ("--dropout", "random-2", ("random-2",)),
        ("--dropout", "onyl-t", ("only-",)),
        ("--dropout", "random-seg-0.5", ("no segments",)),
        ("--protocol", "mosi@7", ("mosi@1",)),
        ("--mask", "length", ("length", "ones")),
        ("--preset", "fast", ("fast", "quick")),
        ("--seeds", "0,one", ("whole numbers",)),
        ("--seeds", "-1", ("negative",)),
        ("--device", "tpu", ("tpu",)),
        ("--precision", "fp8", ("bf16",)),
        ("--set", "model.hiden_size=3", ("hiden_size", "hidden_size")),
        ("--set", "training.epochs=many", ("epochs", "many")),
        ("--set", "training.epochs=-2", ("epochs",)),
        ("--set", "epochs=3", ("training",)),
        ("--set", "nonsense", ("nonsense", "=")),
        ("--config", "nowhere.yaml", ("nowhere.yaml",)),
        ("--plugin", "nowhere.py", ("nowhere",)),
        ("--epochs", "3", ("--epochs",)),
    ],
)
def test_a_wrong_option_is_named_with_what_would_be_right(
    option: str, value: str, texts: tuple[str, ...]
) -> None:
    chosen = RUN | {option: value} | ({"--model": "nowhere"} if option == "--plugin" else {})
    refused(call("run", *(w for pair in chosen.items() for w in pair)), 2, *texts)
    assert not [f for f in kept() if f.startswith("runs")]


def test_a_config_file_that_is_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("model: [")
    result = call("run", "--model", "carat", "--dataset", "mosi", "--config",
                  str(tmp_path / "mine.yaml"))  # fmt: skip
    refused(result, 2, "mine.yaml")


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def denied(*_: Any, **__: Any) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


def interrupted(*_: Any, **__: Any) -> Iterator[Any]:
    raise KeyboardInterrupt


PRIOR = ("run", "--model", "prior", "--dataset", "mosi", "--no-reference")


@pytest.fixture
def prepared() -> list[str]:
    """Prepare `mosi`; return the files that makes."""
    assert call("data", "prepare", "mosi").exit_code == 0
    return kept()


def test_full_disk_while_preparing(monkeypatch: pytest.MonkeyPatch) -> None:
    save(content())
    monkeypatch.setattr(datasets.arrow_writer.ArrowWriter, "write_table", full)
    refused(call("data", "prepare", "mosei-aligned"), 2, "the disk is full")
    assert kept() == []


def test_full_disk_while_a_twin_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `torch.save` reports it: a RuntimeError from closing the archive hides the OSError."""

    def fails(*_: Any, **__: Any) -> None:
        try:
            full()
        finally:
            raise RuntimeError("unexpected pos 64 vs 0")

    monkeypatch.setattr(MoseiAligned, "write_twin", fails)
    refused(call("data", "twin", "mosei-aligned"), 2, "the disk is full")
    assert kept() == []


def test_full_disk_while_running(prepared: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        refused(call(*PRIOR), 2, "the disk is full", "HARNESS_HOME")
        assert kept() == prepared
    assert call(*PRIOR).exit_code == 0


def test_home_without_permission(prepared: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "mkstemp", denied)
    monkeypatch.setattr(tempfile, "mkdtemp", denied)
    refused(call(*PRIOR), 2, "permission denied")
    save(content())
    refused(call("data", "prepare", "mosei-aligned"), 2, "permission denied")
    assert kept() == prepared


def test_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(call(*PRIOR, "--home", str(tmp_path / "file" / "sub")), 2, "cannot use")


def test_a_data_file_without_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(content())
    opened = Path.open

    def guarded(self: Path, *args: Any, **kwargs: Any) -> Any:
        return denied() if self == path else opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", guarded)
    refused(call("data", "prepare", "mosei-aligned"), 2, "permission denied", path.name)
    assert kept() == []


def test_interrupted_while_preparing_and_while_running(
    prepared: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save(content())
    with monkeypatch.context() as patch:
        patch.setattr(MoseiAligned, "read", interrupted)
        patch.setattr("harness.engine.run.fit_once", interrupted)
        refused(call("data", "prepare", "mosei-aligned"), 130, "interrupted")
        refused(call(*PRIOR), 130, "Run the same command again")
        assert kept() == prepared
    assert call("data", "prepare", "mosei-aligned").exit_code == 0
    assert call(*PRIOR).exit_code == 0


FAULTY = """
from dataclasses import dataclass
import harness

@dataclass(frozen=True)
class Config:
    size: int = 1

class Faulty(harness.ModelPlugin):
    Config = Config
    iterative = False

    def fit(self, data, ctx):
        raise RuntimeError("the matrix is singular")

    def predict_step(self, batch):
        return batch

@harness.hookimpl
def harness_models():
    about = dict(label_kinds=("multilabel",), modalities=("text",))
    return [harness.ModelSpec("faulty", "faulty:Faulty", "Fails", "", **about)]
"""


def test_one_failing_model_does_not_end_a_grid(tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    words = ["--dataset", "mosi,mosi-video", "--no-reference", "--plugin",
             str(tmp_path / "faulty.py")]  # fmt: skip
    result = call("run", "--model", "faulty,prior", *words)
    refused(result, 1, "2 of 4 runs failed", "faulty on mosi-video, seed 0", "plugin 'faulty'",
            "the matrix is singular (faulty.py, line 14)")  # fmt: skip
    assert "prior" in result.stdout
    # The reason stands where the run ended and in the error that ends the command.
    reason = "the matrix is singular"
    assert result.stdout.count(reason) == 2 and result.stderr.count(reason) == 2
    named = call("run", "--model", "prior,faulty", "--dataset", "mosi,music-emotions", *words[2:])
    refused(named, 2, "'faulty' cannot be run on 'music-emotions'", "needs the modality 'text'")


def test_the_issue_s_command_on_the_authors_file() -> None:
    save(content())
    result = call("run", "--model", "ramer", "--dataset", "mosei-aligned", "--seeds", "0",
                  "--preset", "quick", "--set", "training.epochs=1")  # fmt: skip
    assert result.exit_code == 0, (result.output, result.exception)
    assert "ramer on mosei-aligned, preset 'quick', seed 0." in result.stdout
    assert "twin" not in result.output and "ceiling" not in result.output
    assert "best-constant" in result.stdout
