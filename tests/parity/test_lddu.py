"""LDDU equals the authors' code: scores, every loss term, gradients, three full steps."""

from __future__ import annotations

import re
from dataclasses import replace

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.nn.optim import build_optimizer
from harness.specs import ModalitySpec, TaskInfo, TrainingConfig
from harness_baselines.lddu import Lddu, LdduConfig
from tests.parity.golden import Golden, assert_close, assert_relative, frame_mask

GOLDEN_MODEL = "lddu"
NAMES = ("visual", "audio", "text")
ENCODERS = {"visual": 0, "audio": 1, "bert": 2}

# The authors' name -> ours, below a stream or the model.
ENCODER_RULES = (
    (r"embeddings\.word_embeddings\.(\w+)", r"encoder.embed.\1"),
    (r"embeddings\.position_embeddings\.weight", r"encoder.positions.weight"),
    (r"embeddings\.LayerNorm\.(\w+)", r"encoder.norm.\1"),
    (r"encoder\.layer\.(\d+)\.attention\.self\.(\w+\.\w+)", r"encoder.layers.\1.attention.\2"),
    (
        r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(\w+)",
        r"encoder.layers.\1.attention.output.\2",
    ),
    (
        r"encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.(\w+)",
        r"encoder.layers.\1.attention.norm.\2",
    ),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.(\w+)", r"encoder.layers.\1.expand.\2"),
    (r"encoder\.layer\.(\d+)\.output\.dense\.(\w+)", r"encoder.layers.\1.contract.\2"),
    (r"encoder\.layer\.(\d+)\.output\.LayerNorm\.(\w+)", r"encoder.layers.\1.norm.\2"),
)
RULES = (
    (r"embedding_layer\.weight", r"label_table"),
    (
        r"label_wise_attention\.label_projection\.(\d)\.(\w+)",
        r"stream_list.\1.attention.queries.\2",
    ),
    (r"label_wise_attention\.seq_projection\.(\d)\.(\w+)", r"stream_list.\1.attention.keys.\2"),
    (r"label_wise_attention\.out_projection\.(\d)\.(\w+)", r"stream_list.\1.attention.output.\2"),
    (r"encoder\.(\d)\.linear\.0\.(\w+)", r"stream_list.\1.distribution.trunk.0.\2"),
    (r"encoder\.(\d)\.linear\.1\.(\w+)", r"stream_list.\1.distribution.trunk.2.\2"),
    (r"encoder\.(\d)\.output\.(\w+)", r"stream_list.\1.distribution.trunk.4.\2"),
    (r"encoder\.(\d)\.fc_mu\.(\w+)", r"stream_list.\1.distribution.mean.\2"),
    (r"encoder\.(\d)\.fc_var\.(\w+)", r"stream_list.\1.distribution.log_variance.\2"),
    (r"common_classfier\.(\d)\.(\w+)", r"gate.\1.\2"),
    (r"(queue\w*)", r"queue.\1"),
)
HEADS = {"final_classifier": "mean_heads", "var_classifier1": "uncertainty_heads"}
LAYERS = {"0": "first", "3": "second"}


def our_name(theirs: str) -> tuple[str, int | None] | None:
    """Return our name for one of theirs, and the label where ours stacks all labels.

    None: a part of theirs that nothing reads.
    """
    if ".pooler." in theirs or theirs.startswith(("final_classifer2.", "var_classifier2.")):
        return None
    if match := re.fullmatch(r"(final_classifier|var_classifier1)\.(\d)\.([03])\.(\w+)", theirs):
        return f"{HEADS[match[1]]}.{LAYERS[match[3]]}.{match[4]}", int(match[2])
    if match := re.fullmatch(r"(\w+)_norm\.\w+_norm2d\.(\w+)", theirs):
        return f"stream_list.{NAMES.index(match[1])}.input_norm.{match[2]}", None
    encoder, _, rest = theirs.partition(".")
    if encoder in ENCODERS:
        for pattern, ours in ENCODER_RULES:
            if match := re.fullmatch(pattern, rest):
                return f"stream_list.{ENCODERS[encoder]}.{match.expand(ours)}", None
    for pattern, ours in RULES:
        if match := re.fullmatch(pattern, theirs):
            return match.expand(ours), None
    raise AssertionError(f"no rule for {theirs}")


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return all of a state under our names, the heads of the labels stacked."""
    named: dict[str, Tensor] = {}
    stacks: dict[str, dict[int, Tensor]] = {}
    for theirs, value in tensors.items():
        if (found := our_name(theirs)) is None:
            continue
        ours, label = found
        if label is None:
            named[ours] = value[:, 0] if ours == "queue.queue_label" else value
        else:
            stacks.setdefault(ours, {})[label] = value
    for ours, parts in stacks.items():
        named[ours] = torch.stack([parts[i] for i in range(len(parts))])
    return named


def built(golden: Golden) -> Lddu:
    hp, modalities = golden.meta["hp"], golden.meta["modality_order"]
    assert tuple(modalities) == NAMES
    task = TaskInfo(
        dataset="golden",
        modalities=tuple(
            ModalitySpec(n, n[0], *reversed(golden[f"input/{n}"].shape[1:])) for n in NAMES
        ),
        labels=tuple(str(i) for i in range(hp["num_classes"])),
    )
    config = LdduConfig(
        hidden_size=hp["hidden_size"],
        intermediate_size=hp["intermediate_size"],
        heads=hp["heads"],
        dropout=0.0,
        layers=dict(zip(("text", "visual", "audio"), hp["layers"], strict=True)),
        max_positions=hp["max_position_embeddings"],
        projection=hp["pro_dim"],
        latent=hp["latent_size"],
        head_dropout=0.0,
        queue=hp["moco_queue"],
        temperature=hp["temperature"],
        mask_label_attention=False,
        **golden.meta["weights"],
    )
    model = Lddu(config, task)
    model.load_state_dict(renamed(golden.under("state")), strict=True)
    return model


def batch_of(golden: Golden) -> Batch:
    size = len(golden["input/labels"])
    return Batch(
        features={n: golden[f"input/{n}"] for n in NAMES},
        mask={n: frame_mask(golden, n) for n in NAMES},
        present=torch.ones(size, 3, dtype=torch.bool),
        natural=torch.ones(size, 3, dtype=torch.bool),
        ids=tuple(str(i) for i in range(size)),
        labels=golden["input/labels"],
    )


def optimizer_of(model: Lddu, golden: Golden) -> torch.optim.Optimizer:
    recipe = golden.meta["optimizer"]
    training = TrainingConfig(
        optimizer="bertadam",
        schedule="cosine",
        lr=recipe["lr"],
        warmup=recipe["warmup"],
        weight_decay=recipe["weight_decay"],
    )
    return build_optimizer(model, training, int(recipe["t_total"]))


def check(model: Lddu, got: dict[str, Tensor], wanted: dict[str, Tensor], rtol: float) -> None:
    """Compare tensors under the authors' names, those of a label's head with its slice."""
    assert wanted
    for theirs, value in wanted.items():
        found = our_name(theirs)
        assert found is not None, theirs
        ours, label = found
        own = got[ours] if label is None else got[ours][label]
        assert_close(theirs, own, value)
        assert_relative(theirs, own, value, rtol=rtol)


def compare_forward(model: Lddu, golden: Golden, step: str) -> None:
    with torch.no_grad():
        encoded = model.encode(batch_of(golden))
        latent = model.latent(encoded)
        heads = model.heads(latent)
        scores = model.log_scores(heads)[0].exp()
    for i, name in enumerate(NAMES):
        assert_close("z", latent.pooled[:, i], golden[f"{step}/{name}_label_vectors"])
        assert_close("mu", latent.mean[:, i], golden[f"{step}/{name}_mu"])
        log_variance = 2 * latent.deviation[:, i].log()
        assert_close("log-variance", log_variance, golden[f"{step}/{name}_logvar"])
    assert_close("g", heads.gate.sigmoid(), golden[f"{step}/scores_direct"])
    assert_close("a", heads.mean.sigmoid(), golden[f"{step}/scores_mean"])
    assert_close("u", heads.uncertainty.sigmoid(), golden[f"{step}/scores_uncertainty"])
    assert_close("scores", scores, golden[f"{step}/scores"])


def test_evaluation(golden: Golden) -> None:
    model = built(golden).eval()
    compare_forward(model, golden, "eval")
    with torch.no_grad():
        scores = model.predict_step(batch_of(golden).without_labels())
    labels = (scores > golden.meta["threshold"]).float()
    assert torch.equal(labels, golden["eval/pred_labels"])


def test_three_training_steps(golden: Golden) -> None:
    model, batch = built(golden).train(), batch_of(golden)
    optimizer = optimizer_of(model, golden)
    compare_forward(model, golden, "train0")
    for k in range(golden.meta["steps"]):
        step = f"train{k}"
        terms, _, heads = model.losses(batch)
        loss = model.weigh(terms)
        expected = {n.removeprefix("loss_"): v for n, v in golden.under(step).items()}
        assert set(terms) < set(expected)
        for name, value in terms.items():
            assert_relative(f"{step} {name}", value, expected[name].squeeze())
        assert_relative(f"{step} loss", loss, expected["loss"].squeeze())
        assert_close("scores", model.log_scores(heads)[0].exp(), golden[f"{step}/scores"])

        if k == 0:
            alone = torch.autograd.grad(
                terms["calibration"], list(model.parameters()), retain_graph=True, allow_unused=True
            )
            named = zip(model.named_parameters(), alone, strict=True)
            own = {name: grad for (name, _), grad in named if grad is not None}
            check(model, own, golden.under("train0/grad_calibration"), rtol=7e-4)
        optimizer.zero_grad()
        loss.backward()
        if k == 0:
            grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
            assert len(grads) == len(list(model.parameters()))
            check(model, grads, golden.under("train0/grad"), rtol=5e-5)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), golden.meta["optimizer"]["clip"])
        assert_relative("norm", norm, golden[f"{step}/grad_norm_before_clip"].squeeze())
        optimizer.step()
        state = model.state_dict()
        check(model, state, golden.under(f"{step}/param_after"), rtol=1e-4)
        for name, value in renamed(golden.under(f"{step}/after")).items():
            assert_close(f"{step} {name}", state[name], value)


def test_padding_is_not_read_unless_asked(golden: Golden) -> None:
    """With the mask in the label attention, what stands behind a sequence changes nothing."""
    published, batch = built(golden), batch_of(golden)
    config = replace(published.config, mask_label_attention=True)
    model = Lddu(config, published.task)
    model.load_state_dict(published.state_dict())
    noisy = replace(
        batch,
        features={
            n: torch.where(batch.mask[n][..., None], x, -x) for n, x in batch.features.items()
        },
    )
    with torch.no_grad():
        plain = model.eval().predict_step(batch)
        assert_close("masked", model.predict_step(noisy), plain)
        changed = (published.eval().predict_step(noisy) - published.predict_step(batch)).abs().max()
    padded = any(not batch.mask[n].all() for n in NAMES)
    assert bool(changed > 1e-4) == padded
