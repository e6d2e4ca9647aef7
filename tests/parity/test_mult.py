"""MulT equals the authors' code: encoders, logits, loss, gradients, three training steps."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.nn.crossmodal import position_codes
from harness.specs import ModalitySpec, TaskInfo
from harness_baselines.mult import Mult, MultConfig
from tests.parity.golden import Golden, assert_close, assert_relative

GOLDEN_MODEL = "mult"
NAMES = ("text", "audio", "vision")
INDEX = {"l": 0, "a": 1, "v": 2}
LAYER_RULES = (
    (r"self_attn\.in_proj_(\w+)", r"projection.\1"),
    (r"self_attn\.out_proj\.(\w+)", r"output.\1"),
    (r"layer_norms\.0\.(\w+)", r"attention_norm.\1"),
    (r"layer_norms\.1\.(\w+)", r"norm.\1"),
    (r"fc1\.(\w+)", r"expand.\1"),
    (r"fc2\.(\w+)", r"contract.\1"),
)
HEAD = {"proj1": "expand", "proj2": "contract", "out_layer": "output"}


def encoder_name(theirs: str) -> str | None:
    """Return our name of a parameter of the nine encoders, None for any other."""
    if not (match := re.fullmatch(r"trans_([lav])_(?:with_([lav])|mem)\.(.+)", theirs)):
        return None
    target, source, rest = match.groups()
    where = f"pairs.{INDEX[target]}_{INDEX[source]}" if source else f"memories.{INDEX[target]}"
    if rest.startswith("layer_norm."):
        return f"stack.{where}.{rest.replace('layer_norm', 'norm')}"
    number, part = re.fullmatch(r"layers\.(\d+)\.(.+)", rest).groups()  # type: ignore[union-attr]
    for pattern, ours in LAYER_RULES:
        if match := re.fullmatch(pattern, part):
            return f"stack.{where}.layers.{number}.{match.expand(ours)}"
    raise KeyError(theirs)


def our_name(theirs: str) -> str:
    if name := encoder_name(theirs):
        return name
    if match := re.fullmatch(r"proj_([lav])\.weight", theirs):
        return f"inputs.{INDEX[match[1]]}.weight"
    part, kind = theirs.split(".")
    return f"{HEAD[part]}.{kind}"


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {our_name(k): v.squeeze(-1) if v.ndim == 3 else v for k, v in tensors.items()}


def build(golden: Golden, *, causal: bool = True) -> Mult:
    hp = golden.meta["hp"]
    shapes = [golden[f"input/{n}"].shape for n in NAMES]
    modalities = tuple(
        ModalitySpec(n, n[0], s[2], s[1]) for n, s in zip(NAMES, shapes, strict=True)
    )
    labels = tuple(f"label{i}" for i in range(hp["output_dim"]))
    config = MultConfig(
        size=hp["d"],
        heads=hp["num_heads"],
        layers=hp["layers"],
        causal=causal,
        input_dropout={},
        embed_dropout=hp["embed_dropout"],
        attention_dropout={},
        memory_attention_dropout=hp["attn_dropout"],
        relu_dropout=hp["relu_dropout"],
        residual_dropout=hp["res_dropout"],
        output_dropout=hp["out_dropout"],
    )
    model = Mult(config, TaskInfo("golden", modalities, labels))
    model.load_state_dict(renamed(golden.under("state")), strict=True)
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


@torch.no_grad()
def test_evaluation(golden: Golden) -> None:
    batch = batch_of(golden)
    for causal, key in ((True, "eval"), (False, "eval_nomask")):
        model = build(golden, causal=causal).eval()
        assert_close(key, model.logits(batch), golden[f"{key}/logits"])
    scores = model.predict_step(batch.without_labels())
    assert_close("scores", scores, golden["eval_nomask/logits"].sigmoid())


@torch.no_grad()
def test_every_encoder(golden: Golden) -> None:
    model, batch = build(golden).eval(), batch_of(golden)
    streams = model.streams(batch)
    assert_close("positions", position_codes(streams[0]), golden["eval/pos_text"])
    masks: list[Tensor | None] = [None] * 3
    crossed = model.stack.cross(streams, masks)
    for target, t in INDEX.items():
        sources = [s for s in INDEX if s != target]
        for source, part in zip(sources, crossed[t].chunk(2, dim=-1), strict=True):
            wanted = golden[f"eval/trans_{target}_with_{source}"].transpose(0, 1)
            assert_close(f"{target} from {source}", part, wanted)
    memories = model.stack(streams, masks)
    for target, t in INDEX.items():
        assert_close(target, memories[t], golden[f"eval/trans_{target}_mem"].transpose(0, 1))
    read = model.stack(streams, masks, model.read_steps(batch))
    assert_close("read", torch.cat(read, dim=-1).squeeze(1), golden["eval/last_hs"])


def test_three_training_steps(golden: Golden) -> None:
    model, batch, recipe = build(golden).train(), batch_of(golden), golden.meta["optimizer"]
    optimizer = torch.optim.Adam(
        model.parameters(), recipe["lr"], betas=tuple(recipe["betas"]), eps=recipe["eps"]
    )
    parameters = dict(model.named_parameters())
    for k in range(golden.meta["steps"]):
        loss = model.training_step(batch, None).loss  # type: ignore[arg-type]
        assert_relative(f"train{k} loss", loss, golden[f"train{k}/loss"].squeeze())
        optimizer.zero_grad()
        loss.backward()
        if k == 0:
            wanted = renamed(golden.under("train0/grad"))
            assert wanted
            for name, value in wanted.items():
                grad = parameters[name].grad
                assert grad is not None, name
                assert_close(name, grad, value)
                assert_relative(name, grad, value, rtol=5e-5)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip_grad_norm"])
        wanted_norm = golden[f"train{k}/grad_norm_before_clip"].squeeze()
        assert_relative(f"train{k} norm", norm, wanted_norm)
        optimizer.step()
    after = renamed(golden.under("train2/param_after"))
    assert after
    for name, value in after.items():
        assert_close(f"after {name}", parameters[name], value)
