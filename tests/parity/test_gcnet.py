"""GCNet equals the authors' code: states, logits, losses, gradients and three steps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from harness_baselines.dialogue import Dialogue
from harness_baselines.gcnet_network import GcnetConfig, GcnetNetwork
from tests.parity.golden import Golden, assert_close, assert_relative

GOLDEN_MODEL = "gcnet"
GRAPHS = {"graph_net_temporal": "temporal", "graph_net_speaker": "speaker"}
PARTS = {
    "conv2.lin_rel": "conv2_rel", "conv2.lin_root": "conv2_root", "matchatt.transform": "transform",
}  # fmt: skip


def our_name(theirs: str) -> str:
    """Return our name of a parameter of the reference; empty: nothing uses it."""
    if theirs.startswith("gru."):
        return ""
    graph, _, rest = theirs.partition(".")
    if graph in GRAPHS:
        for name, ours in PARTS.items():
            rest = rest.replace(name, ours) if rest.startswith(name) else rest
        if rest.startswith("grufusion."):
            rest = recurrent("rnn", rest.removeprefix("grufusion."))
        return f"{GRAPHS[graph]}.{rest}"
    if graph == "lstm":
        return recurrent("context", rest)
    return theirs.replace("smax_fc.", "classifier.").replace("linear_rec.", "rebuild.")


def recurrent(module: str, weight: str) -> str:
    """Return the name of a two-layer LSTM's weight in a `StackedLstm`."""
    layer = "first" if "_l0" in weight else "second"
    return f"{module}.{layer}.rnn.{weight.replace('_l1', '_l0')}"


def renamed(golden: Golden, prefix: str) -> dict[str, Tensor]:
    unused = set(golden.meta["unused"])
    found = {our_name(k): v for k, v in golden.under(prefix).items() if k not in unused}
    return {name: value for name, value in found.items() if name}


def build(golden: Golden, *, packed: bool) -> GcnetNetwork:
    hp, dims = golden.meta["hp"], list(golden.meta["dims"].values())
    config = GcnetConfig(
        hidden=hp["D_e"], graph_hidden=hp["graph_hidden"], window_past=hp["window_past"],
        window_future=hp["window_future"], attention=hp["time_attn"], dropout=0.0, packed=packed,
    )  # fmt: skip
    network = GcnetNetwork(config, sum(dims), hp["n_classes"], dims, hp["n_speakers"])
    network.load_state_dict(renamed(golden, "state"), strict=True)
    return network


class Case:
    """The golden dialogues, batch first."""

    def __init__(self, golden: Golden) -> None:
        self.golden = golden
        lengths = golden["input/lengths"]
        positions = torch.arange(int(lengths.max()))
        real = positions < lengths[:, None]
        speaker = torch.where(real, golden["input/speaker"], 0)
        if golden.meta["hp"]["n_speakers"] == 1:
            speaker = torch.zeros_like(speaker)
        segment = positions.expand(real.shape)
        self.dialogue = Dialogue(real, lengths, speaker, speaker, segment, 2)
        self.real = real
        there = golden["input/modality_mask"].transpose(0, 1).bool()
        self.removed = ~there & real[..., None]
        names = golden.meta["modality_order"]
        self.features = [golden[f"input/{m}"].transpose(0, 1) for m in names]
        pairs = zip(self.features, there.unbind(-1), strict=True)
        self.x = torch.cat([torch.where(m[..., None], x, 0.0) for x, m in pairs], dim=-1)

    def losses(self, network: GcnetNetwork) -> tuple[Tensor, Tensor]:
        z = network(self.x, self.dialogue)
        logits, labels = network.classifier(z)[self.real], self.golden["input/labels"][self.real]
        if self.golden.meta["task"] == "cross_entropy":
            task = F.cross_entropy(logits, labels)
        else:
            task = F.mse_loss(logits.squeeze(-1), labels.float())
        targets = [x[self.removed[..., m]] for m, x in enumerate(self.features)]
        return task, network.reconstruction(z, self.removed, targets, self.real)


@torch.no_grad()
def test_states_and_answers_of_each_dialogue_alone(golden: Golden) -> None:
    case, network = Case(golden), build(golden, packed=True)
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> None:
        module = network.get_submodule(name)
        module.register_forward_hook(lambda _, __, out: seen.update({name: out}))

    for graph in ("temporal", "speaker"):
        for part in ("", ".conv1", ".rnn"):
            keep(f"{graph}{part}")
    keep("context")
    z = network(case.x, case.dialogue)
    want = golden.under("alone_eval")
    assert_close("lstm", seen["context"][case.real], want["lstm"])
    for graph in ("temporal", "speaker"):
        assert_close("conv1", seen[f"{graph}.conv1"][case.real], want[f"{graph}_conv1"])
        assert_close("rnn", seen[f"{graph}.rnn"][case.real], want[f"{graph}_rnn"])
        assert_close("hidden", seen[graph][case.real], want[f"{graph}_hidden"])
    assert_close("z", z[case.real], want["hidden"])
    assert_close("logits", network.classifier(z)[case.real], want["logits"])
    assert_close("recon", network.rebuild(z)[case.real], want["recon"])
    parts = [network.rebuilt(z[case.real], m) for m in range(3)]
    assert_close("recon by modality", torch.cat(parts, dim=-1), want["recon"])


@torch.no_grad()
def test_the_padded_batch_as_released(golden: Golden) -> None:
    case, network = Case(golden), build(golden, packed=False)
    z, want = network(case.x, case.dialogue), golden.under("eval")
    assert_close("z", z[case.real], want["hidden"].transpose(0, 1)[case.real])
    logits = network.classifier(z)
    assert_close("logits", logits[case.real], want["logits"].transpose(0, 1)[case.real])
    task, rec = case.losses(network)
    assert_close("task", task[None], want["loss_cls"])
    assert_close("intended reconstruction", rec[None], want["loss_recon_intended"])


def test_losses_gradients_and_three_steps(golden: Golden) -> None:
    case, network = Case(golden), build(golden, packed=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-5)
    for step in range(golden.meta["steps"]):
        task, rec = case.losses(network)
        want = golden.under(f"alone_train{step}")
        assert_close("task", task[None], want["loss_cls"])
        assert_close("reconstruction", rec[None], want["loss_recon"])
        assert_close("loss", (task + rec)[None], want["loss"])
        optimizer.zero_grad()
        (task + rec).backward()
        if step == 0:
            grads = renamed(golden, "alone_train0/grad")
            found = dict(network.named_parameters())
            assert set(grads) == set(found)
            for name, grad in grads.items():
                got = found[name].grad
                assert got is not None, name
                assert_relative(name, got, grad)
        optimizer.step()
    after = renamed(golden, "alone_train2/param_after")
    for name, parameter in network.named_parameters():
        assert_close(name, parameter, after[name])
