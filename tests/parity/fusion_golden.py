"""What the golden files of TFN and LMF have in common: names of tensors, sizes, sub-networks."""

from __future__ import annotations

import json

import torch
from safetensors import safe_open
from torch import Tensor, nn

from harness_baselines.fusion_subnets import TextSubnet, VectorSubnet
from tests.parity.golden import Golden, assert_close


def sizes_of(golden: Golden) -> dict[str, str]:
    with safe_open(golden.path, "pt") as file:
        return dict(file.metadata())


def below(golden: Golden, prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    found = {k.removeprefix(start): v for k, v in golden.tensors.items() if k.startswith(start)}
    return {k: v.double() if v.is_floating_point() else v for k, v in found.items()}


class Subnets(nn.Module):
    """The three sub-networks in double precision, loaded."""

    def __init__(self, golden: Golden) -> None:
        super().__init__()
        sizes = sizes_of(golden)
        d_text, d_audio, d_video = json.loads(sizes["feature_dims_text_audio_video"])
        h_text, h_audio, h_video = json.loads(sizes["hidden_dims_text_audio_video"])
        self.dims = [h_audio, h_video, int(sizes["text_out"])]
        self.audio_subnet = VectorSubnet(d_audio, h_audio, 0.0)
        self.video_subnet = VectorSubnet(d_video, h_video, 0.0)
        self.text_subnet = TextSubnet(d_text, h_text, self.dims[2], 0.0)
        state = {subnet_name(k): v for k, v in below(golden, "param").items() if "_subnet." in k}
        self.double().load_state_dict(state, strict=True)

    def forward(self, golden: Golden) -> list[Tensor]:
        text = golden["input.text"].double()
        last = torch.full((len(text),), text.shape[1] - 1)
        return [
            self.audio_subnet(golden["input.audio"].double()),
            self.video_subnet(golden["input.video"].double()),
            self.text_subnet(text, last),
        ]


def subnet_name(theirs: str) -> str:
    if theirs.startswith("text_subnet"):
        return theirs
    for i in (1, 2, 3):
        theirs = theirs.replace(f"linear_{i}.", f"linears.{i - 1}.")
    return theirs


def check_vectors(golden: Golden, vectors: list[Tensor]) -> None:
    for name, found in zip(("audio", "video", "text"), vectors, strict=True):
        assert_close(name, found, golden[f"output.{name}_h"])
