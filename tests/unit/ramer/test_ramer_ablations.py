"""Every ablation switch removes what it names, and nothing else; all of them compose."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from harness.errors import ConfigError, UnknownNameError
from harness.specs import TrainingConfig
from harness_ramer.config import ABLATIONS, IMPOSSIBLE_IN_PUBLIC, RamerConfig, RamerPublicConfig
from harness_ramer.model import Ramer
from harness_ramer.public import RamerPublic
from tests.unit.ramer.made import Context, batch_of, paper_config, public_config, task_of

TRAINING = TrainingConfig(optimizer="bertadam", lr=1e-3)
LSR = {"clf_alpha", "clf_beta", "clf_gamma"}
MSE = {"mse_recon", "mse_beta", "mse_gamma"}
ADVERSARIAL = {"adversarial_common", "adversarial_specific"}
ALL = {"shuffle", "contrastive", "orthogonality", "common_semantic"} | LSR | MSE | ADVERSARIAL
BETA, GAMMA = {"clf_beta", "mse_beta"}, {"clf_gamma", "mse_gamma"}

GONE: dict[str, set[str]] = {
    "w/o-Lsc": ADVERSARIAL,
    "w/o-C": {"adversarial_common", "orthogonality", "common_semantic"},
    "w/o-S": {"adversarial_specific", "orthogonality"},
    "w/o-Lscl": {"contrastive"},
    "w/o-codec": {"mse_recon"},
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
    "w/o-rec": LSR | MSE | {"contrastive"},
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


@pytest.mark.parametrize("name", sorted(ABLATIONS))
def test_paper_drops_exactly_the_named_terms_and_still_trains(name: str) -> None:
    model = paper(name)
    assert ALL - terms(model) == GONE[name]
    context = Context(model, TRAINING)
    loss = model.training_step(batch_of(model.task), context).loss
    loss.backward()
    assert loss.isfinite()
    for parameter_name, parameter in model.named_parameters():
        if name not in ("w/o-rec", "w/o-Xbeta-Xgamma"):
            assert parameter.grad is not None, parameter_name
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
    no_c, no_s = paper("w/o-C"), paper("w/o-S")
    assert no_c.generator is None and no_c.commonality_scorer is None
    assert no_s.specificity is None and no_s.fusion is None
    c_slots, s_slots = no_c.features(batch).slots, no_s.features(batch).slots
    assert c_slots is not None and c_slots.shape[1] == 3 + 1
    assert s_slots is not None and s_slots.shape[1] == 1
    neither = paper("w/o-C", "w/o-S")
    assert neither.slot_classifier is None and neither.discriminator is None
    assert neither.predict_step(batch.without_labels()).shape == (6, 4)
    with pytest.raises(ConfigError, match="nothing that classifies"):
        paper("w/o-C", "w/o-S", "w/o-rec")


def test_without_the_codec_x_is_its_own_latent_and_decoded_self() -> None:
    model = paper("w/o-codec")
    f = model.features(batch_of(model.task))
    assert torch.equal(f.reconstruction.latent, f.alpha)
    assert torch.equal(f.reconstruction.decoded, f.alpha)
    assert not list(model.reconstruction.codecs.parameters())


def test_what_is_left_takes_the_place_of_the_last_level() -> None:
    batch = batch_of(task_of())
    for names, level in (
        (("w/o-Xgamma",), "beta"),
        (("w/o-Xbeta",), "gamma"),
        (("w/o-Xbeta-Xgamma",), "alpha"),
        (("w/o-Xbeta", "w/o-Xgamma"), "alpha"),
    ):
        model = paper(*names).eval()
        f = model.features(batch)
        left = f.alpha if level == "alpha" else getattr(f.reconstruction, level)
        assert torch.equal(f.final, left)
        assert model.generator is not None and f.commonality is not None
        assert torch.equal(f.commonality, model.generator(left))
    assert not list(paper("w/o-Xbeta-Xgamma").reconstruction.combiners)


def test_without_a_first_level_the_second_gets_its_input() -> None:
    batch = batch_of(task_of())
    both, without = paper().eval(), paper("w/o-Xbeta").eval()
    without.load_state_dict(both.state_dict())
    beta = both.features(batch).reconstruction.beta
    gamma = without.features(batch).reconstruction.gamma
    assert beta is not None and gamma is not None and torch.equal(gamma, beta)


def test_order_of_fusion_is_a_real_switch() -> None:
    batch = batch_of(task_of())
    models = {name: paper(*([name] if name else [])).eval() for name in ("", *ORDER)}
    for name, model in models.items():
        model.load_state_dict(models[""].state_dict())
        f = model.features(batch)
        assert f.specificity is not None and f.slots is not None
        for slot, m in enumerate(ORDER.get(name, (1, 2, 0))):
            assert torch.equal(f.slots[:, slot], f.specificity[:, m])
    fused = [m.features(batch).slots for m in models.values()]
    assert all(x is not None for x in fused)
    first, second, third = (x[:, -1] for x in fused if x is not None)
    assert not torch.allclose(first, second) and not torch.allclose(second, third)
    f = paper(fusion_order=("C", "a", "t", "v")).eval().features(batch)
    assert f.slots is not None and f.commonality is not None and f.specificity is not None
    assert torch.equal(f.slots[:, 0], f.commonality.sum(dim=1))
    assert torch.equal(f.slots[:, 3], f.specificity[:, 1])


ORDER = {"order-vtaC": (1, 0, 2), "order-tavC": (0, 2, 1)}


def test_without_the_shuffle_c_zeta_sees_whole_rows() -> None:
    batch = batch_of(task_of())
    shuffled, plain = paper(), paper("w/o-shuffle")
    f = shuffled.features(batch)
    assert plain.draw(f, torch.Generator()) is None
    drawn = shuffled.draw(f, torch.Generator().manual_seed(0))
    one = shuffled.objective(f, batch.targets, drawn).terms["shuffle"]
    other = plain.objective(plain.features(batch), batch.targets, None).terms["shuffle"]
    assert not torch.isclose(one, other)


def test_personality_switch_of_public() -> None:
    task = task_of(personality=4)
    torch.manual_seed(0)
    with_it = RamerPublic(public_config(), task)
    without = RamerPublic(public_config(ablate=("w/o-personality",)), task)
    assert with_it.embedding.personality is not None and without.embedding.personality is None
    assert Ramer(paper_config(), task).embedding.personality is not None
    assert Ramer(paper_config(ablate=("w/o-personality",)), task).embedding.personality is None


def test_unknown_and_contradicting_names_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="w/o-Lsc"):
        RamerConfig(ablate=("w/o-lsc",))
    with pytest.raises(ConfigError, match="two fusion orders"):
        RamerConfig(ablate=("order-vtaC", "order-tavC"))
    with pytest.raises(ConfigError, match="at once"):
        RamerConfig(ablate=("order-vtaC",), fusion_order=("v", "a", "t", "C"))
    with pytest.raises(ConfigError, match="does not fit"):
        paper(fusion_order=("v", "a", "C"))
