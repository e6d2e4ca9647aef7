"""MMIN equals the authors' code: both stages, as its padded batches are and sample by sample."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.nn.task_loss import task_loss
from harness.specs import ModalitySpec, TaskInfo, TrainingConfig
from harness_baselines.mmin import IMAGINES, Mmin, MminConfig
from tests.parity.golden import Golden, assert_close, assert_relative

GOLDEN_MODEL = "mmin"
NAMES = ("audio", "text", "visual")
ENCODERS = {"netA": 0, "netL": 1, "netV": 2}
KINDS = {"audio": "lstm", "text": "textcnn", "visual": "lstm"}


def our_name(theirs: str, stage: int) -> str:
    """Return our name for one of theirs."""
    network, _, rest = theirs.partition(".")
    if network in ENCODERS:
        if match := re.fullmatch(r"conv(\d)\.(\w+)", rest):
            rest = f"convolutions.{int(match[1]) - 1}.{match[2]}"
        rest = re.sub(r"embd\.0\.", "output.", rest)
        return f"encoder_list.{ENCODERS[network]}.{rest}"
    if network == "netC":
        ours = "classifier" if stage == IMAGINES else "pretrained"
        if match := re.fullmatch(r"module\.(\d+)\.(\w+)", rest):
            # Of ours every hidden layer is followed by its activation and its dropout.
            return f"{ours}.{int(match[1]) // 2 * 3}.{match[2]}"
        return f"{ours}.6.{rest.removeprefix('fc_out.')}"
    ours = {"netAE": "forth", "netAE_cycle": "back"}[network]
    if match := re.fullmatch(r"(encoder|decoder)_(\d)\.(\d)\.(\w+)", rest):
        return f"{ours}.{match[1]}_list.{match[2]}.{match[3]}.{match[4]}"
    return f"{ours}.{rest}"


def stage_of(golden: Golden) -> int:
    return 1 if golden.meta["variant"] == "pretrain" else IMAGINES


def shaped(ours: str, value: Tensor) -> Tensor:
    """Return a tensor as we hold it: their kernels are [C, 1, K, d]."""
    return value[:, 0].transpose(1, 2) if "convolutions" in ours and value.ndim == 4 else value


def built(golden: Golden) -> Mmin:
    hp, stage = golden.meta["hp"], stage_of(golden)
    weights = golden.meta.get("loss_weights", {"mse": 1.0, "cycle": 1.0})
    single = golden.meta["task"] == "cross_entropy"
    task = TaskInfo(
        dataset="golden",
        modalities=tuple(
            ModalitySpec(n, n[0], golden.meta["dims"][n], golden[f"input/{n}"].shape[1])
            for n in NAMES
        ),
        labels=tuple(map(str, range(hp["outputs"]))),
        label_kind="singlelabel" if single else "multilabel",
    )
    recipe = golden.meta["optimizer"]
    config = MminConfig(
        embedding=hp["embd"],
        channels=hp["textcnn_channels"],
        encoders={n[0]: k for n, k in KINDS.items()},
        cascade=hp.get("AE_layers", [6, 5, 3]),
        blocks=hp.get("n_blocks", 1),
        classifier=hp["cls_layers"],
        dropout=0.0,
        text_dropout=0.0,
        pretrain_dropout=0.0,
        share_weight=hp.get("share_weight", False),
        betas=[recipe["betas"][0]] * 2,
        clips=[recipe["clip_grad_norm"]] * 2,
        mse=weights["mse"],
        cycle=weights["cycle"],
    )
    model = Mmin(config, task)
    model.stage.fill_(stage)
    state = model.state_dict()
    for theirs, value in golden.under("state").items():
        ours = our_name(theirs, stage)
        state[ours].copy_(shaped(ours, value))
    for theirs, value in golden.under("teacher").items():
        ours = our_name(theirs, stage).replace("encoder_list", "teacher", 1)
        state[ours].copy_(shaped(ours, value))
    return model


def labels_of(golden: Golden) -> Tensor:
    labels = golden["input/labels"]
    return labels if labels.ndim == 2 else torch.eye(golden.meta["hp"]["outputs"])[labels.long()]


def batch_of(golden: Golden, *, padded: bool) -> Batch:
    """Return the complete batch; ``padded``: all positions count, as in the authors' code."""
    size = len(golden["input/labels"])
    here = torch.ones(size, 3, dtype=torch.bool)
    mask = {
        n: torch.arange(golden[f"input/{n}"].shape[1]) < golden[f"input/len_{n}"][:, None]
        for n in NAMES
    }
    if padded:
        mask = {n: torch.ones_like(m) for n, m in mask.items()}
    features = {n: golden[f"input/{n}"] for n in NAMES}
    ids = tuple(map(str, range(size)))
    return Batch(features, mask, here, here, ids, labels_of(golden))


def kept_of(golden: Golden) -> Tensor:
    """Return the pattern bool [B, M] in our order; theirs is audio, visual, text."""
    return golden["input/pattern"].bool()[:, [0, 2, 1]]


def zeroed(batch: Batch, kept: Tensor) -> Batch:
    features = {
        n: torch.where(kept[:, i, None, None], batch.features[n], 0.0) for i, n in enumerate(NAMES)
    }
    return replace(batch, features=features)


def padded_losses(model: Mmin, golden: Golden) -> dict[str, Tensor]:
    """Return the losses where what is missing is zeros of the padded length, as released."""
    batch, kept = batch_of(golden, padded=True), kept_of(golden)
    f = model.embed(model.encoder_list, list(model.inputs(zeroed(batch, kept))))
    with torch.no_grad():
        target = model.embed(model.teacher, list(model.inputs(zeroed(batch, ~kept))))
    return model.imagination(f, target, torch.ones_like(kept), labels_of(golden))


def three_steps(
    model: Mmin, golden: Golden, start: str, terms_of: Callable[[], dict[str, Tensor]]
) -> None:
    stage = stage_of(golden)
    optimizer = model.configure_optimizers(TrainingConfig(lr=golden.meta["optimizer"]["lr"]), 3)[
        stage - 1
    ]
    parameters = dict(model.named_parameters())
    for k in range(golden.meta["steps"]):
        step = f"{start}{k}"
        terms = terms_of()
        loss = model.weigh(terms) if stage == IMAGINES else terms["cls"]
        names = {"cls": "ce", "mse": "mse", "cycle": "cycle"}
        for ours, theirs in names.items():
            if f"{step}/loss_{theirs}" in golden.tensors:
                wanted = golden[f"{step}/loss_{theirs}"].squeeze()
                assert_relative(f"{step} {ours}", terms[ours], wanted)
        assert_relative(f"{step} loss", loss, golden[f"{step}/loss"].squeeze())
        optimizer.zero_grad()
        loss.backward()
        if k == 0:
            for theirs, value in golden.under(f"{step}/grad").items():
                ours = our_name(theirs, stage)
                grad = parameters[ours].grad
                assert grad is not None, theirs
                assert_relative(theirs, grad, shaped(ours, value), rtol=3e-5)
        for network in model.networks(stage):
            norm = nn.utils.clip_grad_norm_(
                network.parameters(), golden.meta["optimizer"]["clip_grad_norm"]
            )
            if k == 0 and start == "train":
                check_norm(model, golden, network, norm)
        optimizer.step()
    after = golden.under(f"{start}2/param_after")
    assert len(after) > 10
    for theirs, value in after.items():
        ours = our_name(theirs, stage)
        assert_close(theirs, parameters[ours], shaped(ours, value))


def check_norm(model: Mmin, golden: Golden, network: nn.Module, norm: Tensor) -> None:
    """Compare a network's norm before clipping with one of the file's."""
    wanted = torch.stack([*golden.under("train0/grad_norm_before_clip").values()]).flatten()
    assert len(wanted) == len(model.networks(stage_of(golden)))
    assert ((wanted - norm).abs() / wanted).min() < 1e-5


def test_equals_the_authors_code(golden: Golden) -> None:
    if stage_of(golden) == IMAGINES:
        imagination_as_released(golden)
        imagination_alone(golden)
    else:
        pretraining(golden)


def pretraining(golden: Golden) -> None:
    model, batch = built(golden).train(), batch_of(golden, padded=True)
    labels = labels_of(golden)

    def terms() -> dict[str, Tensor]:
        f = model.embed(model.encoder_list, list(model.inputs(batch))).flatten(1)
        return {"cls": task_loss(model.pretrained(f), labels, model.task.label_kind)}

    with torch.no_grad():
        f = model.embed(model.encoder_list, list(model.inputs(batch)))
        assert_close("f", f.flatten(1), golden["eval/feat"])
        assert_close("scores", model.predict_step(batch), golden["eval/pred"])
        alone = model.embed(model.encoder_list, list(model.inputs(batch_of(golden, padded=False))))
        assert_close("alone", alone.flatten(1), golden["alone_eval/feat"])
        logits = model.pretrained(alone.flatten(1))
        assert_close("logits", logits, golden["alone_eval/logits"])
    three_steps(model, golden, "train", terms)


def imagination_as_released(golden: Golden) -> None:
    model, kept = built(golden).train(), kept_of(golden)
    batch = zeroed(batch_of(golden, padded=True), kept)
    with torch.no_grad():
        f = model.embed(model.encoder_list, list(model.inputs(batch))).flatten(1)
        compare(model, golden, "eval", f)
        scores = model.predict_step(batch)
    name = "eval/pred" if "eval/pred" in golden.tensors else "eval/scores"
    assert_close("scores", scores, golden[name])
    three_steps(model, golden, "train", lambda: padded_losses(model, golden))


def imagination_alone(golden: Golden) -> None:
    """What is missing is a null position: the harness's batches, whatever their lengths."""
    model, kept = built(golden).train(), kept_of(golden)
    batch = batch_of(golden, padded=False)
    with torch.no_grad():
        encoded = model.encode(batch.keeping(kept).with_null_positions())
        compare(model, golden, "alone_eval", torch.cat([x for (x,) in encoded.values()], 1))
    three_steps(model, golden, "alone_train", lambda: model.losses(batch, kept))


def compare(model: Mmin, golden: Golden, step: str, f: Tensor) -> None:
    imagined, latent = model.forth(f)
    back, latent_back = model.back(imagined)
    assert_close("f", f, golden[f"{step}/feat_fusion_miss"])
    assert_close("imagined", imagined, golden[f"{step}/recon_fusion"])
    assert_close("latent", latent, golden[f"{step}/latent"])
    assert_close("back", back, golden[f"{step}/recon_cycle"])
    assert_close("latent back", latent_back, golden[f"{step}/latent_cycle"])
    assert_close("logits", model.classifier(latent), golden[f"{step}/logits"])
