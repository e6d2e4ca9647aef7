"""HHMPN equals the authors' code, with its quirks and without: stages, loss, gradients, steps."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.specs import ModalitySpec, TaskInfo, TrainingConfig
from harness_baselines.hhmpn import Hhmpn, HhmpnConfig
from harness_baselines.hhmpn_labels import label_graph
from tests.parity.golden import Golden, assert_close, assert_relative
from tests.parity.test_mult import INDEX, encoder_name

GOLDEN_MODEL = "hhmpn"
NAMES = ("text", "audio", "vision")
SLOTS = {"text": 0, "audio": 1, "visual": 2}
ATTENTION = {"w_qs": "query", "w_ks": "key", "w_vs": "value", "fc": "output", "layer_norm": "norm"}
FORWARD = {"w_1": "expand", "w_2": "contract", "layer_norm": "norm"}
BLOCKS = {
    "enc_attn": ("from_features", ATTENTION),
    "slf_attn": ("from_labels", ATTENTION),
    "pos_ffn1": ("first", FORWARD),
    "pos_ffn2": ("second", FORWARD),
}
RULES = (
    (r"decoder\.tgt_word_emb\.weight", "labels"),
    (r"tgt_word_proj\.linear\.weight", "readout.weight"),
    (r"decoder\.multi_angle_fus\.out_put\.(\w+)", r"fusion.output.\1"),
    (r"decoder\.multi_angle_fus\.get_score_1\.(\w+)", r"fusion.score.0.\1"),
    (r"decoder\.multi_angle_fus\.get_score_2\.(\w+)", r"fusion.score.1.\1"),
)
ANGLES = {"1": 0, "2": 2, "3": 1}


def our_name(theirs: str) -> str:
    for pattern, ours in RULES:
        if match := re.fullmatch(pattern, theirs):
            return match.expand(ours)
    if match := re.fullmatch(r"decoder\.multi_angle_fus\.get_angle_(\d)\.(\w+)", theirs):
        return f"fusion.maps.{ANGLES[match[1]]}.{match[2]}"
    if match := re.fullmatch(r"decoder\.layer_(\w+)_stack\.(\d+)\.(\w+)\.(\w+)\.(\w+)", theirs):
        slot, layer, block, part, kind = match.groups()
        ours, parts = BLOCKS[block]
        return f"decoders.{SLOTS[slot]}.{layer}.{ours}.{parts[part]}.{kind}"
    inner = theirs.removeprefix("encoder.mult.")
    if name := encoder_name(inner):
        return name
    if match := re.fullmatch(r"align_([lav])\.(\w+)", inner):
        return f"inputs.{INDEX[match[1]]}.{match[2]}"
    if match := re.fullmatch(r"trans_([lav])([12])\.(\w+)", inner):
        return f"heads.{INDEX[match[1]]}.{0 if match[2] == '1' else 2}.{match[3]}"
    if match := re.fullmatch(r"out_layer_([lav])\.(\w+)", inner):
        return f"heads.{INDEX[match[1]]}.3.{match[2]}"
    raise KeyError(theirs)


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {our_name(k): v.squeeze(-1) if v.ndim == 3 else v for k, v in tensors.items()}


def build(golden: Golden) -> Hhmpn:
    hp, variant = golden.meta["hp"], golden.meta["variant"]
    modalities = tuple(
        ModalitySpec(n, n[0], golden[f"input/{n}"].shape[2], golden[f"input/{n}"].shape[1])
        for n in NAMES
    )
    config = HhmpnConfig(
        size=hp["d_model"],
        encoder_heads=hp["enc_heads"],
        encoder_layers=hp["enc_layers"],
        memory_layers=hp["enc_mem_layers"],
        decoder_heads=hp["n_head"],
        decoder_layers=hp["n_layers_dec"],
        feed_forward=hp["d_inner_hid"],
        embed_dropout=0.0,
        attention_dropout={"text": 0.0},
        memory_attention_dropout=0.0,
        relu_dropout=0.0,
        residual_dropout=0.0,
        decoder_dropout=0.0,
        causal=hp["attn_mask_causal"],
        graph_threshold=hp["adjacency_threshold"],
        streams="straight" if variant["stream_slots"] == "straight" else "released",
        fusion_softmax="labels" if "labels" in variant["fusion_softmax"] else "modalities",
        label_to_label=variant["label_to_label"],
    )
    labels = tuple(f"label{i}" for i in range(hp["num_labels"]))
    model = Hhmpn(config, TaskInfo("golden", modalities, labels))
    model.setup_fit(SimpleNamespace(labels=golden["adj/train_labels"].float()))  # type: ignore[arg-type]
    missing, unexpected = model.load_state_dict(renamed(golden.under("state")), strict=False)
    assert (missing, unexpected) == (["graph"], [])
    return model


def batch_of(golden: Golden) -> Batch:
    features = {n: golden[f"input/{n}"] for n in NAMES}
    size = len(golden["input/labels"])
    present = torch.ones(size, 3, dtype=torch.bool)
    return Batch(
        features=features,
        mask={n: torch.ones(x.shape[:2], dtype=torch.bool) for n, x in features.items()},
        present=present,
        natural=present,
        ids=tuple(map(str, range(size))),
        labels=golden["input/labels"],
    )


def loss_of(model: Hhmpn, batch: Batch) -> Tensor:
    return model.training_step(batch, None).loss  # type: ignore[arg-type]


def check_gradients(model: Hhmpn, wanted: dict[str, Tensor]) -> None:
    parameters: dict[str, Any] = dict(model.named_parameters())
    assert wanted
    for name, value in renamed(wanted).items():
        assert_close(name, parameters[name].grad, value)
        assert_relative(name, parameters[name].grad, value, rtol=5e-5)


def test_label_graph(golden: Golden) -> None:
    graph = label_graph(golden["adj/train_labels"], golden.meta["hp"]["adjacency_threshold"])
    assert torch.equal(graph, golden["adj/adjacency"] != 0)
    assert torch.equal(~graph, golden["adj/blocked"].bool())


@torch.no_grad()
def test_evaluation(golden: Golden) -> None:
    model, batch = build(golden).eval(), batch_of(golden)
    memories, states = model.memories(batch), model.label_states(batch)
    for slot, i in SLOTS.items():
        assert_close(f"{slot} memory", memories[i], golden[f"eval/enc_{slot}"])
        assert_close(f"{slot} decoder", states[i], golden[f"eval/dec_{slot}"])
    assert_close("fused", model.fusion(states), golden["eval/fused"])
    assert_close("logits", model.logits(batch), golden["eval/logits"])
    assert_close("scores", model.predict_step(batch), golden["eval/logits"].sigmoid())


def test_three_training_steps(golden: Golden) -> None:
    model, batch = build(golden).train(), batch_of(golden)
    training = TrainingConfig(optimizer="adam", lr=golden.meta["optimizer"]["lr"])
    optimizer = model.configure_optimizers(training, 3)[0]
    assert list(optimizer.param_groups[0]["betas"]) == golden.meta["optimizer"]["betas"]
    for k in range(golden.meta["steps"]):
        loss = loss_of(model, batch)
        assert_relative(f"train{k} loss", loss, golden[f"train{k}/loss"].squeeze())
        optimizer.zero_grad()
        loss.backward()
        if k == 0:
            check_gradients(model, golden.under("train0/grad"))
        optimizer.step()


def test_accumulated_half_batches(golden: Golden) -> None:
    model, batch = build(golden).train(), batch_of(golden)
    for rows in (slice(0, 2), slice(2, 4)):
        half = replace(
            batch,
            features={n: x[rows] for n, x in batch.features.items()},
            mask={n: x[rows] for n, x in batch.mask.items()},
            labels=batch.targets[rows],
        )
        loss_of(model, half).backward()
    check_gradients(model, golden.under("accum/grad"))
