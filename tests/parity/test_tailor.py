"""TAILOR equals the authors' code: scores, every loss term, gradients, three full steps."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.nn.optim import build_optimizer
from harness.specs import ModalitySpec, TaskInfo, TrainingConfig
from harness_baselines.tailor import Tailor, TailorConfig
from tests.parity.golden import (
    Golden,
    assert_close,
    assert_relative,
    frame_mask,
    full_samples,
    mask_after_aligners,
)

GOLDEN_MODEL = "tailor"
NAMES = ("text", "visual", "audio")
ENCODERS = {"bert": "stream_list.0.encoder", "visual": "stream_list.1.encoder"} | {
    "audio": "stream_list.2.encoder",
    "va_cross": "fusion.0",
    "vat_cross": "fusion.1",
    "pc_cross": "join",
}
DECODER = "decoder.decoder.layer.0"

# Inside an encoder: the authors' name -> ours.
INNER = (
    (r"embeddings\.word_embeddings\.(\w+)", r"embed.\1"),
    (r"embeddings\.position_embeddings\.weight", r"positions.weight"),
    (r"embeddings\.token_type_embeddings\.weight", r"types.weight"),
    (r"embeddings\.LayerNorm\.(\w+)", r"norm.\1"),
    (r"encoder\.layer\.(\d+)\.attention\.self\.(\w+\.\w+)", r"layers.\1.attention.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(\w+)", r"layers.\1.attention.output.\2"),
    (
        r"encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.(\w+)",
        r"layers.\1.attention.norm.\2",
    ),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.(\w+)", r"layers.\1.expand.\2"),
    (r"encoder\.layer\.(\d+)\.output\.dense\.(\w+)", r"layers.\1.contract.\2"),
    (r"encoder\.layer\.(\d+)\.output\.LayerNorm\.(\w+)", r"layers.\1.norm.\2"),
)
ATTENTIONS = {"slf_attn": "among", "enc_attn": "read.attention"}
RULES = (
    (r"private_feature_extractor\.(\d)\.0\.(\w+)", r"stream_list.\1.private.\2"),
    (r"common_feature_extractor\.0\.(\w+)", r"common.\1"),
    (r"modal_discriminator\.(\d)\.(\w+)", r"discriminator.\1.\2"),
    (r"cross_classifier\.dense\.(\w+)", r"classifier.\1"),
    (r"common_classfier\.0\.(\w+)", r"common_classifier.\1"),
    (r"decoder\.embeddings\.word_embeddings\.weight", r"decoder.queries.weight"),
    (r"decoder\.embeddings\.LayerNorm\.(\w+)", r"decoder.norm.\1"),
    (rf"{DECODER}\.intermediate\.dense\.(\w+)", r"decoder.read.expand.\1"),
    (rf"{DECODER}\.output\.dense\.(\w+)", r"decoder.read.contract.\1"),
    (rf"{DECODER}\.output\.LayerNorm\.(\w+)", r"decoder.read.norm.\1"),
)


def our_name(theirs: str) -> str | None:
    """Return our name for one of theirs, None for the poolers, whose output nothing reads."""
    if ".pooler." in theirs:
        return None
    for pattern, ours in RULES:
        if match := re.fullmatch(pattern, theirs):
            return match.expand(ours)
    for index, name in enumerate(NAMES):
        if match := re.fullmatch(rf"{name}_norm\.{name}_norm2d\.(\w+)", theirs):
            return f"stream_list.{index}.input_norm.{match[1]}"
        if match := re.fullmatch(
            rf"{name[0]}2t_ctc\.pred_output_position_inclu_blank\.(.+)", theirs
        ):
            return f"stream_list.{index}.aligner.lstm.{match[1]}"
    for key, ours in ATTENTIONS.items():
        if match := re.fullmatch(rf"{DECODER}\.{key}\.att\.(\w+\.\w+)", theirs):
            return f"decoder.{ours}.{match[1]}"
        if match := re.fullmatch(rf"{DECODER}\.{key}\.output\.dense\.(\w+)", theirs):
            return f"decoder.{ours}.output.{match[1]}"
        if match := re.fullmatch(rf"{DECODER}\.{key}\.output\.LayerNorm\.(\w+)", theirs):
            return f"decoder.{ours}.norm.{match[1]}"
    encoder, _, rest = theirs.partition(".")
    for pattern, ours in INNER:
        if match := re.fullmatch(pattern, rest):
            return f"{ENCODERS[encoder]}.{match.expand(ours)}"
    raise AssertionError(f"no rule for {theirs}")


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    named = {our_name(k): v for k, v in tensors.items()}
    return {k: v for k, v in named.items() if k is not None}


def unmasked(golden: Golden) -> Tailor:
    hp, weights = golden.meta["hp"], golden.meta["weights"]
    dims = (hp["text_dim"], hp["video_dim"], hp["audio_dim"])
    task = TaskInfo(
        dataset="golden",
        modalities=tuple(
            ModalitySpec(n, n[0], d, golden[f"input/{n}"].shape[1])
            for n, d in zip(NAMES, dims, strict=True)
        ),
        labels=tuple(str(i) for i in range(hp["num_classes"])),
        aligned=golden.meta["aligned"],
        threshold=golden.meta["threshold"],
    )
    config = TailorConfig(
        hidden_size=hp["hidden_size"],
        intermediate_size=hp["intermediate_size"],
        heads=hp["num_attention_heads"],
        dropout=0.0,
        private_dropout=0.0,
        common_dropout=0.0,
        head_dropout=0.0,
        layers={n: hp[f"{'bert' if n == 'text' else n}_num_hidden_layers"] for n in NAMES},
        cross_layers=hp["cross_num_hidden_layers"],
        max_positions=hp["max_position_embeddings"],
        cross_positions=hp["cross_max_position_embeddings"],
        aligner=golden.meta["ctc_out_len"] or 0,
        mask_common=False,
        common_semantic=weights["cml"],
        adversarial=weights["adv"],
        orthogonal=weights["orth"],
        ctc=weights["ctc"],
    )
    model = Tailor(config, task)
    model.load_state_dict(renamed(golden.under("state")), strict=True)
    return model


def built(golden: Golden) -> Tailor:
    """Return the model of a golden file, which attends to what the file's masks say."""
    model = unmasked(golden)
    mask_after_aligners(model.streams, golden)
    return model


def batch_of(golden: Golden) -> Batch:
    size = len(golden["input/labels"])
    ones = torch.ones(size, 3, dtype=torch.bool)
    return Batch(
        features={n: golden[f"input/{n}"] for n in NAMES},
        mask={n: frame_mask(golden, n) for n in NAMES},
        present=ones,
        natural=ones,
        ids=tuple(str(i) for i in range(size)),
        labels=golden["input/labels"],
    )


def expected_terms(golden: Golden, step: str) -> dict[str, Tensor]:
    losses = {
        k.removeprefix("loss_"): v.sum()
        for k, v in golden.under(step).items()
        if k.startswith("loss_")
    }
    sums = {
        "ml": ("ml",),
        "cml": ("cml",),
        "adv_private": tuple(f"adv_private_{n}" for n in NAMES),
        "adv_common": tuple(f"adv_common_{n}" for n in NAMES),
        "orth_private": tuple(
            f"orth_private_{pair}" for pair in ("text_visual", "text_audio", "visual_audio")
        ),
        "orth_common": tuple(f"orth_common_private_{n}" for n in NAMES),
        "ctc": ("ctc_visual", "ctc_audio"),
    }
    if golden.meta["aligned"]:
        del sums["ctc"]
    assert len(losses) == sum(map(len, sums.values()))
    return {k: torch.stack([losses[part] for part in parts]).sum() for k, parts in sums.items()}


def test_evaluation(golden: Golden) -> None:
    model, batch = built(golden).eval(), batch_of(golden).without_labels()
    with torch.no_grad():
        scores, f = model.predict_step(batch), model.features(batch)
    assert_close("scores", scores, golden["eval/scores"])
    labels = (scores > golden.meta["threshold"]).float()
    assert torch.equal(labels, golden["eval/pred_labels"])
    assert_close("decoder", f.decoded, golden["eval/decoder"])
    for i, name in enumerate(NAMES):
        assert_close("private", f.private[i], golden[f"eval/{name}_private"])
        assert_close("common", f.common[i], golden[f"eval/{name}_common"])
    for name, logits in zip(NAMES[1:], f.alignments, strict=False):
        assert_close("alignment", logits, golden[f"eval/{name}_ctc_logits"])


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
        f = model.features(batch)
        terms = model.losses(f, batch.targets)
        loss = torch.stack([*model.weighted(terms).values()]).sum()
        expected = expected_terms(golden, step)
        assert set(terms) == set(expected)
        for name, value in terms.items():
            assert_relative(f"{step} {name}", value, expected[name])
        assert_relative(f"{step} loss", loss, golden[f"{step}/loss"].squeeze())
        assert_close(f"{step} scores", f.logits.sigmoid(), golden[f"{step}/scores"])

        optimizer.zero_grad()
        loss.backward()
        if k == 0:
            check_gradients(model, golden)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"])
        wanted = golden[f"{step}/grad_norm_before_clip"].squeeze()
        assert_relative(f"{step} gradient norm", norm, wanted)
        optimizer.step()

        state = model.state_dict()
        after = renamed(golden.under(f"{step}/param_after"))
        assert len(after) >= len(renamed(golden.under("train0/grad")))
        for name, value in after.items():
            assert_close(f"{step} {name}", state[name], value)


def test_a_run_attends_to_all_that_its_aligners_return(golden: Golden) -> None:
    """As in unaligned training: the masks given are those of the frames."""
    model, batch = unmasked(golden), batch_of(golden)
    whole = full_samples(golden, NAMES)
    with torch.no_grad():
        f, training = model.eval().features(batch), model.train().features(batch)
    assert_close("scores", f.logits.sigmoid()[whole], golden["eval/scores"][whole])
    trained = training.logits.sigmoid()[whole]
    assert_close("training scores", trained, golden["train0/scores"][whole])
    for i, name in enumerate(NAMES):
        assert_close("private", f.private[i][whole], golden[f"eval/{name}_private"][whole])
        assert_close("common", f.common[i][whole], golden[f"eval/{name}_common"][whole])


def check_gradients(model: Tailor, golden: Golden) -> None:
    wanted = renamed(golden.under("train0/grad"))
    parameters = dict(model.named_parameters())
    assert len(wanted) == len(golden.under("train0/grad")) > 0
    assert all(p.grad is not None for p in parameters.values())
    for name, value in wanted.items():
        grad = parameters[name].grad
        assert grad is not None, name
        # The alignment term makes its gradients large: absolute there means relative.
        assert_close(name, grad, value, atol=1e-5 * max(1.0, value.abs().max().item()))
        assert_relative(name, grad, value, rtol=5e-5)
