"""The network of GCNet: BiLSTMs, two graph networks over near utterances, two linear heads.

Shapes as in `harness_baselines.gcnet`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from harness.errors import ConfigError
from harness.nn.dropout import Dropout
from harness.nn.packed_recurrent import PackedRecurrent
from harness.specs import bounded
from harness_baselines.dialogue import Dialogue, NodeChoice
from harness_baselines.dialogue_graph import masked_softmax, window
from harness_baselines.grid_inputs import Readout

MaskUnit = Literal["sample", "position", "both"]


@dataclass(frozen=True)
class GcnetConfig:
    """Hyper-parameters; sizes and windows are the authors' most frequent small setting.

    Attributes:
        hidden: e.
        graph_hidden: h; 0: half of e.
        window_past, window_future: an utterance receives from those up to ``window_future`` before
            and ``window_past`` behind it, as in the authors' code; -1: all.
        attention: each utterance attends to its whole dialogue before the classifier.
        dropout: between the layers of the BiLSTMs.
        lambda_rec: weight of the reconstruction.
        mask_rate: what the model removes in training, for it has nothing else to rebuild: ``mix``:
            of half of the samples nothing, of the others at a rate drawn anew; a number: at this
            rate. At least one modality is left.
        mask_unit: a modality is removed from the whole ``sample``, from single ``position``s, or
            half of the samples each way (``both``).
        max_frames: sequences are averaged to at most so many utterances first; 0: never.
        packed: recurrent layers read each dialogue alone; false: the padded batch, as the authors'
            code does, so that a score depends on the batch.
        d_e: D of the cell encoders (grids), 2 D numbers a modality.
        personality: use it where the data has it.
        speakers: how many are told apart, on grids and where batches say who speaks; larger ids
            count as the last.
        nodes: which cells of a grid are utterances (`harness_baselines.dialogue.nodes_of`).
        readout: `harness_baselines.grid_inputs.readout_of`.
    """

    hidden: int = bounded(100, least=1)
    graph_hidden: int = bounded(0, least=0)
    window_past: int = bounded(2, least=-1)
    window_future: int = bounded(2, least=-1)
    attention: bool = False
    dropout: float = bounded(0.5, least=0, most=1)
    lambda_rec: float = bounded(1.0, least=0)
    mask_rate: str = "mix"
    mask_unit: MaskUnit = "sample"
    max_frames: int = bounded(0, least=0)
    packed: bool = True
    d_e: int = bounded(128, least=1)
    personality: bool = True
    speakers: int = bounded(8, least=1)
    nodes: NodeChoice = "active"
    readout: Readout = "auto"

    def __post_init__(self) -> None:
        self.rate()

    def rate(self) -> float | None:
        """Return the rate of removal in training; None: ``mix``.

        Raises:
            ConfigError: it is neither ``mix`` nor a number in [0, 1).
        """
        if self.mask_rate == "mix":
            return None
        try:
            found = float(self.mask_rate)
        except ValueError:
            found = math.nan
        if not 0 <= found < 1:
            raise ConfigError(
                f"model.mask_rate is {self.mask_rate!r}; give mix, or a number in [0, 1)."
            )
        return found

    @property
    def graph_size(self) -> int:
        """Return h."""
        return self.graph_hidden or max(1, self.hidden // 2)


class StackedLstm(nn.Module):
    """Two bidirectional LSTM layers, d -> 2 H, dropout between them, with torch's first values.

    Args:
        inputs: d.
        hidden: H, per direction.
        dropout: between the layers.
        packed: as of `PackedRecurrent`.
    """

    def __init__(self, inputs: int, hidden: int, dropout: float, *, packed: bool) -> None:
        super().__init__()
        # Layer by layer: on a CPU a single layer has a faster kernel.
        self.first = PackedRecurrent(inputs, hidden, packed=packed)
        self.dropout = Dropout(dropout)
        self.second = PackedRecurrent(2 * hidden, hidden, packed=packed)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return states [B, T, 2H] of x [B, T, d], lengths int64 [B] on the CPU."""
        states: Tensor = self.second(self.dropout(self.first(x, lengths)), lengths)
        return states


class RelationalMean(nn.Module):
    """c_i = sum over relations r of the mean of u_j W_r over the senders j of r, + u_i root + bias.

    Args:
        inputs: d.
        outputs: h.
        senders: S, kinds of senders.
        receivers: Q, kinds of receivers; relation q S + s has a weight of its own.
    """

    def __init__(self, inputs: int, outputs: int, senders: int, receivers: int = 1) -> None:
        super().__init__()
        self.kinds = receivers, senders
        bound = math.sqrt(6.0 / (inputs + outputs))
        shape = (receivers * senders, inputs, outputs)
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.root = nn.Parameter(torch.empty(inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, u: Tensor, near: Tensor, sender: Tensor, receiver: Tensor) -> Tensor:
        """Return [B, T, h].

        Args:
            u: [B, T, d].
            near: bool [B, T, T], whether i receives (rows) from j (columns).
            sender: int64 [B, T, T], kind of j as i sees it.
            receiver: int64 [B, T], kind of i.
        """
        batch, length, inputs = u.shape
        receivers, senders = self.kinds
        kinds = torch.arange(senders, device=u.device)[:, None]
        sent = (near[:, :, None] & (sender[:, :, None] == kinds)).to(u.dtype)  # [B, T, S, T]
        share = sent / sent.sum(-1, keepdim=True).clamp(min=1)
        means = (share.flatten(1, 2) @ u).view(batch, length, senders * inputs)
        # One product for every kind of receiver, of which each node takes its own.
        weight = self.weight.view(receivers, senders, inputs, -1).permute(1, 2, 0, 3)
        every = (means @ weight.reshape(senders * inputs, -1)).view(batch, length, receivers, -1)
        own = receiver[..., None, None].expand(-1, -1, 1, every.shape[-1])
        return every.gather(2, own).squeeze(2) + u @ self.root + self.bias


class GraphNetwork(nn.Module):
    """One of the two graph networks: two convolutions, a BiLSTM, a layer; [B, T, 2e] to [B, T, w].

    Args:
        config: sizes and options.
        senders: kinds of senders. receivers: kinds of receivers.
    """

    def __init__(self, config: GcnetConfig, senders: int, receivers: int = 1) -> None:
        super().__init__()
        size, h = 2 * config.hidden, config.graph_size
        width = size + h
        self.conv1 = RelationalMean(size, h, senders, receivers)
        self.conv2_rel = nn.Linear(h, h)
        self.conv2_root = nn.Linear(h, h, bias=False)
        self.rnn = StackedLstm(width, width, config.dropout, packed=config.packed)
        self.transform = nn.Linear(2 * width, 2 * width) if config.attention else None
        self.linear = nn.Linear(2 * width, width)

    def forward(
        self, u: Tensor, dialogue: Dialogue, near: Tensor, sender: Tensor, receiver: Tensor
    ) -> Tensor:
        """Return hidden states [B, T, w]; arguments as of `RelationalMean.forward`."""
        c = self.conv1(u, near, sender, receiver)
        g = self.conv2_rel(near.to(c.dtype) @ c) + self.conv2_root(c)
        o = torch.where(dialogue.real[..., None], torch.cat([u, g], dim=-1), 0.0)
        k = self.rnn(o, dialogue.lengths)
        if self.transform is not None:
            scores = (self.transform(k) @ k.transpose(1, 2)).tanh()
            k = masked_softmax(scores, dialogue.real[:, None]).to(k.dtype) @ k
        hidden: Tensor = self.linear(k).relu()
        return hidden


class GcnetNetwork(nn.Module):
    """GCNet from utterances to label logits and rebuilt modalities.

    Args:
        config: sizes and options.
        inputs: numbers an utterance.
        outputs: L.
        targets: sizes of the modalities that are rebuilt, d_m each.
        speakers: n.
    """

    def __init__(
        self, config: GcnetConfig, inputs: int, outputs: int, targets: Sequence[int], speakers: int
    ) -> None:
        super().__init__()
        self.config, self.targets, self.speakers = config, list(targets), speakers
        self.context = StackedLstm(inputs, config.hidden, config.dropout, packed=config.packed)
        self.temporal = GraphNetwork(config, senders=3)
        self.speaker = GraphNetwork(config, senders=speakers, receivers=speakers)
        width = 2 * config.hidden + config.graph_size
        self.classifier = nn.Linear(width, outputs)
        self.rebuild = nn.Linear(width, sum(targets))

    def forward(self, x: Tensor, dialogue: Dialogue) -> Tensor:
        """Return z [B, T, w] of x [B, T, d]; of padding it means nothing."""
        u = self.context(x, dialogue.lengths)
        # Row i receives: the "past" window reaches behind it, as in the authors' code.
        near = window(dialogue, self.config.window_future, self.config.window_past)
        segment, who = dialogue.segment, dialogue.speaker.clamp(max=self.speakers - 1)
        order = (segment[:, None, :] - segment[:, :, None]).sign() + 1  # before, now, after
        sender = who[:, None, :].expand_as(order)
        found: Tensor = self.temporal(u, dialogue, near, order, torch.zeros_like(who))
        return found + self.speaker(u, dialogue, near, sender, who)

    def rebuilt(self, z: Tensor, modality: int) -> Tensor:
        """Return a modality rebuilt from z, [K, d_m] of [K, w]."""
        start = sum(self.targets[:modality])
        rows = slice(start, start + self.targets[modality])
        return nn.functional.linear(z, self.rebuild.weight[rows], self.rebuild.bias[rows])

    def reconstruction(
        self, z: Tensor, removed: Tensor, targets: Sequence[Tensor], real: Tensor
    ) -> Tensor:
        """Return L_rec: squared errors over d_m where a modality was removed, over all utterances.

        Args:
            z: [B, T, w].
            removed: bool [B, T, M].
            targets: per modality [K_m, d_m], in the order of its removed utterances.
            real: bool [B, T].
        """
        errors = [
            (self.rebuilt(z[removed[..., m]], m).float() - x).square().sum() / x.shape[1]
            for m, x in enumerate(targets)
        ]
        return torch.stack(errors).sum() / real.sum()
