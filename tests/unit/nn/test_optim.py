from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from harness.nn.encoder import BertEncoder, InputNorm
from harness.nn.optim import BertAdam, build_optimizer, decays
from harness.specs import TrainingConfig

RECIPE = TrainingConfig(optimizer="bertadam", lr=0.1, weight_decay=0.01, warmup=0.2)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input_norm = InputNorm(3)
        self.encoder = BertEncoder(
            3, 4, layers=1, heads=2, intermediate=4, max_positions=5, dropout=0.0
        )
        self.lstm = nn.LSTM(3, 2)
        self.scorer = nn.Parameter(torch.ones(2, 4))


def test_what_is_decayed() -> None:
    verdict = {
        f"{place}.{name}".lstrip("."): decays(name, part)
        for place, part in Net().named_modules()
        for name, _ in part.named_parameters(recurse=False)
    }
    assert verdict["input_norm.weight"]
    assert verdict["scorer"]
    assert verdict["encoder.positions.weight"]
    assert verdict["lstm.weight_ih_l0"]
    assert not verdict["lstm.bias_hh_l0"]
    assert not verdict["input_norm.bias"]
    assert not verdict["encoder.norm.weight"]
    assert not verdict["encoder.layers.0.norm.weight"]
    assert not verdict["encoder.layers.0.attention.key.bias"]


def literal_step(p: float, g: float, m: float, v: float, t: int, total: int) -> tuple[float, ...]:
    m, v, x = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g, t / total
    f = x / 0.2 if x < 0.2 else max((x - 1) / (0.2 - 1), 0)
    return p - 0.1 * f * (m / (v**0.5 + 1e-6) + 0.01 * p), m, v


def test_steps_are_the_formula_and_skipped_parameters_keep_their_own_count() -> None:
    a, b = nn.Parameter(torch.tensor([2.0])), nn.Parameter(torch.tensor([-1.0]))
    optimizer = BertAdam([a, b], 0.1, total_steps=6, warmup=0.2, weight_decay=0.01)
    state = {0: [2.0, 0.0, 0.0, 0], 1: [-1.0, 0.0, 0.0, 0]}
    for step in range(8):
        for i, p in enumerate((a, b)):
            skip = i == 1 and step % 2 == 0
            p.grad = None if skip else torch.tensor([0.3 * step - 0.5])
            if not skip:
                value, m, v, t = state[i]
                state[i] = [*literal_step(value, 0.3 * step - 0.5, m, v, int(t), 6), int(t) + 1]
        optimizer.step()
        assert a.item() == pytest.approx(state[0][0], rel=1e-5)
        assert b.item() == pytest.approx(state[1][0], rel=1e-5)


def test_first_step_moves_nothing() -> None:
    net = nn.Linear(2, 2)
    before = net.weight.clone()
    optimizer = build_optimizer(net, RECIPE, 10)
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert torch.equal(net.weight, before)
    optimizer.step()
    assert not torch.equal(net.weight, before)


def run_steps(net: nn.Linear, optimizer: Any, steps: range) -> None:
    for i in steps:
        optimizer.zero_grad()
        net(torch.full((1, 2), float(i + 1))).square().sum().backward()
        optimizer.step()


def test_resumed_state_gives_the_same_bits() -> None:
    torch.manual_seed(0)
    straight = nn.Linear(2, 2)
    broken = nn.Linear(2, 2)
    broken.load_state_dict(straight.state_dict())
    run_steps(straight, build_optimizer(straight, RECIPE, 9), range(8))
    first = build_optimizer(broken, RECIPE, 9)
    run_steps(broken, first, range(4))
    second = build_optimizer(broken, RECIPE, 9)
    second.load_state_dict(first.state_dict())
    run_steps(broken, second, range(4, 8))
    assert torch.equal(straight.weight, broken.weight)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)],
)
def test_named_optimisers(name: Any, kind: type) -> None:
    recipe = replace(RECIPE, optimizer=name, amsgrad=True, momentum=0.5)
    optimizer = build_optimizer(nn.Linear(2, 2), recipe, 10)
    assert type(optimizer) is kind
    assert optimizer.defaults.get("amsgrad", True) is True
    assert optimizer.defaults.get("momentum", 0.5) == 0.5


def test_all_trainable_parameters_are_taken_once() -> None:
    net = Net()
    net.scorer.requires_grad_(False)
    optimizer = build_optimizer(net, RECIPE, 10)
    taken = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(taken) == sorted(id(p) for p in net.parameters() if p.requires_grad)


@pytest.mark.parametrize("bad", [{"total_steps": 0}, {"total_steps": 5, "warmup": 1.0}])
def test_senseless_schedules_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="BertAdam needs"):
        BertAdam([nn.Parameter(torch.ones(1))], 0.1, **bad)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_list_operations_give_the_bits_of_one_parameter_at_a_time(name: Any, amsgrad: bool) -> None:
    recipe = TrainingConfig(
        optimizer=name, lr=0.01, weight_decay=0.1, amsgrad=amsgrad, momentum=0.9
    )
    results = []
    for lists in (True, False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(7, 5), nn.LayerNorm(5), nn.Linear(5, 3))
        optimizer = build_optimizer(model, recipe, 10)
        for group in optimizer.param_groups:
            assert group["foreach"] is True
            group["foreach"] = lists
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.randn(4, 7)).square().sum().backward()
            optimizer.step()
        results.append([p.detach().clone() for p in model.parameters()])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_bertadam_in_portions_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for values in (1, 20, 1 << 16):
        monkeypatch.setattr("harness.nn.optim.CACHED_VALUES", values)
        torch.manual_seed(0)
        parameters = [nn.Parameter(torch.randn(size)) for size in (3, 17, 5, 8)]
        optimizer = BertAdam(parameters, 0.1, total_steps=9)
        for _ in range(3):
            for parameter in parameters:
                parameter.grad = torch.randn_like(parameter)
            optimizer.step()
        found.append(torch.cat([*parameters]).detach())
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[2])
