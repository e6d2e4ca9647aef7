"""The command line: light start, one clear message for a mistake, documented exit codes."""

from __future__ import annotations

import inspect
import json
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import harness
from harness import paths
from harness.cli import VERBS, cli
from harness.cli.run import models_asked
from harness.engine.request import OPTIONS, RunRequest, silent
from harness.errors import DataMissingError
from harness.plugins import Registry, load, registry
from harness.records.record import RunRecord
from harness.records.store import RunStore
from tests.unit.boards.made import record

PLUGIN = """
import click
from harness.hookspecs import hookimpl
from harness.specs import DatasetSpec, ModalitySpec, ModelSpec

@hookimpl
def harness_models():
    about = ("None at all.",)
    return [ModelSpec(n, "mine:M", "made", "", deviations=about) for n in ("one", "two")]

@hookimpl
def harness_datasets():
    return [DatasetSpec("fake", "mine:C", (ModalitySpec("text", "t", 1, 1),), ("a", "b"))]
"""


@pytest.fixture(autouse=True)
def own_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_roots", {})
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(PLUGIN)
    return str(tmp_path / "mine.py")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


@pytest.mark.parametrize("verb", [v for v in VERBS if v != "data"])
def test_every_verb_explains_itself_with_examples(verb: str) -> None:
    result = call(verb, "--help")
    assert result.exit_code == 0 and f"Examples:\n    harness {verb}" in result.output


def test_help_imports_no_verb() -> None:
    code = (
        "import sys\nfrom harness.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n"
        "    found = [m for m in sys.modules if m.startswith('harness.cli.')]\n"
        "    found.remove('harness.cli.streams')\n"
        "    sys.exit(str(found) if found else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(verb in done.stdout for verb in VERBS)


def test_unknown_verb_and_option_are_suggested() -> None:
    verb = call("leaderbord")
    assert verb.exit_code == 2 and "Did you mean 'leaderboard'" in verb.output
    option = call("list", "--jsn")
    assert option.exit_code == 2 and "--json" in option.output


def test_list_and_show(plugin: str) -> None:
    listed = call("list", "--plugin", plugin, "--json")
    found = json.loads(listed.stdout)
    assert [m["name"] for m in found["models"]] == ["one", "two"]
    assert found["datasets"][0]["protocol"] == "fake@1"
    assert any(s["name"] == "core@1" for s in found["suites"])
    assert "micro_f1" in {m["name"] for m in found["metrics"]}
    shown = call("show", "one", "--plugin", plugin)
    assert shown.exit_code == 0 and "None at all." in shown.output and "mine" in shown.output
    assert "parameters: no finished run here; --parameters DATASET counts them" in shown.output
    assert "key t, 1 features" in call("show", "fake", "--plugin", plugin).output
    missed = call("show", "onne", "--plugin", plugin)
    assert missed.exit_code == 2 and "Did you mean 'one'" in missed.output
    assert "Traceback" not in missed.output


@pytest.fixture
def misspelt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a plugin whose hook is misspelt."""
    text = PLUGIN.replace("def harness_models", "def harness_modles")
    (tmp_path / "theirs.py").write_text(text.replace('"fake"', '"other"'))
    monkeypatch.syspath_prepend(str(tmp_path))
    found = [EntryPoint("theirs", "theirs", "harness")]
    monkeypatch.setattr(registry, "entry_points", lambda group: found)
    monkeypatch.setenv("HARNESS_PLUGINS", "theirs")
    registry._load.cache_clear()


def test_checks_are_listed_with_what_they_mean() -> None:
    """By themselves: to read them imports torch, for which a list of everything does not wait."""
    from harness.checking.checks import CHECKS

    rows = json.loads(call("list", "checks", "--json").stdout)["checks"]
    assert [row["name"] for row in rows] == [*CHECKS] and all(row["meaning"] for row in rows)
    assert "checks" not in json.loads(call("list", "--json").stdout)


@pytest.mark.usefixtures("misspelt")
def test_plugins_lists_the_broken_with_reason(plugin: str) -> None:
    loose = call("plugins", "--plugin", plugin)
    assert loose.exit_code == 0 and "'harness_models'" in loose.output
    strict = call("plugins", "--plugin", plugin, "--strict", "--json")
    assert strict.exit_code == 1
    assert json.loads(strict.stdout)["broken"][0]["plugin"] == "theirs"


CARD_FAULTS = {
    "gone": None,
    "a folder": "",
    "no yaml": "a: [",
    "no mapping": "- a",
    "no text": b"\xff\xfe\x00",
    "nested": "[" * 5000,
    "search": "search: {sequence: {steps: 3}}",
    "search is a list": "search: [1]",
}


@pytest.mark.parametrize("fault", CARD_FAULTS)
def test_a_card_that_cannot_be_read_takes_no_listing_down(tmp_path: Path, fault: str) -> None:
    text = "from harness import ModelSpec, hookimpl\n@hookimpl\ndef harness_models():\n"
    text += "    return [ModelSpec(n, 'm:C', '', f'{__name__}:{n}.yaml')"
    text += " for n in ('good', 'bad')]\n"
    (tmp_path / "cards.py").write_text(text)
    search = {"data": {"name": "d"}, "steps": 1, "score": 0.5, "date": "", "values": {}}
    good = {"search": {"sequence": {**search, "trials": []}}}
    (tmp_path / "good.yaml").write_text(json.dumps(good))
    card, content = tmp_path / "bad.yaml", CARD_FAULTS[fault]
    if content == "":
        card.mkdir()
    elif content is not None:
        card.write_bytes(content if isinstance(content, bytes) else content.encode())
    words = ("--plugin", str(tmp_path / "cards.py"))
    assert {"good", "bad"} <= set(call("list", "models", *words).output.split())
    done = call("plugins", *words, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    (broken,) = found["broken"]
    assert (broken["name"], broken["plugin"]) == ("bad", "cards") and "bad.yaml" in broken["reason"]
    assert [one["model"] for one in found["searches"]] == ["good"]
    assert call("plugins", *words).exit_code == 0
    assert call("plugins", *words, "--strict").exit_code == 1


class FakeRun:
    """Stands for `execute`: remembers what it was asked, stores the given records.

    It is called in a process of the run's own, hence remembers in a file.
    """

    def __init__(self, make: Any) -> None:
        self.make = make

    def __call__(
        self, requests: Sequence[RunRequest], registry: Registry, **options: Any
    ) -> list[RunRecord]:
        with self.memory.open("ab") as stream:
            pickle.dump(([replace(r, notify=silent) for r in requests], options), stream)
        requests[0].notify(f"using {requests[0].dataset}")
        made = [self.make(request.model, request.seed) for request in requests]
        for one in made:
            RunStore().write(one)
        return made

    @property
    def memory(self) -> Path:
        """Return the file."""
        paths.home().mkdir(exist_ok=True)
        return paths.home() / "asked"

    @property
    def asked(self) -> list[tuple[list[RunRequest], dict[str, Any]]]:
        """Return the calls so far."""
        with self.memory.open("rb") as stream:
            return [*iter(lambda: pickle.load(stream) if stream.peek(1) else None, None)]


EXECUTE = "harness.engine.execute.execute"


def test_run_passes_everything_on_and_shows_the_board(
    plugin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeRun(lambda model, seed: record(model, seed, 0.4 + 0.1 * seed))
    monkeypatch.setattr(EXECUTE, fake)
    result = call(
        "run", "--model", "one,two", "--dataset", "fake", "--seeds", "0,1,2", "--plugin", plugin,
        "--protocol", "fake@1", "--mask", "ones", "--dropout", "core@1,only-t", "--set",
        "training.lr=1e-3", "--train-dropout", "train-mix@1", "--no-reference", "--real",
        "--jobs", "1",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    requests = [request for (request,), _ in fake.asked]
    assert [(r.model, r.dataset, r.seed) for r in requests] == [
        (model, "fake", seed) for model in ("one", "two") for seed in (0, 1, 2)
    ]
    assert requests[0] == RunRequest(
        "one", "fake", protocol="fake@1", mask="ones", dropout=("core@1", "only-t"),
        train_dropout="train-mix@1", overrides=("training.lr=1e-3",), real=True,
        plugins=(plugin,), isolated=True,
    )  # fmt: skip
    options = [options for _, options in fake.asked]
    assert not any(o["references"] for o in options)
    assert [o["announced"] for o in options] == [[0, 1, 2], [], []] * 2
    assert result.output.startswith("using fake\n")
    assert "[6/6] two on fake, seed 2: tuned micro_f1 0.6000" in result.output
    assert "0.5000 ± 0.1000" in result.output and "record.json" in result.output


@pytest.mark.parametrize(
    ("verb", "protocol", "text"),
    [
        ("run", "random-0.3@1", "this is a dropout protocol"),
        ("run", "core@1", "give it as --dropout core@1"),
        ("ablate", "length", "given as --mask length"),
        ("run", "fake@1+ones", "given as --mask ones (and --protocol fake@1)"),
    ],
)
def test_an_old_spelling_is_an_error_that_names_the_new_one(
    plugin: str, verb: str, protocol: str, text: str
) -> None:
    asked = [verb, "--model", "one", "--dataset", "fake", "--plugin", plugin]
    result = call(*asked, "--protocol", protocol)
    assert result.exit_code == 2 and text in result.output


def test_a_request_declares_what_the_python_interface_takes() -> None:
    taken = inspect.signature(harness.run).parameters
    assert set(OPTIONS) <= set(taken)


def test_all_leaves_out_what_does_not_fit_and_says_so(
    plugin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path(plugin).read_text()
    spec = 'ModelSpec("deaf", "mine:M", "made", "", modalities=("audio",))'
    Path(plugin).write_text(text.replace("return [ModelSpec(n", f"return [{spec}, *(ModelSpec(n")
                            .replace('("one", "two")]', '("one", "two"))]'))  # fmt: skip
    fake = FakeRun(lambda model, seed: record(model, seed))
    monkeypatch.setattr(EXECUTE, fake)
    result = call("run", "--model", "all", "--dataset", "fake", "--plugin", plugin)
    assert result.exit_code == 0, result.output
    assert [requests[0].model for requests, _ in fake.asked] == ["one", "two"]
    assert "deaf is left out on fake: it needs the modality 'audio'" in result.stdout
    named = call("run", "--model", "one,deaf", "--dataset", "fake", "--plugin", plugin)
    assert named.exit_code == 2 and "'deaf' cannot be run on 'fake'" in named.stderr
    assert len(fake.asked) == 2


def test_show_counts_parameters_of_records_or_on_request(
    plugin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunStore().write(record("one"))
    shown = json.loads(call("show", "one", "--plugin", plugin, "--json").stdout)
    assert shown["parameters"] == {"fake, preset paper": record("one").parameters}
    monkeypatch.delenv("HARNESS_PLUGINS")
    counted = json.loads(call("show", "carat", "--parameters", "mosei-aligned", "--json").stdout)
    sizes = counted["parameters"]
    assert 0 < sizes["mosei-aligned, preset quick"] < sizes["mosei-aligned, preset paper"]
    assert call("show", "mosei-aligned", "--parameters", "mosi").exit_code == 2


def test_run_json_holds_records_with_paths(plugin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EXECUTE, FakeRun(lambda model, seed: record(model, seed)))
    result = call("run", "--model", "one", "--dataset", "fake", "--plugin", plugin, "--json")
    (found,) = json.loads(result.stdout)
    assert found["seed"] == 0 and found["predictions"].endswith("predictions.parquet")
    assert Path(found["record"]).is_file() and "using fake" in result.stderr


def test_a_failed_run_is_shown_and_ends_with_1(
    plugin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunStore().write(record("two", 7, None))
    fake = FakeRun(lambda model, seed: record(model, seed, None if seed else 0.5))
    monkeypatch.setattr(EXECUTE, fake)
    arguments = ["run", "--model", "one", "--dataset", "fake", "--plugin", plugin, "--seeds", "0,1"]
    result = call(*arguments)
    assert result.exit_code == 1
    assert "1 of 2 runs failed:\n  one on fake, seed 1" in result.stderr
    assert "Failed:" not in result.stdout  # the error says it
    assert "two" not in result.output  # that of another command


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (DataMissingError("no file; put it there."), 3, "Error: no file; put it there."),
        (KeyboardInterrupt(), 130, "Run the same command again"),
    ],
)
def test_errors_end_in_one_message_and_their_code(
    plugin: str, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, text: str
) -> None:
    def fail(*_: Any, **__: Any) -> list[RunRecord]:
        raise error

    monkeypatch.setattr(EXECUTE, fail)
    result = call("run", "--model", "one", "--dataset", "fake", "--plugin", plugin)
    assert result.exit_code == code
    assert result.output.count(text) == 1 and "Traceback" not in result.output


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (("--model", "onee"), "Did you mean 'one'"),
        (("--dataset", "fak"), "Did you mean 'fake'"),
        (("--seeds", "0,x"), "whole numbers"),
        (("--mask", "some"), "nonzero"),
    ],
)
def test_wrong_input_to_run(plugin: str, changed: tuple[str, str], text: str) -> None:
    options = {"--model": "one", "--dataset": "fake", "--plugin": plugin} | dict([changed])
    result = call("run", *(word for pair in options.items() for word in pair))
    assert result.exit_code == 2 and text in result.stderr


def test_doctor_fails_where_home_cannot_be_written(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    fine = call("doctor", "--json")
    checks = {c["what"]: c["state"] for c in json.loads(fine.stdout)}
    assert checks["HARNESS_HOME"] == "ok" and checks["torch"] == "ok" and fine.exit_code == 0
    (tmp_path / "file").write_text("")
    assert checks["scikit-learn"] == checks["matplotlib"] == "ok"
    request.getfixturevalue("misspelt")
    broken = call("doctor", "--home", str(tmp_path / "file" / "sub"))
    assert broken.exit_code == 1
    assert "HARNESS_HOME" in broken.stderr and "plugin theirs" in broken.stderr


def test_all_leaves_models_made_for_grids_out_on_sequences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HARNESS_PLUGINS", raising=False)
    registry = load()
    left_out: list[str] = []
    chosen = models_asked(registry, "all", registry.dataset("mosei-aligned"), left_out, False)
    assert {"ramer", "ramer-public", "tailor", "cc"} <= set(chosen) and "amer" not in chosen
    assert any(line.startswith("amer is left out on mosei-aligned") for line in left_out)
    assert "amer" in models_asked(registry, "all", registry.dataset("memor-fine"), [], False)
    assert models_asked(registry, "amer", registry.dataset("m3ed"), [], False) == ["amer"]
