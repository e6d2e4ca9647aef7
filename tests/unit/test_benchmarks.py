"""``python -m benchmarks`` at tiny sizes: what is counted, and what every sub-command says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torch.nn import functional as F

from benchmarks import measuring, overview, prepare, records, startup, steps
from benchmarks.cli import main
from benchmarks.comparing import figures
from benchmarks.counting import count
from benchmarks.measuring import in_child, spent, table
from benchmarks.settings import settings
from harness.cli import cli

ROOT = Path(__file__).parents[2]


def run(*words: str) -> Any:
    """Return what a sub-command prints as JSON, measured in this process."""
    result = CliRunner().invoke(main, [*words, "--json", "--here"], catch_exceptions=False)
    # 2: disturbed by other work on the machine.
    assert result.exit_code in (0, 2), result.output
    return json.loads(result.stdout)


class _Squared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(a)
        out = a.new_empty(len(a), len(a))
        return torch.mm(a, a.t(), out=out)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        (a,) = ctx.saved_tensors
        return (grad + grad.t()) @ a


def test_products_of_custom_functions_are_counted_forward_and_backward() -> None:
    a = torch.randn(3, 5, requires_grad=True)
    forward, backward = 2 * 3 * 3 * 5, 2 * 3 * 3 * 5

    def both() -> None:
        torch.autograd.backward(_Squared.apply(a).sum())

    assert count(both) == forward + backward
    with torch.no_grad():
        assert count(lambda: _Squared.apply(a)) == forward
        assert count(lambda: a.t() @ a[:, 0]) == 2 * 3 * 5


def test_sums_of_products_are_counted_whatever_they_are_written_into() -> None:
    a, b, out = torch.randn(3, 5), torch.randn(5, 7), torch.zeros(3, 7)
    each = 2 * 3 * 5 * 7
    assert count(lambda: out.addmm_(a, b)) == each
    assert count(lambda: torch.addmm(out, a, b, out=torch.empty(3, 7))) == each
    assert count(lambda: out[None].baddbmm_(a[None], b[None])) == each
    assert count(lambda: out[:, 0].addmv_(a, b[:, 0])) == 2 * 3 * 5


def test_recurrent_layers_and_attention_are_counted_on_a_cpu() -> None:
    lstm = nn.LSTM(4, 6, bidirectional=True, batch_first=True)
    x = torch.randn(2, 7, 4, requires_grad=True)
    forward = 2 * (2 * 2 * 7 * 24 * (4 + 6))
    assert count(lambda: lstm(x)) == forward
    assert count(lambda: torch.autograd.backward(lstm(x)[0].sum())) == 3 * forward
    q = torch.randn(2, 3, 8, 4)
    assert count(lambda: F.scaled_dot_product_attention(q, q, q)) == 2 * (2 * 2 * 3 * 8 * 8 * 4)


def test_every_setting_builds_on_what_its_reference_measured() -> None:
    known = settings()
    assert known["mult/peer"].reference.products == pytest.approx(11.756, abs=1e-3)
    assert known["carat"].reference.products == pytest.approx(87.14, abs=1e-2)
    assert known["carat/nonzero"].reference.target == 5.0
    assert {s.model for s in known.values()} >= {"carat", "tailor", "ramer", "amer", "amp"}


@pytest.mark.parametrize(
    "name",
    [
        "carat/nonzero",
        *(pytest.param(n, marks=pytest.mark.full) for n in ("misa", "amer/batch-32",
                                                            "bilstm-tfn/peer")),
    ],
)  # fmt: skip
def test_steps_of_a_setting(name: str) -> None:
    small = ["--batch", "4", "--length", "6", "--rounds", "2"]
    if name == "carat/nonzero":
        small += ["--preset", "quick"]
    found = run("steps", "--model", name, *small)
    row = found["models"][name]
    assert row["batch"] == 4
    assert row["gflop"] > row["evaluation_gflop"] > 0
    assert row["products"] == pytest.approx(row["step_s"] / row["product_s"], rel=0.2)
    assert 0 < row["limit_share"] < 1.5
    assert row["peak_gb"] >= row["built_gb"] > 0
    assert row["batches"] == (4 if name == "carat/nonzero" else 1)
    assert ("reference" in row) == (name != "misa")
    assert found["machine"]["torch"] == torch.__version__


def test_memory_that_is_given_back_between_two_readings_makes_no_peak_below_its_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    falling = iter(1.743 - 0.001 * i for i in range(100))
    monkeypatch.setattr(measuring, "resident", lambda peak=False: next(falling))
    monkeypatch.setattr(measuring, "SIDE", 32)
    assert measuring.Peak().above() == 0
    found = steps.measure("bilstm-lmf/peer", rounds=1, size={"batch": 4, "length": 6})
    assert found is not None
    row = found["figures"]
    assert row["built_gb"] <= min(row["peak_gb"], row["evaluation_peak_gb"])
    assert row["reference"]["our_peak_gb"] == pytest.approx(row["peak_gb"] - row["built_gb"])
    assert row["reference"]["memory_share"] == 0


def test_where_the_system_does_not_tell_no_memory_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "resident", lambda peak=False: None)
    memory = measuring.Peak()
    assert (memory.start, memory.read(), memory.above()) == (None, None, None)


def test_an_unknown_setting_is_refused() -> None:
    result = CliRunner().invoke(main, ["steps", "--model", "carrot"])
    assert result.exit_code == 2
    assert "no setting 'carrot'; choose from amer;" in result.output


def test_a_table_aligns_its_columns() -> None:
    text = table(("name", "s"), [("a", 1.23456), ("longer", None)])
    assert text.splitlines() == ["name        s", "a       1.235", "longer      -"]


def test_small_configurations() -> None:
    rows = run("small", "--model", "ml-gcn on mosi, paper", "--seconds", "0.01", "--batch", "4")
    row = rows["models"]["ml-gcn on mosi, paper"]
    assert row["batch"] == 4
    assert row["steps_per_second"] == pytest.approx(1e6 / row["step_us"], rel=0.05)


def test_overhead_of_a_step_an_epoch_and_a_run() -> None:
    name = "misa on mosi, quick"
    words = ("--case", name, "--epochs", "2", "--scale", "0.06", "--batch", "16")
    row = run("overhead", *words)["cases"][name]
    assert (row["model"], row["batch"], row["epochs"]) == ("misa", 16, 2)
    assert row["steps"] == int(1283 * 0.06) // 16
    assert row["bare_idle_step_us"] > 0
    assert row["run_ms"] > 0


def test_passes_over_a_store() -> None:
    found = run("store", "--clips", "40", "--length", "6", "--no-start")
    assert found["clips"] == {"train": 40, "valid": 6, "test": 12}
    assert found["epoch"]["ones"]["batches"] == found["epoch"]["nonzero"]["batches"] == 1
    assert found["epoch"]["ones"]["first_batch_ms"] > 0


@pytest.mark.full
def test_the_first_start_prepares() -> None:
    first = run("store", "--clips", "40", "--length", "6", "--preset", "quick")["first"]
    assert first["prepared_s"] > 0
    assert first["very_first_s"] > first["prepared_s"]


def in_process(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, float]:
    """Run a harness command in this process, as `spent` runs it in one of its own."""
    if command[0] == "-m":
        found = CliRunner().invoke(cli, command[2:], env=dict(environment))
        assert found.exit_code == 0, found.output
    return {"cpu_s": 0.5, "wall_s": 0.5, "peak_gb": 0.25}


def test_preparation_of_a_generated_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "spent", in_process)
    found = run("prepare", "--scale", "0.0004")
    assert found["clips"] == 6 + 4 + 4
    assert found["largest_split_gb"] == pytest.approx(6 * 4 * 60 * 409 / 1e9, abs=1e-3)
    assert found["met"] is None


def test_starts_of_verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "spent", in_process)
    words = ("--verb", "list", "--verb", startup.FINISHED, "--rounds", "1")
    rows = run("startup", *words)["verbs"]
    assert rows["list"]["limit"] == 0.5
    assert rows[startup.FINISHED]["limit"] == 1.5
    assert rows[startup.FINISHED]["met"]


def test_boards_of_many_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "spent", in_process)
    found = run("records", "--records", "2", "--rescore", "0", "--no-check")
    assert found["boards"]["2"]["record_ms"] == 250.0
    assert "check_s" not in found["boards"]["2"]


@pytest.mark.full
def test_rescoring_many_runs() -> None:
    assert records.rescored(2)["run_ms"] > 0


def test_masks_and_statistics() -> None:
    found = run("masks", "--samples", "30", "--protocol", "smoke@1")
    assert "random-0.5@1" in found["protocols"]
    assert found["samples"] == 30
    board = run("statistics", "--models", "3", "--samples", "60")
    assert board["pairs_tested"] == 3
    assert board["multiples"] > 0


def test_the_table_has_the_reference_beside_ours() -> None:
    found = run("--part", "bilstm-lmf/peer")
    step = found["rows"][0]
    assert step["what"] == "bilstm-lmf/peer: step"
    assert step["times"] == pytest.approx(step["reference"] / step["ours"], rel=0.01)
    assert step["target"] == ">= 1"
    assert overview.show(found).splitlines()[1].split()[:4] == ["what", "unit", "reference", "ours"]


def test_what_does_not_fit_into_the_time_is_named() -> None:
    result = CliRunner().invoke(main, ["--part", "startup", "--box", "1"], catch_exceptions=False)
    assert result.output.endswith("left out for lack of time (--box): startup\n")


def test_measured_figures_of_a_result_are_told_from_what_is_fixed() -> None:
    row = {"step_s": 2.0, "batch": 64, "reference": {"products": 3.0}, "steps_per_second": 0.5}
    found = dict(figures({"models": {"carat": row}, "machine": {"product": "x"}}))
    assert found == {"models: carat: step_s": 2.0, "models: carat: steps_per_second": 0.5}


@pytest.mark.full
def test_two_checkouts_are_run_in_turn() -> None:
    words = ["masks", "--samples", "10", "--protocol", "full@1", "--compare", str(ROOT), "--json"]
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    found = json.loads(result.stdout)
    figure = found["figures"]["protocols: full@1: masks_ms"]
    assert figure.keys() == {"base", "here", "ratio"}
    assert found["words"] == ["masks", "--samples", "10", "--protocol", "full@1"]


@pytest.mark.full
def test_the_peak_of_a_command_is_its_own() -> None:
    ballast = bytearray(600_000_000)
    found = spent(["-c", "x = bytearray(100_000_000); sum(range(3_000_000))"], {})
    assert len(ballast) > 0
    assert 0.1 < found["peak_gb"] < 0.3
    assert found["cpu_s"] > 0.02


@pytest.mark.full
def test_a_child_measures_under_its_own_environment() -> None:
    own = {"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1"}
    found = in_child("benchmarks.measuring:machine", {}, own)
    assert (found["isa"], found["clock"]) == ("DEFAULT", "process CPU")
