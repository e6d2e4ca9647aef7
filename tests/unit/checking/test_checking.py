"""`harness check NAME`: each check finds the model that breaks it, and no other model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import harness
from harness.checking.checks import CHECKS
from harness.checking.suite import check
from harness.cli import cli
from harness.conformance import AccessWatch
from harness.plugins import Registry, load
from harness.scaffold import named, write

FILE = str(Path(__file__).with_name("saboteurs.py"))
# The rest needs what these saboteurs cannot have: a GPU, an odd Config, a project.
FOUND = [c for c in CHECKS if c not in ("device", "config", "registration")]
LONG = ("outputs", "beats-prior", "access", "growth", "time")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load((FILE,))


def test_a_model_that_keeps_the_contract_passes_every_check(registry: Registry) -> None:
    report = check(registry, "good")
    assert report.ok, str(report)
    assert [o.check for o in report.outcomes] == [*CHECKS]
    skipped = {o.check: o.message for o in report.outcomes if o.status == "skipped"}
    assert set(skipped) <= {"device", "shared-encodings", "registration"}
    assert "shares_encodings" in skipped["shared-encodings"]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.full if n in LONG else ()) for n in FOUND]
)
def test_each_check_finds_its_saboteur(name: str, registry: Registry) -> None:
    (outcome,) = check(registry, name, [name]).outcomes
    assert outcome.status == "failed", outcome
    assert len(outcome.message) > 60 and " data with " in outcome.message


@pytest.mark.full
def test_a_project_that_imports_torch_to_register_is_found(tmp_path: Path) -> None:
    write("model", named("slow-list", ()), tmp_path / "slow-list")
    module = tmp_path / "slow-list/slow_list/__init__.py"
    module.write_text("import torch  # noqa: F401\n" + module.read_text("utf-8"), "utf-8")
    registry = load((str(tmp_path / "slow-list"),))
    (outcome,) = check(registry, "slow-list", ["registration"]).outcomes
    assert outcome.status == "failed" and "it imports torch." in outcome.message


def test_access_of_others_and_imports_are_no_access_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    watch, other = AccessWatch(__name__.partition(".")[0]), AccessWatch("nobody")
    with watch.watching(), other.watching():
        (tmp_path / "x.txt").read_text()
        Path("/proc/self/status").read_text()
        subprocess.run([sys.executable, "-c", ""], check=True)
        sys.audit("socket.getaddrinfo", "a.example", 80)  # what Python tells of a look-up
    (tmp_path / "x.txt").read_text()
    assert other.sentences == []
    told = " ".join(watch.sentences)
    assert f"touches the file {tmp_path / 'x.txt'}" in told and "starts the process" in told
    assert "asks the network for a.example" in told and "/proc" not in told


def test_check_model_takes_a_class_and_reports() -> None:
    class Plain(harness.ModelPlugin):
        """It says little."""

    report = harness.check_model("good", "registration,card", plugins=FILE)
    assert report.ok and [o.check for o in report.outcomes] == ["registration", "card"]
    with pytest.raises(harness.UnknownNameError, match="Did you mean 'facts'"):
        harness.check_model("good", "fact", plugins=FILE)
    with pytest.raises(harness.UsageError, match="one model"):
        harness.check_model("good,facts", plugins=FILE)
    assert harness.check_model(Plain, "card").outcomes[0].status == "failed"


def test_failures_that_the_card_announces_are_no_failures(registry: Registry) -> None:
    excused = check(registry, "excused", ["label-kind"])
    assert excused.ok and excused.outcomes[0].status == "expected"
    assert "on purpose" in str(excused)
    stale = check(registry, "stale", ["facts"])
    assert stale.outcomes[0].status == "unexpected" and "expected_failed_checks" in str(stale)


def test_the_verb_ends_with_1_prints_json_and_refuses_what_does_not_exist() -> None:
    def call(*words: str):  # type: ignore[no-untyped-def]
        return CliRunner().invoke(cli, ["check", *words, "--plugin", FILE])

    done = call("facts", "--only", "facts", "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout[: done.stdout.rindex("}") + 1])
    assert found["ok"] is False and found["checks"][0]["check"] == "facts"
    assert call("good", "--only", "facts").exit_code == 0
    unknown = call("good", "--only", "fact")
    assert unknown.exit_code == 2 and "Did you mean 'facts'" in unknown.output
    assert call().exit_code == 2
    assert call("good", "--dataset", "mosi").exit_code == 2
    assert call("--dataset", "mosi", "--only", "facts").exit_code == 2


@pytest.mark.parametrize(
    "name",
    ["logistic", *(pytest.param(n, marks=pytest.mark.full) for n, e in load().models.items()
               if e.spec.role == "model" and n != "logistic")],
)  # fmt: skip
def test_first_party_models_pass(name: str) -> None:
    report = check(load(), name)
    assert report.ok, str(report)
    assert not [o for o in report.outcomes if o.status == "unexpected"]


def test_pytest_makes_each_check_a_test(tmp_path: Path) -> None:
    asked = ["-p", "harness.checking.collector", "-p", "no:cacheprovider", "-k", "facts::facts"]
    asked += ["--harness-model=facts", f"--harness-plugin={FILE}", "--rootdir", "."]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *asked], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout and "give JSON values" in done.stdout
