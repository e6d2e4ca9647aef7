"""Every ablation switch removes what it names, and nothing else; all of them compose."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from harness.errors import ConfigError, UnknownNameError
from harness.specs import TrainingConfig
from harness_ramer.config import ABLATIONS, IMPOSSIBLE_IN_PUBLIC, RamerConfig, RamerPublicConfig
from harness_ramer.grid import PersonEmbedding
from harness_ramer.public import RamerPublic
from harness_ramer.ramer import Ramer, UniModalEmbedding
from tests.unit.ramer.made import VAT, Context, batch_of, paper_config, public_config, task_of

TRAINING = TrainingConfig(optimizer="bertadam", lr=1e-3)
LSR = {"clf_alpha", "clf_beta", "clf_gamma"}
REC = {"rec_decoded", "rec_beta"}
ADVERSARIAL = {"adversarial_common", "adversarial_specific"}
ALL = {"shuffle", "contrastive", "orthogonality", "common_semantic"} | LSR | REC | ADVERSARIAL
BETA, GAMMA = {"clf_beta", "rec_beta"}, {"clf_gamma"}

GONE: dict[str, set[str]] = {
    "w/o-Lsc": ADVERSARIAL,
    "w/o-C": {"adversarial_common", "orthogonality", "common_semantic"},
    "w/o-S": {"adversarial_specific", "orthogonality"},
    "w/o-Lscl": {"contrastive"},
    "w/o-codec": {"rec_decoded"},
    "w/o-Xbeta": BETA,
    "w/o-Xgamma": GAMMA,
    "w/o-Xbeta-Xgamma": BETA | GAMMA,
    "order-vtaC": set(),
    "order-tavC": set(),
    "w/o-shuffle": set(),
    "w/o-personality": set(),
    "w/o-Lorth": {"orthogonality"},
    "w/o-Lcml": {"common_semantic"},
    "w/o-adv": ADVERSARIAL | {"orthogonality"},
    "w/o-rec": LSR | REC | {"contrastive"},
}


def paper(*ablate: str, **changes: object) -> Ramer:
    torch.manual_seed(0)
    return Ramer(paper_config(ablate=ablate, **changes), task_of())


def public(*ablate: str) -> RamerPublic:
    torch.manual_seed(0)
    return RamerPublic(public_config(ablate=ablate), task_of())


def terms(model: Ramer | RamerPublic) -> set[str]:
    batch = batch_of(model.task)
    return set(model.train().training_step(batch, Context(model, TRAINING)).terms)


def test_every_switch_is_covered() -> None:
    assert set(GONE) == set(ABLATIONS)
    assert terms(paper()) == ALL


IDLE = {
    "w/o-Lsc": ("discriminator.",),
    "w/o-adv": ("discriminator.",),
    "w/o-C": ("commonality_scorer.",),
    "w/o-Lcml": ("commonality_scorer.",),
    "w/o-rec": ("scorer.",),
    "w/o-Xbeta-Xgamma": ("reconstruction.combiners.",),
}
"""Parameters that only an ablated part would train; all others learn."""


@pytest.mark.parametrize("name", sorted(ABLATIONS))
def test_paper_drops_exactly_the_named_terms_and_still_trains(name: str) -> None:
    model = paper(name)
    assert ALL - terms(model) == GONE[name]
    context = Context(model, TRAINING)
    loss = model.training_step(batch_of(model.task), context).loss
    loss.backward()
    assert loss.isfinite()
    for parameter_name, parameter in model.named_parameters():
        idle = parameter_name.startswith(IDLE.get(name, ()))
        assert (parameter.grad is None) == idle, parameter_name
    scores = model.eval().predict_step(batch_of(model.task).without_labels())
    assert scores.shape == (6, 4) and ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("name", sorted(set(ABLATIONS) - set(IMPOSSIBLE_IN_PUBLIC)))
def test_public_drops_exactly_the_named_terms(name: str) -> None:
    gone = set(GONE[name])
    if name in ("w/o-S", "w/o-Lorth", "w/o-adv"):
        gone.add("orthogonality_specific")
    assert (ALL | {"orthogonality_specific"}) - terms(public(name)) == gone


@pytest.mark.parametrize("name", sorted(IMPOSSIBLE_IN_PUBLIC))
def test_public_refuses_what_it_cannot_do(name: str) -> None:
    with pytest.raises(ConfigError, match="ramer-public cannot"):
        RamerPublicConfig(ablate=(name,))


def test_public_score_never_sees_c_and_s() -> None:
    batch = batch_of(task_of()).without_labels()
    with torch.no_grad():
        plain = public().eval().predict_step(batch)
        for name in ("w/o-C", "w/o-S"):
            assert torch.equal(public(name).eval().predict_step(batch), plain)


STRUCTURAL = ("w/o-C", "w/o-S", "w/o-codec", "w/o-Xbeta", "w/o-Xgamma", "w/o-adv", "w/o-rec")


@pytest.mark.parametrize("pair", list(combinations(STRUCTURAL, 2)), ids="+".join)
def test_any_two_compose(pair: tuple[str, str]) -> None:
    assert ALL - terms(paper(*pair)) >= GONE[pair[0]] | GONE[pair[1]]


def test_without_s_or_c_their_slots_and_modules_are_gone() -> None:
    batch = batch_of(task_of())
    no_c, no_s, neither = paper("w/o-C"), paper("w/o-S"), paper("w/o-C", "w/o-S")
    assert not [n for n, _ in no_c.named_parameters() if n.startswith("generator.")]
    assert not [n for n, _ in no_s.named_parameters() if n.startswith(("specificity.", "fusion."))]
    slots = [model.features(batch).slots.shape[1] for model in (no_c, no_s, neither)]
    assert slots == [3 + 1, 1, 0]
    assert "shuffle" not in terms(neither)
    want = neither.level_logits(neither.eval().features(batch))[:, 0].sigmoid()
    assert torch.equal(neither.predict_step(batch.without_labels()), want)
    assert "embeddings" not in neither.analysis(batch)
    with pytest.raises(ConfigError, match="nothing that classifies"):
        paper("w/o-C", "w/o-S", "w/o-rec")


def test_without_reconstruction_losses_c_zeta_alone_scores() -> None:
    model, batch = paper("w/o-rec").eval(), batch_of(task_of())
    want = model.slot_logits(model.features(batch)).sigmoid().mean(dim=1)
    assert torch.allclose(model.predict_step(batch.without_labels()), want)
    assert not [name for name in model.analysis(batch) if name.startswith("winner")]


def test_without_the_codec_x_is_its_own_latent_and_decoded_self() -> None:
    model = paper("w/o-codec")
    rec = model.features(batch_of(model.task)).rec
    assert torch.equal(rec.latent, rec.levels["alpha"])
    assert torch.equal(rec.decoded, rec.levels["alpha"])
    assert not list(model.reconstruction.codecs.parameters())


SURVIVOR = {
    (): "gamma",
    ("w/o-Xgamma",): "beta",
    ("w/o-Xbeta",): "gamma",
    ("w/o-Xbeta-Xgamma",): "alpha",
    ("w/o-Xbeta", "w/o-Xgamma"): "alpha",
}


@pytest.mark.parametrize("names", SURVIVOR, ids="+".join)
def test_what_is_left_takes_the_place_and_the_weight_of_the_last_level(
    names: tuple[str, ...],
) -> None:
    batch, level = batch_of(task_of()), SURVIVOR[names]
    model = paper(*names).eval()
    f = model.features(batch)
    last = f.rec.levels[level]
    assert list(f.rec.levels)[-1] == level
    assert torch.equal(f.rec.final, last)
    assert torch.equal(f.commonality, model.generator(last))
    weights = {name: w for name, w in model.weights.items() if name.startswith("clf_") and w}
    assert weights.pop(f"clf_{level}") == model.config.gamma_weight
    rest = {"clf_alpha": model.config.alpha_weight, "clf_beta": model.config.beta_weight}
    assert weights == {name: rest[name] for name in weights}
    assert public(*names).weights[f"clf_{level}"] == model.config.gamma_weight


def test_without_beta_and_without_gamma_are_two_structures() -> None:
    """The level that is left reads X~ of all modalities, or D~ in the place of its own."""
    batch = batch_of(task_of())
    both, no_beta, no_gamma = paper(), paper("w/o-Xbeta"), paper("w/o-Xgamma")
    for model in (both, no_beta, no_gamma):
        model.load_state_dict(both.state_dict())
        model.eval()
    rec = both.features(batch).rec
    gamma = no_beta.features(batch).rec.levels["gamma"]
    beta = no_gamma.features(batch).rec.levels["beta"]
    assert torch.equal(beta, rec.levels["beta"])
    assert torch.equal(gamma, both.reconstruction.combine(rec.decoded, rec.decoded))
    assert not torch.allclose(gamma, beta)
    assert no_beta.weights["clf_gamma"] == no_gamma.weights["clf_beta"]
    scores = [m.predict_step(batch.without_labels()) for m in (no_beta, no_gamma)]
    assert not torch.allclose(*scores)


def test_order_of_fusion_is_a_real_switch() -> None:
    batch = batch_of(task_of())
    models = {name: paper(*([name] if name else [])).eval() for name in ("", *ORDER)}
    for name, model in models.items():
        model.load_state_dict(models[""].state_dict())
        f = model.features(batch)
        for slot, m in enumerate(ORDER.get(name, (1, 2, 0))):
            assert torch.equal(f.slots[:, slot], f.specificity[:, m])
    first, second, third = (m.features(batch).slots[:, -1] for m in models.values())
    assert not torch.allclose(first, second) and not torch.allclose(second, third)


ORDER = {"order-vtaC": (1, 0, 2), "order-tavC": (0, 2, 1)}


def test_without_the_shuffle_c_zeta_sees_whole_rows() -> None:
    batch = batch_of(task_of())
    shuffled, plain = paper(), paper("w/o-shuffle")
    draws = [torch.Generator().manual_seed(0) for _ in range(2)]
    one = shuffled.objective(shuffled.features(batch), batch.targets, draws[0]).terms["shuffle"]
    f = plain.features(batch)
    other = plain.objective(f, batch.targets, draws[1]).terms["shuffle"]
    assert not torch.isclose(one, other)
    logits = plain.slot_logits(f)
    whole = batch.targets[:, None].expand_as(logits)
    want = torch.nn.functional.binary_cross_entropy_with_logits(logits, whole)
    assert torch.isclose(other, want)


def test_personality_switch_of_public() -> None:
    task = task_of(personality=4)
    torch.manual_seed(0)
    with_it = RamerPublic(public_config(), task)
    without = RamerPublic(public_config(ablate=("w/o-personality",)), task)
    assert with_it.embedding.personality is not None and without.embedding.personality is None
    assert isinstance(Ramer(paper_config(), task).embedding, PersonEmbedding)
    off = Ramer(paper_config(ablate=("w/o-personality",)), task)
    assert isinstance(off.embedding, UniModalEmbedding)


def test_unknown_and_contradicting_names_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="w/o-Lsc"):
        RamerConfig(ablate=("w/o-lsc",))
    with pytest.raises(ConfigError, match="two fusion orders"):
        RamerConfig(ablate=("order-vtaC", "order-tavC"))
    with pytest.raises(ConfigError, match="does not fit"):
        Ramer(paper_config(ablate=("order-vtaC",)), task_of(VAT[1:]))
