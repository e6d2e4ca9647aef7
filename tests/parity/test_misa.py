"""MISA equals the authors' code: every representation, loss term, gradient and training step."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.specs import ModalitySpec, TaskInfo
from harness_baselines.misa import Misa, MisaConfig
from tests.parity.golden import Golden, assert_close, assert_relative

GOLDEN_MODEL = "misa"
KEYS = "tva"
NAMES = ("text", "vision", "audio")
PLAIN = (
    (r"shared\.shared_1\.(\w+)", r"shared.\1"),
    (r"fusion\.fusion_layer_1\.(\w+)", r"expand.\1"),
    (r"fusion\.fusion_layer_3\.(\w+)", r"output.\1"),
    (r"transformer_encoder\.layers\.0\.(.+)", r"fusion.\1"),
    (r"discriminator\.discriminator_layer_1\.(\w+)", r"discriminator.0.\1"),
    (r"discriminator\.discriminator_layer_2\.(\w+)", r"discriminator.3.\1"),
)
PER_MODALITY = (
    (r"([tva])rnn1\.(\w+)", "stream_list.{}.recurrent.first.{}"),
    (r"([tva])rnn2\.(\w+)", "stream_list.{}.recurrent.second.{}"),
    (r"([tva])layer_norm\.(\w+)", "stream_list.{}.recurrent.norm.{}"),
    (r"project_([tva])\.project_\w\.(\w+)", "stream_list.{}.project.{}"),
    (r"project_([tva])\.project_\w_layer_norm\.(\w+)", "stream_list.{}.norm.{}"),
    (r"private_([tva])\.private_\w_\d\.(\w+)", "private.{1}/{0}"),
    (r"recon_([tva])\.recon_\w_\d\.(\w+)", "rebuild.{1}/{0}"),
)


def our_name(theirs: str, pooled: bool) -> str | None:
    """Return our name; ``name/i`` is slice i; None for what is used in no loss."""
    if theirs.startswith("sp_discriminator.") or (pooled and theirs.startswith("tlayer_norm.")):
        return None
    for pattern, ours in PLAIN:
        if match := re.fullmatch(pattern, theirs):
            return match.expand(ours)
    for pattern, ours in PER_MODALITY:
        if match := re.fullmatch(pattern, theirs):
            return ours.format(KEYS.index(match[1]), match[2])
    raise AssertionError(f"no rule for {theirs}")


def renamed(golden: Golden, prefix: str) -> dict[str, Tensor]:
    pooled = golden.meta["hp"]["use_bert"]
    named = {our_name(k, pooled): v for k, v in golden.under(prefix).items()}
    return {k: v for k, v in named.items() if k is not None}


def state_of(golden: Golden) -> dict[str, Tensor]:
    named = renamed(golden, "state")
    state = {k: v for k, v in named.items() if "/" not in k}
    for name in {k.split("/")[0] for k in named if "/" in k}:
        state[name] = torch.stack([named[f"{name}/{i}"] for i in range(3)])
    return state


def text_of(golden: Golden) -> Tensor:
    return golden["input/text_hidden" if golden.meta["hp"]["use_bert"] else "input/text"]


def build(golden: Golden) -> Misa:
    hp, weights, layer = (golden.meta[k] for k in ("hp", "loss_weights", "transformer"))
    streams = (text_of(golden), golden["input/vision"], golden["input/audio"])
    task = TaskInfo(
        dataset="golden",
        modalities=tuple(
            ModalitySpec(n, n[0], x.shape[2], x.shape[1])
            for n, x in zip(NAMES, streams, strict=True)
        ),
        labels=tuple(f"label{i}" for i in range(hp["num_classes"])),
        aligned=False,
    )
    config = MisaConfig(
        hidden_size=hp["hidden_size"],
        cell=hp["rnncell"],
        pooled=("text",) if hp["use_bert"] else (),
        heads=layer["nhead"],
        feed_forward=layer["dim_feedforward"],
        fusion_dropout=0.0,
        dropout=hp["dropout"],
        similarity="cmd" if hp["use_cmd_sim"] else "adversarial",
        reversal=hp["reverse_grad_weight"],
        difference=weights["diff"],
        similar=weights["sim"],
        reconstruct=weights["recon"],
    )
    model = Misa(config, task)
    model.load_state_dict(state_of(golden), strict=True)
    return model


def batch_of(golden: Golden) -> Batch:
    features = {"text": text_of(golden)} | {n: golden[f"input/{n}"] for n in NAMES[1:]}
    mask = {
        n: torch.arange(x.shape[1]) < golden[f"input/len_{n}"][:, None] for n, x in features.items()
    }
    if golden.meta["hp"]["use_bert"]:
        mask["text"] = golden["input/text_mask"].bool()
    present = torch.ones(len(golden["input/labels"]), 3, dtype=torch.bool)
    ids = tuple(str(i) for i in range(len(present)))
    return Batch(features, mask, present, present, ids, labels=golden["input/labels"].float())


@torch.no_grad()
def test_evaluation(golden: Golden) -> None:
    model, batch = build(golden).eval(), batch_of(golden).without_labels()
    vectors, _ = model.utterances(batch)
    parts = model.split(batch)
    for i, key in enumerate(KEYS):
        assert_close("utterance", vectors[i], golden[f"eval/utt_{key}_before_project"])
        assert_close("vector", parts.vectors[i], golden[f"eval/utt_{key}_orig"])
        assert_close("private", parts.private[i], golden[f"eval/private_{key}"])
        assert_close("shared", parts.shared[i], golden[f"eval/shared_{key}"])
        assert_close("rebuilt", parts.rebuilt[i], golden[f"eval/recon_{key}"])
    assert_close("logits", model.logits(parts), golden["eval/logits"])
    assert_close("scores", model.predict_step(batch), golden["eval/logits"].sigmoid())


def test_three_training_steps(golden: Golden) -> None:
    model, batch, recipe = build(golden).train(), batch_of(golden), golden.meta["optimizer"]
    optimizer = torch.optim.Adam(model.parameters(), recipe["lr"])
    for k in range(golden.meta["steps"]):
        terms = model.losses(model.split(batch), batch.targets)
        assert set(terms) == {"cls", "diff", "sim", "recon"}
        for name, value in terms.items():
            assert_relative(f"train{k} {name}", value, golden[f"train{k}/loss_{name}"].squeeze())
        loss = model.weigh(terms)
        assert_relative(f"train{k} loss", loss, golden[f"train{k}/loss"].squeeze())
        optimizer.zero_grad()
        loss.backward()
        if k == 0:
            check_gradients(model, golden)
        torch.nn.utils.clip_grad_value_(model.parameters(), recipe["clip_grad_value"])
        optimizer.step()


def check_gradients(model: Misa, golden: Golden) -> None:
    wanted, parameters = renamed(golden, "train0/grad"), dict(model.named_parameters())
    assert len(wanted) == len(golden.under("train0/grad")) >= 9
    assert all(p.grad is not None for p in parameters.values())
    for name, value in wanted.items():
        ours, _, index = name.partition("/")
        grad = parameters[ours].grad
        assert grad is not None, name
        found = grad[int(index)] if index else grad
        assert_close(name, found, value)
        assert_relative(name, found, value, rtol=5e-5)
