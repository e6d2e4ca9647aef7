"""`ramer-public` equals the authors' code: scores, winners, loss terms, gradients, three steps."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from harness.data.batch import Batch
from harness.nn.optim import build_optimizer
from harness.specs import ModalitySpec, TaskInfo, TrainingConfig
from harness_ramer.config import RamerPublicConfig
from harness_ramer.public import PublicFeatures, RamerPublic
from tests.parity.golden import Golden, assert_close, assert_relative, golden_files

NAMES = ("text", "visual", "audio")
COMBINERS = {"va2t": 0, "ta2v": 1, "tv2a": 2}
SHUFFLE_FILE = "shuffle"
FILES = [f for f in golden_files("ramer") if f.stem != SHUFFLE_FILE]

RULES = (
    (r"agg\.linear\.0\.(\w+)", r"aggregator.0.\1"),
    (r"agg\.output\.(\w+)", r"aggregator.2.\1"),
    (r"common_classfier\.0\.(\w+)", r"common_classifier.\1"),
    (r"common_feature_extractor\.0\.(\w+)", r"generator.0.\1"),
    (r"private_feature_extractor\.(\d)\.0\.(\w+)", r"specificity.0.\1.\2"),
    (r"modal_discriminator\.0\.(\w+)", r"discriminator.0.\1"),
    (r"modal_discriminator\.3\.(\w+)", r"discriminator.3.\1"),
    (r"(queue\w*)", r"contrast.queue.\1"),
)
# {e} is where the encoder of modality M lives, {i} its index.
STREAM_RULES = (
    (r"M_norm\.norm2d\.(\w+)", r"{e}.norm.\1"),
    (r"M\.embeddings\.word_embeddings\.(\w+)", r"{e}.encoder.embed.\1"),
    (r"M\.embeddings\.position_embeddings\.weight", r"{e}.encoder.positions.weight"),
    (r"M\.embeddings\.LayerNorm\.(\w+)", r"{e}.encoder.norm.\1"),
    (
        r"M\.encoder\.layer\.(\d+)\.attention\.self\.(\w+\.\w+)",
        r"{e}.encoder.layers.\1.attention.\2",
    ),
    (
        r"M\.encoder\.layer\.(\d+)\.attention\.output\.dense\.(\w+)",
        r"{e}.encoder.layers.\1.attention.output.\2",
    ),
    (
        r"M\.encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.(\w+)",
        r"{e}.encoder.layers.\1.attention.norm.\2",
    ),
    (r"M\.encoder\.layer\.(\d+)\.intermediate\.dense\.(\w+)", r"{e}.encoder.layers.\1.expand.\2"),
    (r"M\.encoder\.layer\.(\d+)\.output\.dense\.(\w+)", r"{e}.encoder.layers.\1.contract.\2"),
    (r"M\.encoder\.layer\.(\d+)\.output\.LayerNorm\.(\w+)", r"{e}.encoder.layers.\1.norm.\2"),
    (r"M_attention\.attention\.weight", r"embedding.attention.{i}.queries.weight"),
    (r"proj_M\.linear\.0\.(\w+)", r"reconstruction.codecs.{i}.encoder.0.\1"),
    (r"proj_M\.output\.(\w+)", r"reconstruction.codecs.{i}.encoder.2.\1"),
    (r"de_proj_M\.linear\.0\.(\w+)", r"reconstruction.codecs.{i}.decoder.0.\1"),
    (r"de_proj_M\.output\.(\w+)", r"reconstruction.codecs.{i}.decoder.2.\1"),
    (r"M_pos_protos", r"reconstruction.prototypes.{i}.positive"),
    (r"M_neg_protos", r"reconstruction.prototypes.{i}.negative"),
    (r"M_clf_weight", r"scorer.weight[{i}]"),
)


def our_name(theirs: str) -> str | None:
    """Return our name, None for what nothing reads: the poolers, attention on personality."""
    if ".pooler." in theirs or theirs.startswith("personality_attention."):
        return None
    for pattern, ours in RULES:
        if match := re.fullmatch(pattern, theirs):
            return match.expand(ours)
    if match := re.fullmatch(r"(va2t|ta2v|tv2a)\.output\.(\w+)", theirs):
        return f"reconstruction.combiners.{COMBINERS[match[1]]}.{match[2]}"
    places = {n: (f"embedding.encoders.{i}", str(i)) for i, n in enumerate(NAMES)}
    places["personality"] = ("embedding.personality", "")
    for name, (encoder, index) in places.items():
        for pattern, ours in STREAM_RULES:
            if match := re.fullmatch(pattern.replace("M", name, 1), theirs):
                return match.expand(ours.replace("{e}", encoder).replace("{i}", index))
    raise AssertionError(f"no rule for {theirs}")


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    named = {our_name(k): v for k, v in tensors.items()}
    label = "contrast.queue.queue_label"
    return {k: v[:, 0] if k == label else v for k, v in named.items() if k is not None}


def flat(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Return named tensors with the stacked scorer split by modality."""
    out = dict(tensors)
    stacked = out.pop("scorer.weight")
    return out | {f"scorer.weight[{i}]": part for i, part in enumerate(stacked)}


def build(golden: Golden, **changes: object) -> RamerPublic:
    hp = golden.meta["hp"]
    task = TaskInfo(
        dataset="golden",
        modalities=tuple(
            ModalitySpec(n, n[0], hp[f"{n}_dim"], golden[f"input/{n}"].shape[1]) for n in NAMES
        ),
        labels=tuple(str(i) for i in range(hp["num_classes"])),
        personality_dim=hp["personality_dim"] if golden.meta["personality"] else 0,
        threshold=hp["binary_threshold"],
    )
    config = RamerPublicConfig(
        hidden_size=hp["hidden_size"],
        intermediate_size=hp["intermediate_size"],
        heads=hp["num_attention_heads"],
        modality_layers={n: hp[f"{n}_layers"] for n in NAMES},
        personality_layers=hp["personality_layers"],
        dropout=0.0,
        max_positions=hp["max_position_embeddings"],
        projection_size=hp["proj_size"],
        prototype_momentum=hp["proto_m"],
        queue_size=hp["moco_queue"],
        contrast_block=100,
        alpha_weight=hp["lsr_clf_weight"],
        beta_weight=hp["aug_clf_weight"],
        gamma_weight=hp["beta_clf_weight"],
        recon_mse_weight=hp["recon_mse_weight"],
        beta_mse_weight=hp["aug_mse_weight"],
        gamma_mse_weight=hp["beta_mse_weight"],
        contrastive_weight=hp["cl_weight"],
        adversarial_weight=hp["com_pri_weight"],
        orthogonality_weight=hp["diff_weight"],
        commonality_weight=hp["cml_weight"],
        shuffle_weight=hp["shuffle_aug_clf_weight"],
        specificity_dropout=0.0,
        commonality_dropout=0.0,
        discriminator_dropout=0.0,
        cml_dropout=0.0,
    )
    model = RamerPublic(replace(config, **changes), task)  # type: ignore[arg-type]
    state = renamed(golden.under("state"))
    scorer = [state.pop(f"scorer.weight[{i}]") for i in range(len(NAMES))]
    model.load_state_dict(state | {"scorer.weight": torch.stack(scorer)}, strict=True)
    return model


def batch_of(golden: Golden) -> Batch:
    size = len(golden["input/labels"])
    ones = torch.ones(size, 3, dtype=torch.bool)
    personal = golden.meta["personality"]
    return Batch(
        features={n: golden[f"input/{n}"] for n in NAMES},
        mask={n: golden[f"input/{n}_mask"].bool() for n in NAMES},
        present=ones,
        natural=ones,
        ids=tuple(str(i) for i in range(size)),
        labels=golden["input/labels"],
        personality=golden["input/personality"] if personal else None,
        personality_mask=golden["input/personality_mask"].bool() if personal else None,
    )


@pytest.fixture(params=FILES, ids=[f.stem for f in FILES])
def case(request: pytest.FixtureRequest) -> Golden:
    return Golden.read(request.param)


def check_features(golden: Golden, stage: str, f: PublicFeatures) -> None:
    rec = f.rec
    for i, name in enumerate(NAMES):
        for theirs, ours in (
            ("X_alpha", rec.levels["alpha"]),
            ("latent", rec.latent),
            ("recon", rec.decoded),
            ("delta", rec.mixed),
            ("padding", rec.intrinsic),
            ("X_beta", rec.levels["beta"]),
            ("X_gamma", rec.levels["gamma"]),
            ("private", f.specificity),
            ("common", f.commonality),
        ):
            assert_close(f"{name}_{theirs}", ours[:, i], golden[f"{stage}/{name}_{theirs}"])


def test_evaluation(case: Golden) -> None:
    model, batch = build(case).eval(), batch_of(case).without_labels()
    with torch.no_grad():
        f = model.features(batch)
        scores, shown = model.predict_step(batch), model.analysis(batch)
        assert list(f.rec.levels) == ["alpha", "beta", "gamma"]
        for name, level in f.rec.levels.items():
            logits, winner = model.scorer(level, f.everywhere)
            assert_close(f"logits_{name}", logits, case[f"eval/logits_{name}"])
            assert torch.equal(winner, case[f"eval/winner_{name}"])
            assert torch.equal(shown[f"winner_{name}"], winner)
    check_features(case, "eval", f)
    assert_close("agg_logits", model.aggregator(f.rec.final.flatten(2)), case["eval/agg_logits"])
    assert_close("scores", scores, case["eval/scores"])
    labels = (scores > case.meta["hp"]["binary_threshold"]).float()
    assert torch.equal(labels, case["eval/pred_labels"])
    stacked = torch.stack([f.specificity, f.commonality], dim=2).permute(0, 3, 1, 2, 4)
    assert torch.equal(shown["embeddings"], stacked)


def expected_terms(golden: Golden, step: str) -> dict[str, Tensor]:
    loss = {k.removeprefix("loss_"): v.sum() for k, v in golden.under(step).items()}
    pairs = ("text_visual", "text_audio", "visual_audio")

    def summed(prefix: str, parts: Iterable[str] = NAMES) -> Tensor:
        return torch.stack([loss[f"{prefix}_{part}"] for part in parts]).sum()

    return {
        "clf_alpha": loss["clf_alpha"],
        "clf_beta": loss["clf_beta"],
        "clf_gamma": loss["clf_gamma"],
        "rec_decoded": summed("mse_recon"),
        "rec_beta": summed("mse_X_beta"),
        "rec_gamma": summed("mse_X_gamma"),
        "contrastive": loss["supcon"],
        "shuffle": loss["shuffle"],
        "adversarial_specific": summed("adv_private"),
        "adversarial_common": summed("adv_common"),
        "orthogonality_specific": summed("orth_private", pairs),
        "orthogonality": summed("orth_common_private"),
        "common_semantic": loss["cml"],
    }


def test_three_training_steps(case: Golden) -> None:
    model, batch, recipe = build(case).train(), batch_of(case), case.meta["optimizer"]
    training = TrainingConfig(
        optimizer="bertadam",
        lr=recipe["lr"],
        warmup=recipe["warmup"],
        weight_decay=recipe["weight_decay"],
    )
    optimizer = build_optimizer(model, training, int(recipe["t_total"]))
    for k in range(case.meta["steps"]):
        step = f"train{k}"
        f = model.features(batch)
        if k == 0:
            check_features(case, step, f)
        with torch.no_grad():
            assert_close(f"{step} scores", model.predict_step(batch), case[f"{step}/scores"])
        objective = model.objective(f, batch.targets)
        expected = expected_terms(case, step)
        # A term of weight zero is not computed.
        assert set(objective.terms) == {name for name in expected if model.weights[name]}
        for name, value in objective.terms.items():
            assert_relative(f"{step} {name}", value, expected[name])
        assert_relative(f"{step} loss", objective.total, case[f"{step}/loss"].squeeze())

        optimizer.zero_grad()
        objective.total.backward()
        if k == 0:
            check_gradients(model, case)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"])
        assert_relative(f"{step} norm", norm, case[f"{step}/grad_norm_before_clip"].squeeze())
        optimizer.step()

        state = flat(model.state_dict().items())
        after = renamed(case.under(f"{step}/param_after")) | renamed(case.under(f"{step}/after"))
        assert len(after) >= len(case.under("train0/grad")) + 7
        for name, value in after.items():
            assert_close(f"{step} {name}", state[name], value)


def check_gradients(model: RamerPublic, golden: Golden) -> None:
    wanted = renamed(golden.under("train0/grad"))
    assert len(wanted) == len(golden.under("train0/grad")) >= 15
    assert all(p.grad is not None for p in model.parameters())
    gradients = flat((n, p.grad) for n, p in model.named_parameters() if p.grad is not None)
    for name, value in wanted.items():
        assert_close(name, gradients[name], value)
        assert_relative(name, gradients[name], value)


@pytest.mark.parametrize("rec", [0, 1])
@pytest.mark.parametrize("adv", [0, 1])
def test_totals_under_the_authors_two_switches(case: Golden, rec: int, adv: int) -> None:
    if case.meta["personality"]:
        assert f"train0/loss_rec{rec}_adv{adv}" not in case.tensors
        return
    ablate = (() if rec else ("w/o-rec",)) + (() if adv else ("w/o-adv",))
    model, batch = build(case, ablate=ablate).train(), batch_of(case)
    total = model.objective(model.features(batch), batch.targets).total
    assert_relative("total", total, case[f"train0/loss_rec{rec}_adv{adv}"].squeeze())


def test_the_published_shuffle_changes_no_loss(case: Golden) -> None:
    """The premise of leaving it out, on the stored indices: it is the reversal of both axes."""
    labels, step = case["input/labels"], "train0"
    sample, slot = case[f"{step}/shuffle_sample_idx"], case[f"{step}/shuffle_modality_idx"]
    batch, slots, _ = sample.shape
    assert torch.equal(sample, (batch - 1 - torch.arange(batch))[:, None, None].expand_as(sample))
    assert torch.equal(slot, (slots - 1 - torch.arange(slots))[None, :, None].expand_as(slot))
    reversed_ = case[f"{step}/agg_logits"].flip(0, 1)
    assert_close("shuffled", case[f"{step}/agg_shuffled_logits"], reversed_)
    assert len(labels) == batch
