"""CARAT equals the authors' code: scores, every loss term, gradients, three full steps."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.nn.optim import build_optimizer
from harness.specs import ModalitySpec, TaskInfo, TrainingConfig
from harness_baselines.carat import Carat, CaratConfig
from tests.parity.golden import (
    Golden,
    assert_close,
    assert_relative,
    frame_mask,
    full_samples,
    mask_after_aligners,
)

GOLDEN_MODEL = "carat"
NAMES = ("text", "visual", "audio")
MIXERS = {"va2t": 0, "ta2v": 1, "tv2a": 2}

# The authors' name -> ours. {m} is the modality's index.
RULES = (
    (r"agg\.linear\.0\.(\w+)", r"aggregator.0.\1"),
    (r"agg\.output\.(\w+)", r"aggregator.2.\1"),
    (r"(queue\w*)", r"queue.\1"),
)
STREAM_RULES = (
    (r"M_norm\.norm2d\.(\w+)", r"input_norm.\1"),
    (r"M\.embeddings\.word_embeddings\.(\w+)", r"encoder.embed.\1"),
    (r"M\.embeddings\.position_embeddings\.weight", r"encoder.positions.weight"),
    (r"M\.embeddings\.LayerNorm\.(\w+)", r"encoder.norm.\1"),
    (r"M\.encoder\.layer\.(\d+)\.attention\.self\.(\w+\.\w+)", r"encoder.layers.\1.attention.\2"),
    (
        r"M\.encoder\.layer\.(\d+)\.attention\.output\.dense\.(\w+)",
        r"encoder.layers.\1.attention.output.\2",
    ),
    (
        r"M\.encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.(\w+)",
        r"encoder.layers.\1.attention.norm.\2",
    ),
    (r"M\.encoder\.layer\.(\d+)\.intermediate\.dense\.(\w+)", r"encoder.layers.\1.expand.\2"),
    (r"M\.encoder\.layer\.(\d+)\.output\.dense\.(\w+)", r"encoder.layers.\1.contract.\2"),
    (r"M\.encoder\.layer\.(\d+)\.output\.LayerNorm\.(\w+)", r"encoder.layers.\1.norm.\2"),
    (r"M_attention\.attention\.weight", r"attention.queries.weight"),
    (r"proj_M\.linear\.0\.(\w+)", r"codec.encoder.0.\1"),
    (r"proj_M\.output\.(\w+)", r"codec.encoder.2.\1"),
    (r"de_proj_M\.linear\.0\.(\w+)", r"codec.decoder.0.\1"),
    (r"de_proj_M\.output\.(\w+)", r"codec.decoder.2.\1"),
    (r"M_clf_weight", r"scorer"),
    (r"M_pos_protos", r"prototypes.positive"),
    (r"M_neg_protos", r"prototypes.negative"),
)
ALIGNER = r"([va])2t_ctc\.pred_output_position_inclu_blank\.(\w+)"


def our_name(theirs: str) -> str | None:
    """Return our name for one of theirs, None for the pooler, whose output nothing reads."""
    if ".pooler." in theirs:
        return None
    for pattern, ours in RULES:
        if match := re.fullmatch(pattern, theirs):
            return match.expand(ours)
    if match := re.fullmatch(r"(va2t|ta2v|tv2a)\.output\.(\w+)", theirs):
        return f"stream_list.{MIXERS[match[1]]}.mixer.{match[2]}"
    if match := re.fullmatch(ALIGNER, theirs):
        return f"stream_list.{'tva'.index(match[1])}.aligner.lstm.{match[2]}"
    for index, name in enumerate(NAMES):
        for pattern, ours in STREAM_RULES:
            if match := re.fullmatch(pattern.replace("M", name, 1), theirs):
                return f"stream_list.{index}.{match.expand(ours)}"
    raise AssertionError(f"no rule for {theirs}")


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    named = {our_name(k): v for k, v in tensors.items()}
    label = "queue.queue_label"
    return {k: v[:, 0] if k == label else v for k, v in named.items() if k is not None}


def unmasked(golden: Golden) -> Carat:
    hp = golden.meta["hp"]
    dims = (hp["text_dim"], hp["video_dim"], hp["audio_dim"])
    task = TaskInfo(
        dataset="golden",
        modalities=tuple(
            ModalitySpec(n, n[0], d, golden[f"input/{n}"].shape[1])
            for n, d in zip(NAMES, dims, strict=True)
        ),
        labels=tuple(str(i) for i in range(hp["num_classes"])),
        aligned=golden.meta["aligned"],
        threshold=hp["binary_threshold"],
    )
    config = CaratConfig(
        hidden_size=hp["hidden_size"],
        intermediate_size=hp["intermediate_size"],
        heads=hp["num_attention_heads"],
        dropout=0.0,
        layers={n: hp[f"{n}_num_hidden_layers"] for n in NAMES},
        max_positions=hp["max_position_embeddings"],
        aligner=golden.meta["ctc_out_len"] or 0,
        projection=hp["proj_size"],
        queue=hp["moco_queue"],
        momentum=hp["proto_m"],
        lsr_clf=hp["lsr_clf_weight"],
        aug_clf=hp["aug_clf_weight"],
        supcon=hp["cl_weight"],
        recon_mse=hp["recon_mse_weight"],
        aug_mse=hp["aug_mse_weight"],
        beta_mse=hp["beta_mse_weight"],
        agg_clf=hp["total_aug_clf_weight"],
        shuffle_clf=hp["shuffle_aug_clf_weight"],
    )
    model = Carat(config, task)
    model.load_state_dict(renamed(golden.under("state")), strict=True)
    return model


def built(golden: Golden) -> Carat:
    """Return the model of a golden file, which attends to what the file's masks say."""
    model = unmasked(golden)
    mask_after_aligners(model.streams, golden)
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


def expected_terms(golden: Golden, step: str) -> dict[str, Tensor]:
    losses = {k: v.sum() for k, v in golden.under(step).items() if k.startswith("loss_")}
    plain = {k.removeprefix("loss_"): v for k, v in losses.items() if "_mse_" not in k}
    summed = {
        kind: torch.stack([losses[f"loss_mse_{kind}_{n}"] for n in NAMES]).sum()
        for kind in ("recon", "aug", "beta")
    }
    assert len(losses) == len(plain) + 9
    return plain | summed


def test_evaluation(golden: Golden) -> None:
    model = built(golden).eval()
    with torch.no_grad():
        scores = model.predict_step(batch_of(golden).without_labels())
        levels = model.reconstruct(model.pool(batch_of(golden)), hard=True)
    assert_close("scores", scores, golden["eval/scores"])
    labels = (scores > golden.meta["hp"]["binary_threshold"]).float()
    assert torch.equal(labels, golden["eval/pred_labels"])
    for i, name in enumerate(NAMES):
        assert_close("lsr", levels.pooled[:, i], golden[f"eval/{name}_lsr"])
        assert_close("aug", levels.first[:, i], golden[f"eval/{name}_aug"])
        assert_close("beta", levels.second[:, i], golden[f"eval/{name}_beta"])


def test_three_training_steps(golden: Golden) -> None:
    model, batch, recipe = built(golden).train(), batch_of(golden), golden.meta["optimizer"]
    training = TrainingConfig(
        optimizer="bertadam",
        lr=recipe["lr"],
        warmup=recipe["warmup"],
        weight_decay=recipe["weight_decay"],
    )
    optimizer = build_optimizer(model, training, int(recipe["t_total"]))
    for k in range(golden.meta["steps"]):
        step = f"train{k}"
        shuffle = (golden[f"{step}/shuffle_sample_idx"], golden[f"{step}/shuffle_modality_idx"])
        terms, levels = model.losses(batch, shuffle)
        loss = torch.stack([*model.weighted(terms).values()]).sum()
        expected = expected_terms(golden, step)
        assert set(terms) == set(expected)
        for name, value in terms.items():
            assert_relative(f"{step} {name}", value, expected[name])
        assert_relative(f"{step} loss", loss, golden[f"{step}/loss"].squeeze())
        assert_close(f"{step} scores", model.scores(levels.second), golden[f"{step}/scores"])

        optimizer.zero_grad()
        loss.backward()
        if k == 0:
            check_gradients(model, golden)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"])
        wanted = golden[f"{step}/grad_norm_before_clip"].squeeze()
        assert_relative(f"{step} gradient norm", norm, wanted)
        optimizer.step()

        state = model.state_dict()
        after = renamed(golden.under(f"{step}/param_after")) | renamed(
            golden.under(f"{step}/after")
        )
        assert len(after) >= len(golden.under("train0/grad")) + 7
        for name, value in after.items():
            assert_close(f"{step} {name}", state[name], value)


def test_a_run_attends_to_all_that_its_aligners_return(golden: Golden) -> None:
    """As in unaligned training: the masks given are those of the frames."""
    model, batch = unmasked(golden), batch_of(golden)
    whole = full_samples(golden, NAMES)
    with torch.no_grad():
        scores = model.eval().predict_step(batch.without_labels())
        first = model.pool(batch)
        training = model.train().scores(model.reconstruct(model.pool(batch), hard=False).second)
    assert_close("scores", scores[whole], golden["eval/scores"][whole])
    assert_close("training scores", training[whole], golden["train0/scores"][whole])
    for i, name in enumerate(NAMES):
        assert_close("lsr", first[whole, i], golden[f"eval/{name}_lsr"][whole])


def check_gradients(model: Carat, golden: Golden) -> None:
    wanted = renamed(golden.under("train0/grad"))
    parameters = dict(model.named_parameters())
    assert len(wanted) == len(golden.under("train0/grad")) > 0
    assert all(p.grad is not None for p in parameters.values())
    for name, value in wanted.items():
        grad = parameters[name].grad
        assert grad is not None, name
        assert_close(name, grad, value)
        assert_relative(name, grad, value, rtol=5e-5)
