"""A grid read as a dialogue: the cells that show something, in order, are its utterances.

How DialogueGCN and DialogueCRN were fed MEmoR's grids is published nowhere; this reading is the
benchmark's own design, and the same for both.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from harness.data.batch import Batch
from harness.data.grid import Grid
from harness.nn.cell_encoder import CellEncoders
from harness.nn.pooling import masked_mean
from harness.specs import TaskInfo, bounded
from harness_baselines.grid_inputs import Readout, grid_of_batch, readout_of
from harness_baselines.logits_model import LogitsModel

NodeChoice = Literal["active", "all"]


@dataclass(frozen=True)
class Dialogue:
    """B dialogues of up to T utterances.

    Attributes:
        real: bool [B, T], true first, then padding.
        lengths: int64 [B] on the CPU, each at least 1.
        speaker: int64 [B, T], who speaks, as a character id; 0 for padding.
        party: int64 [B, T], who speaks, counted within the sample.
        segment: int64 [B, T], when.
        parties: an upper bound of ``party`` + 1.
    """

    real: Tensor
    lengths: Tensor
    speaker: Tensor
    party: Tensor
    segment: Tensor
    parties: int


@dataclass(frozen=True)
class Nodes:
    """The cells of grids that are utterances.

    Attributes:
        dialogue: who speaks when.
        places: int64 [B, T], each one's place in the grid flattened [R, N]; 0 for padding.
        target: int64 [B], which one is asked about.
        own: bool [B, T], those of the target person.
    """

    dialogue: Dialogue
    places: Tensor
    target: Tensor
    own: Tensor

    def of_cells(self, x: Tensor, padding: int = 0) -> Tensor:
        """Return [B, T] of one number per cell, [B, N, R]."""
        flat = x.transpose(1, 2).flatten(1).gather(1, self.places)
        return torch.where(self.dialogue.real, flat, padding)


def nodes_of(grid: Grid, choice: NodeChoice) -> Nodes:
    """Return the utterances of grids: segment by segment, within one in the order of persons.

    Args:
        grid: B samples.
        choice: ``active``: cells with at least one modality, and the target cell always. ``all``:
            every real cell.
    """
    chosen = grid.exists
    if choice == "active":
        chosen = chosen & torch.stack([grid.valid(m) for m in grid.index]).any(dim=0)
    chosen = chosen.clone()
    samples = torch.arange(len(grid), device=chosen.device)
    chosen[samples, grid.target_person, grid.target_segment] = True
    persons = chosen.shape[1]
    flat = chosen.transpose(1, 2).flatten(1)
    counts = flat.sum(dim=1)
    lengths = counts.cpu()
    width = int(lengths.max())
    order = flat.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :width]
    real = torch.arange(width, device=flat.device) < counts[:, None]
    places = torch.where(real, order, 0)
    party, segment = places % persons, places // persons
    speaker = grid.characters.clamp(min=0).gather(1, party)
    asked = (grid.target_segment * persons + grid.target_person)[:, None]
    return Nodes(
        dialogue=Dialogue(
            real, lengths, torch.where(real, speaker, 0), party, segment, parties=persons
        ),
        places=places,
        target=flat.cumsum(dim=1).gather(1, asked).squeeze(1) - 1,
        own=real & (party == grid.target_person[:, None]),
    )


def as_one_person(grid: Grid) -> Grid:
    """Return the active cells of everybody as the segments of one person, of mean personality."""
    nodes = nodes_of(grid, "active")
    real = nodes.dialogue.real
    one = torch.ones_like(grid.num_persons)
    return replace(
        grid,
        index={m: nodes.of_cells(i, padding=-1)[:, None] for m, i in grid.index.items()},
        exists=real[:, None],
        characters=torch.zeros_like(one)[:, None],
        personality=masked_mean(grid.personality, grid.persons)[:, None],
        target_person=torch.zeros_like(one),
        target_segment=nodes.target,
        num_persons=one,
        num_segments=real.sum(dim=1),
    )


@dataclass(frozen=True)
class DialogueConfig:
    """Hyper-parameters of the reading.

    Attributes:
        d_e: D of the cell encoders; an utterance has 2 D numbers per modality, zeros where it is
            missing, and 2 D of its speaker's personality.
        personality: use it where the data has it.
        nodes: which cells are utterances.
        readout: `harness_baselines.grid_inputs.readout_of`.
        max_frames: sequences are averaged to at most so many utterances first; 0: never.
        packed: recurrent layers read each dialogue alone; false: the padded batch, as the public
            codes do, so that a score depends on the batch.
        hidden: size of recurrent states per direction.
        dropout: between recurrent layers and before the last layer.
    """

    d_e: int = bounded(128, least=1)
    personality: bool = True
    nodes: NodeChoice = "active"
    readout: Readout = "auto"
    max_frames: int = bounded(0, least=0)
    packed: bool = True
    hidden: int = bounded(100, least=1)
    dropout: float = bounded(0.4, least=0, most=1)


class DialogueNetwork(nn.Module):
    """What reads a dialogue: a state for every utterance, then answers for those asked about."""

    @abstractmethod
    def states(self, x: Tensor, dialogue: Dialogue) -> Tensor:
        """Return what `read` needs of every utterance, [B, T, e], of x [B, T, d]."""

    @abstractmethod
    def read(self, asked: Tensor, states: Tensor, real: Tensor) -> Tensor:
        """Return the answer [B, Q, h] for utterances of states [B, Q, e] among all [B, T, e].

        Args:
            asked: states of the utterances asked about, [B, Q, e].
            states: of all utterances, [B, T, e].
            real: bool [B, T], false for padding.
        """

    @abstractmethod
    def classify(self, answer: Tensor) -> Tensor:
        """Return label logits [..., L] of answers [..., h]."""

    def forward(self, x: Tensor, dialogue: Dialogue) -> Tensor:
        """Return logits of every utterance, [B, T, L]."""
        states = self.states(x, dialogue)
        return self.classify(self.read(states, states, dialogue.real))


class DialogueModel(LogitsModel):
    """A dialogue network on grids, or on sequences as dialogues of one speaker.

    A missing modality is zeros in its utterance, as a dialogue model treats an empty one; so no
    null position is needed. Where nobody's moment is asked about, the answers of the utterances
    asked about are averaged. Single-label data: softmax; multi-label data: sigmoids.
    """

    needs_nonempty_mask = False
    fused_optimizer = True
    config: DialogueConfig

    def __init__(self, config: DialogueConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        self.reads_padding = not config.packed
        people = task.personality_dim if config.personality else 0
        self.encoders = CellEncoders(task.modalities, people, config.d_e)
        parts = len(task.modalities) + (people > 0)
        self.readout = readout_of(config.readout, task)
        self.network = self.build(parts * self.encoders.size)

    @abstractmethod
    def build(self, inputs: int) -> DialogueNetwork:
        """Return the network for utterances of this many numbers."""

    def utterances(self, grid: Grid, nodes: Nodes) -> Tensor:
        """Return [B, T, d]: what each utterance shows, and who its speaker is."""
        # Utterances as the segments of one person: the encoders know grids.
        index = {m: nodes.of_cells(i, padding=-1)[:, None] for m, i in grid.index.items()}
        cells = self.encoders.cells(replace(grid, index=index), missing="zero")
        parts = [cells[m].squeeze(1) for m in self.encoders.names]
        if self.encoders.person is not None:
            person = self.encoders.personality(grid)
            party = nodes.dialogue.party[..., None].expand(-1, -1, person.shape[-1])
            parts.append(person.gather(1, party).to(parts[0].dtype))
        x = torch.cat(parts, dim=-1)
        return torch.where(nodes.dialogue.real[..., None], x, 0.0)

    def logits(self, batch: Batch) -> Tensor:
        """Return label logits [B, L]."""
        grid = grid_of_batch(batch, self.task.modalities, self.config.max_frames)
        nodes = nodes_of(grid, self.config.nodes)
        real = nodes.dialogue.real
        states = self.network.states(self.utterances(grid, nodes), nodes.dialogue)
        if self.readout == "cell":
            samples = torch.arange(len(grid), device=real.device)
            asked = states[samples, nodes.target][:, None]
            return self.network.classify(self.network.read(asked, states, real).squeeze(1))
        answers = self.network.read(states, states, real)
        whose = nodes.own if self.readout == "person" else real
        return self.network.classify(masked_mean(answers, whose))
