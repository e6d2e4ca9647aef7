"""``python -m benchmarks`` at tiny sizes: what is counted, and what every sub-command says."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torch.nn import functional as F

from benchmarks.cli import main
from benchmarks.counting import count
from benchmarks.measuring import in_child, table
from benchmarks.settings import settings


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


@pytest.mark.parametrize("name", ["misa", "carat/nonzero", "amer/batch-32", "bilstm-tfn/peer"])
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
    assert row["batches"] == (8 if name == "carat/nonzero" else 1)
    assert ("reference" in row) == (name != "misa")
    assert found["machine"]["torch"] == torch.__version__


def test_an_unknown_setting_is_refused() -> None:
    result = CliRunner().invoke(main, ["steps", "--model", "carrot"])
    assert result.exit_code == 2
    assert "no setting 'carrot'; choose from amer," in result.output


def test_a_table_aligns_its_columns() -> None:
    text = table(("name", "s"), [("a", 1.23456), ("longer", None)])
    assert text.splitlines() == ["name        s", "a       1.235", "longer      -"]


@pytest.mark.full
def test_a_child_measures_under_its_own_environment() -> None:
    found = in_child("benchmarks.measuring:machine", {}, {"ATEN_CPU_CAPABILITY": "default"})
    assert (found["isa"], found["clock"]) == ("DEFAULT", "process CPU")
