"""`harness check NAME`: each check finds the model that breaks it, and no other model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.checking.checks import CHECKS
from harness.checking.suite import check
from harness.cli import cli
from harness.plugins import Registry, load

FILE = str(Path(__file__).with_name("saboteurs.py"))
# The rest needs what a saboteur cannot have: a GPU; a Config that OmegaConf lets through.
FOUND = [c for c in CHECKS if c not in ("device", "config")]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load((FILE,))


def test_a_model_that_keeps_the_contract_passes_every_check(registry: Registry) -> None:
    report = check(registry, "good")
    assert report.ok, str(report)
    assert [o.check for o in report.outcomes] == [*CHECKS]
    skipped = {o.check: o.message for o in report.outcomes if o.status == "skipped"}
    assert set(skipped) <= {"device", "shared-encodings"}
    assert "shares_encodings" in skipped["shared-encodings"]


@pytest.mark.parametrize("name", FOUND)
def test_each_check_finds_its_saboteur(name: str, registry: Registry) -> None:
    (outcome,) = check(registry, name, [name]).outcomes
    assert outcome.status == "failed", outcome
    assert len(outcome.message) > 60 and " data with " in outcome.message


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
