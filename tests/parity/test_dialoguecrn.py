"""DialogueCRN equals the authors' code, on the padded batch and free of padding."""

from __future__ import annotations

import json

import pytest
from torch import Tensor
from torch.nn import functional as F

from harness_baselines.dialoguecrn import ContextualReasoning, DialogueCrnConfig, focal_loss
from tests.parity.dialogue_golden import (
    below,
    check_gradients,
    dialogue_of,
    sizes_of,
    utterances_of,
)
from tests.parity.golden import Golden, assert_close

GOLDEN_MODEL = "dialoguecrn"
PREFIXES = {
    "rnn.": "situation.rnn.",
    "rnn_parties.": "party.recurrent.rnn.",
    "cognition_net.fc.": "fc.",
    "cognition_net.smax_fc.": "output.",
    "cognition_net.reason_modules.0.lstm.": "reasoners.0.cell.",
    "cognition_net.reason_modules.1.lstm.": "reasoners.1.cell.",
}


def our_name(theirs: str) -> str:
    for prefix, ours in PREFIXES.items():
        if theirs.startswith(prefix):
            name = ours + theirs.removeprefix(prefix)
            return name.removesuffix("_l0") if ".cell." in name else name
    raise AssertionError(f"no rule for {theirs}")


def renamed(golden: Golden, prefix: str) -> dict[str, Tensor]:
    return {our_name(k): v for k, v in below(golden, prefix).items()}


def build(golden: Golden, *, packed: bool) -> ContextualReasoning:
    sizes = sizes_of(golden)
    situation, party = json.loads(sizes["reason_steps"])
    config = DialogueCrnConfig(
        hidden=int(sizes["hidden_size"]),
        layers=int(sizes["base_layer"]),
        situation_steps=situation,
        party_steps=party,
        gamma=float(sizes["focal_gamma"]),
        dropout=0.0,
        packed=packed,
    )
    network = ContextualReasoning(config, int(sizes["input_size"]), int(sizes["n_classes"]))
    network.double().load_state_dict(renamed(golden, "param"), strict=True)
    return network


@pytest.mark.parametrize("form", ["packed", "padded"])
def test_answers_loss_and_gradients(golden: Golden, form: str) -> None:
    network, dialogue = build(golden, packed=form == "packed"), dialogue_of(golden)
    logits = network(utterances_of(golden), dialogue)[dialogue.real]
    assert_close("log p", logits.log_softmax(-1), golden[f"{form}.log_prob"])
    labels = F.one_hot(golden["input.labels"], logits.shape[1]).double()
    loss = focal_loss(logits, labels, network.config.gamma, "singlelabel")
    assert_close("loss", loss[None], golden[f"{form}.loss"])
    check_gradients(network, loss, renamed(golden, f"{form}.grad"))
