"""IMDer equals the authors' code: a score network, every pattern, three training steps."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import harness_baselines.imder as module
from harness.data.batch import Batch
from harness.model import Encoded
from harness.specs import ModalitySpec, TaskInfo
from harness_baselines.imder import GENERATES, Imder, stacked
from harness_baselines.imder_inputs import ImderConfig
from harness_baselines.imder_network import ScoreNetwork, deviation, diffusion, sampler_times
from tests.parity.golden import Golden, assert_close, assert_relative, golden_root
from tests.parity.test_mult import HEAD, INDEX, LAYER_RULES, encoder_name

GOLDEN_MODEL = "imder"
NAMES = ("text", "audio", "vision")
KEYS = "lav"
MERGES = {"la": 0, "lv": 1, "va": 2}
SCORE_RULES = (
    (r"embed\.0\.W", "frequencies"),
    (r"embed\.1\.(\w+)", r"embed.\1"),
    (r"tconv1\.(\w+)", r"output.\1"),
    (r"tconv1_cond\.(\w+)", r"condition_output.\1"),
    (r"attention_t1\.(.+)", r"output_encoder.\1"),
)
LEVEL_RULES = (
    (r"(t?)conv(\d)\.(.+)", "state"),
    (r"(t?)conv(\d)_cond\.(.+)", "condition"),
    (r"attention_(t?)(\d)\.(.+)", "encoder"),
    (r"(t?)gnorm(\d)\.(.+)", "norm"),
)
REFINEMENT_RULES = (
    (r"0\.(\w+)", r"widen.\1"),
    (r"1\.body\.(\d+)\.body\.([02])\.(\w+)", r"blocks.\1.body.\2.\3"),
    (r"1\.body\.(\d+)\.body\.3\.conv_du\.([02])\.(\w+)", r"blocks.\1.weigh.\2.\3"),
    (r"1\.body\.\d+\.(\w+)", r"close.\1"),
    (r"2\.(\w+)", r"narrow.\1"),
)


def by_rules(theirs: str, rules: tuple[tuple[str, str], ...]) -> str | None:
    for pattern, ours in rules:
        if match := re.fullmatch(pattern, theirs):
            return match.expand(ours)
    return None


def inside_encoder(name: str) -> str:
    if match := re.fullmatch(r"(.+?\.)?layer_norm\.(\w+)", name):
        return f"{match[1] or ''}norm.{match[2]}"
    if match := re.fullmatch(r"(.*)layers\.(\d+)\.(.+)", name):
        return f"{match[1]}layers.{match[2]}.{by_rules(match[3], LAYER_RULES)}"
    return name


def score_name(theirs: str) -> str:
    """Return our name of a parameter of a score network."""
    if found := by_rules(theirs, SCORE_RULES):
        return inside_encoder(found)
    if match := re.fullmatch(r"dense(\d)\.dense\.(\w+)", theirs):
        k = int(match[1])
        return f"{'down' if k < 5 else 'up'}.{k - (1 if k < 5 else 5)}.time.{match[2]}"
    for pattern, part in LEVEL_RULES:
        if match := re.fullmatch(pattern, theirs):
            where = f"up.{4 - int(match[2])}" if match[1] else f"down.{int(match[2]) - 1}"
            return inside_encoder(f"{where}.{part}.{match[3]}")
    raise KeyError(theirs)


def our_name(theirs: str) -> str:
    if name := encoder_name(theirs):
        return name
    if match := re.fullmatch(r"score_([lav])\.(.+)", theirs):
        return f"scores.{INDEX[match[1]]}.{score_name(match[2])}"
    if match := re.fullmatch(r"rec_([lav])\.(.+)", theirs):
        return f"refinements.{INDEX[match[1]]}.{by_rules(match[2], REFINEMENT_RULES)}"
    if match := re.fullmatch(r"cat_(\w\w)\.(\w+)", theirs):
        return f"merges.{MERGES[match[1]]}.{match[2]}"
    if match := re.fullmatch(r"proj_([lav])\.weight", theirs):
        return f"projections.{INDEX[match[1]]}.weight"
    part, kind = theirs.split(".")
    return f"{HEAD[part]}.{kind}"


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under our names; theirs read vision before audio in a condition."""
    swapped = {
        k: torch.cat(v.chunk(2, dim=1)[::-1], dim=1) if k == "cat_va.weight" else v
        for k, v in tensors.items()
    }
    return {our_name(k): v for k, v in swapped.items()}


@dataclass
class Given:
    """The golden files' draws, in the place of `TrainingDraws`."""

    golden: Golden
    where: str

    def tensor(self, modality: int, name: str) -> Tensor:
        return self.golden[f"{self.where}/{KEYS[modality]}/{name}"]

    def noise(self, modality: int, rows: Tensor) -> Tensor:
        parts = [self.tensor(modality, name) for name in ("init", "cond", "x")]
        return interleaved(*parts)[:, rows]

    def matching(self, modality: int, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = self.tensor(modality, "loss_z")[rows]
        return self.tensor(modality, "loss_u")[rows], z, z


def interleaved(start: Tensor, cond: Tensor, state: Tensor) -> Tensor:
    """Return noise as our sampler takes it, [2N, B, d, T]."""
    return torch.cat([start[None], torch.stack([cond, state], 1).flatten(0, 1)[:-1]])


def built(golden: Golden) -> Imder:
    meta = golden.meta
    length = meta["frames_after_projection"]
    task = TaskInfo(
        "golden",
        tuple(ModalitySpec(n, n[0], meta["dims"][n], length) for n in NAMES),
        tuple(f"label{i}" for i in range(meta["outputs"])),
    )
    config = ImderConfig(
        size=meta["d"],
        heads=meta["heads"],
        layers=meta["nlevels"],
        kernel=meta["kernel"],
        embed_dropout=0.0,
        attention_dropout={},
        growth=[c // meta["d"] for c in meta["score_channels"]],
        embedding=meta["score_embed"],
        score_layers=meta["score_layers"],
        first_groups=meta["score_groups_first"],
        groups=meta["score_groups_other"],
        blocks=meta["rec_blocks"],
        reduction=meta["rec_reduction"],
        sampler_steps=meta["sampler_steps"],
        standardize=False,
    )
    model = Imder(config, task)
    state = renamed(golden.under("state"))
    assert state.keys() == model.state_dict().keys() - {"stage"}
    model.load_state_dict({**state, "stage": torch.tensor(GENERATES)})
    return model


def encoded(model: Imder, golden: Golden) -> Encoded:
    """Return what `encode` does, under their kernel without padding."""
    inputs = {n: golden[f"input/{n}"] for n in NAMES}
    there = torch.ones(4, 3, dtype=torch.bool)
    if golden.meta["kernel"] == 1:
        mask = {n: torch.ones(x.shape[:2], dtype=torch.bool) for n, x in inputs.items()}
        return model.encode(Batch(inputs, mask, there, there, tuple("0123")))
    found = {}
    for n, layer in zip(NAMES, model.projections, strict=True):
        x = F.conv1d(inputs[n].transpose(1, 2), layer.weight)  # type: ignore[arg-type]
        found[n] = (x, torch.ones(4, x.shape[2], dtype=torch.bool), there[:, :1])
    return found


def pattern(available: str) -> Tensor:
    return torch.tensor([k in available for k in KEYS]).expand(4, -1)


def close(name: str, got: Tensor, want: Tensor) -> None:
    assert_close(name, got, want, atol=1e-5 * max(1.0, want.abs().max().item()))


def check_gradients(module: nn.Module, wanted: dict[str, Tensor], skip: str = "$^") -> None:
    largest = max(v.abs().max().item() for v in wanted.values())
    parameters = dict(module.named_parameters())
    for name, value in wanted.items():
        grad = parameters[name].grad
        assert grad is not None, name
        if not re.search(skip, name):
            assert_close(name, grad, value, atol=2e-5 * largest)


def check_after(module: nn.Module, wanted: dict[str, Tensor], skip: str = "$^") -> None:
    state = module.state_dict()
    assert len(wanted) > 50
    for name, value in wanted.items():
        got = state[name]
        if name.endswith("projection.bias"):  # the keys' third follows rounding
            got, value = (torch.cat([x.chunk(3)[0], x.chunk(3)[2]]) for x in (got, value))
        if not re.search(skip, name):
            assert_close(name, got, value, atol=1e-4)


def test_equals_the_authors_code(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = golden.path.name.partition("_")[0]
    if kind == "score":
        check_score_network(golden)
    elif kind == "model":
        check_patterns(golden)
    elif kind == "train":
        if "absolute" in golden.meta["loss"]["task"]:
            monkeypatch.setattr(module, "task_loss", lambda a, b, kind: F.l1_loss(a, b))
        check_steps(golden)
    else:
        assert kind == "after"  # read with the steps


def check_score_network(golden: Golden) -> None:
    meta = golden.meta
    network = ScoreNetwork(
        meta["channels"],
        meta["frames"],
        embedding=meta["embed"],
        heads=meta["heads"],
        layers=meta["layers"],
        groups=(meta["groups_first"], meta["groups_other"]),
    )
    network.load_state_dict({score_name(k): v for k, v in golden.under("state").items()})
    x, c, t = (golden[f"input/{n}"] for n in ("x", "condition", "t"))
    with torch.no_grad():
        assert_relative("std", deviation(t), golden["eval/std"])
        assert_relative("diffusion", diffusion(t), golden["eval/diffusion"])
        assert_close("times", sampler_times(100), golden["eval/time_steps_100"], atol=1e-7)
        close("embed", network.embedded(t), golden["eval/embed"])
        e = F.silu(network.embedded(t))
        h, condition, kept = x, c, []
        for k, level in enumerate(network.down):
            close(f"gnorm{k + 1}", level.normed(h, condition, e)[0], golden[f"eval/gnorm{k + 1}"])  # type: ignore[operator]
            h, condition = level(h, condition, e)
            kept.append(h)
        for k, level in enumerate(network.up):
            h = torch.cat([h, kept[3 - k]], 1) if k else h
            wanted = golden[f"eval/tgnorm{4 - k}"]
            close(f"tgnorm{4 - k}", level.normed(h, condition, e)[0], wanted)  # type: ignore[operator]
            h, condition = level(h, condition, e)
        assert_relative("score", network(x, t, c), golden["eval/score"])
        assert_relative("no condition", network(x, t, None), golden["eval_nocond/score"])
        noise = interleaved(*(golden[f"draw/{n}"] for n in ("init", "cond", "x")))
        assert_relative("sampled", network.sample(c, noise), golden["sample/result"])
    recipe = meta["optimizer"]
    optimizer = torch.optim.Adam(
        [p for p in network.parameters()], recipe["lr"], tuple(recipe["betas"]), recipe["eps"]
    )
    dead = r"up\.2\.(time|encoder\.norm\.bias)"
    for k in range(3):
        u, z = golden[f"train{k}/draw/loss_u"], golden[f"train{k}/draw/loss_z"]
        asked = c.clone().requires_grad_()
        loss = network.loss(x, asked, u, z, z).mean()
        assert_relative(f"loss {k}", loss, golden[f"train{k}/loss"].squeeze(), rtol=5e-6)
        optimizer.zero_grad()
        loss.backward()
        if k == 0:
            wanted = {score_name(n): v for n, v in golden.under("train0/grad").items()}
            check_gradients(network, wanted, dead)
            assert asked.grad is not None
            assert_relative("condition", asked.grad, golden["train0/grad_condition"], rtol=2e-5)
        optimizer.step()
    after = {score_name(n): v for n, v in golden.under("train2/param_after").items()}
    if after:
        check_after(network, after, dead)


@torch.no_grad()
def check_patterns(golden: Golden) -> None:
    model, draws = built(golden).eval(), Given(golden, "draw")
    parts = encoded(model, golden)
    x, kept, _ = stacked(parts)
    for m, key in enumerate(KEYS):
        close(f"proj_{key}", x[:, m], golden[f"eval/proj_{key}"])
    found = {}
    for available, missing in golden.meta["missing"].items():
        known, at = pattern(available), f"eval/{available}"
        c = model.condition(x, known)
        if len(available) == 2:
            close("condition", c, golden[f"{at}/condition"])
        for key in missing:
            m = INDEX[key]
            sampled = model.scores[m].sample(c, draws.noise(m, torch.arange(4)))
            assert_relative(f"{at} {key}", sampled, golden[f"{at}/sampled_{key}"])
        full = model.completed(x, known, c, draws.noise)
        for key in missing:
            assert_relative(f"{at} {key}", full[:, INDEX[key]], golden[f"{at}/refined_{key}"])
        terms = model.losses(parts, known, torch.zeros(4, golden.meta["outputs"]), draws)  # type: ignore[arg-type]
        for key in missing:
            got = terms[f"score_{NAMES[INDEX[key]]}"]
            assert_relative(
                f"{at} {key}", got, golden[f"{at}/loss_score_{key}"].squeeze(), rtol=5e-6
            )
        if missing:
            assert_relative(at, terms["rec"], golden[f"{at}/loss_rec"].squeeze(), rtol=5e-6)
        found[available] = model.logits(full, kept, known)
        close(at, found[available], golden[f"{at}/logits"])
    mixed = torch.stack([pattern(p)[0] for p in ("l", "va", "lva", "v")])
    full = model.completed(x, mixed, model.condition(x, mixed), draws.noise)
    wanted = torch.stack([found[p][i] for i, p in enumerate(("l", "va", "lva", "v"))])
    close("mixed", model.logits(full, kept, mixed), wanted)


def check_steps(golden: Golden) -> None:
    start = golden_root() / GOLDEN_MODEL / golden.path.name.replace("train", "model")
    origin = Golden.read(start)
    model, recipe = built(origin).train(), golden.meta["optimizer"]
    optimizer = torch.optim.Adam(model.parameters(), recipe["lr"])
    labels = origin["input/labels"].reshape(4, -1)
    for k, available in enumerate(golden.meta["patterns"]):
        with torch.no_grad():
            parts = encoded(model, origin)
        draws = Given(golden, f"train{k}/draw")
        terms = model.losses(parts, pattern(available), labels, draws)  # type: ignore[arg-type]
        names = {"cls": "task", "rec": "rec"}
        for name, value in terms.items():
            theirs = names.get(name) or f"score_{KEYS[NAMES.index(name.partition('_')[2])]}"
            wanted = golden[f"train{k}/loss_{theirs}"].squeeze()
            assert_relative(f"train{k} {name}", value, wanted, rtol=5e-6)
        loss = torch.stack([*model.weighted(terms).values()]).sum()
        assert_relative(f"train{k}", loss, golden[f"train{k}/loss"].squeeze(), rtol=5e-6)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if wanted_grads := renamed(golden.under(f"train{k}/grad")):
            check_gradients(model, wanted_grads)
            if k == 0:
                reached = {n for n, p in model.named_parameters() if p.grad is not None}
                assert reached == wanted_grads.keys()
        nn.utils.clip_grad_value_(model.parameters(), recipe["clip_grad_value"])
        optimizer.step()
    after = Golden.read(golden_root() / GOLDEN_MODEL / golden.path.name.replace("train", "after"))
    check_after(model, renamed(after.under("train2/param_after")), r"up\.2\.(time|encoder\.norm)")
