"""What the golden files of the dialogue models have in common: their dialogues and losses."""

from __future__ import annotations

import json

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from harness_baselines.dialogue import Dialogue
from tests.parity.golden import Golden, assert_relative


def sizes_of(golden: Golden) -> dict[str, str]:
    with safe_open(golden.path, "pt") as file:
        return dict(file.metadata())


def below(golden: Golden, prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    found = {k.removeprefix(start): v for k, v in golden.tensors.items() if k.startswith(start)}
    return {k: v.double() for k, v in found.items()}


def dialogue_of(golden: Golden) -> Dialogue:
    lengths = torch.tensor(json.loads(sizes_of(golden)["lengths"]))
    positions = torch.arange(int(lengths.max()))
    real = positions < lengths[:, None]
    if "input.speaker" in golden.tensors:
        speaker = golden["input.speaker"]
    else:
        speaker = golden["input.qmask"].argmax(dim=2).t()
    speaker = torch.where(real, speaker, 0)
    segment = positions.expand(real.shape)
    parties = int(sizes_of(golden)["n_speakers"])
    return Dialogue(real, lengths, speaker, speaker, segment, parties)


def utterances_of(golden: Golden) -> Tensor:
    if "input.x" in golden.tensors:
        return golden["input.x"].double()
    return golden["input.U"].double().transpose(0, 1)


def check_gradients(model: nn.Module, loss: Tensor, wanted: dict[str, Tensor]) -> None:
    """Compare gradients given under our names."""
    assert wanted
    loss.backward()
    parameters = dict(model.named_parameters())
    for name, value in wanted.items():
        grad = parameters[name].grad
        assert grad is not None, name
        assert_relative(name, grad, value)


def negative_log_likelihood(logits: Tensor, golden: Golden) -> Tensor:
    """Return the mean over utterances, [1], of logits [ΣL, C]."""
    return F.cross_entropy(logits, golden["input.labels"])[None]
