"""IMDer's networks: the score network with its sampler, and the refinement of what it samples.

Sequences are channels-first [B, d, T] with T a multiple of 8. The stochastic differential equation
is dx = 25^t dw on t in [0, 1], without drift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.nn.crossmodal import CrossModalEncoder, CrossModalSettings, sinusoids

SIGMA = 25.0
FREQUENCY_SCALE = 30.0
LAST_TIME = 1e-3
"""Where the sampler ends."""
LEAST_TIME = 1e-5
"""Where times for training begin."""
STRIDE = 8
"""The lengths of sequences are multiples of it: the network halves them three times."""


def deviation(t: Tensor) -> Tensor:
    """Return the deviation of the noise at times t, sqrt((25^(2t) - 1) / (2 ln 25))."""
    return ((SIGMA ** (2 * t) - 1.0) / (2.0 * math.log(SIGMA))).sqrt()


def diffusion(t: Tensor) -> Tensor:
    """Return the diffusion coefficient at times t, 25^t."""
    return SIGMA**t


def sampler_times(steps: int, device: torch.device | None = None) -> Tensor:
    """Return the N times of the sampler, float32 [N], from 1 down to 1e-3."""
    return torch.linspace(1.0, LAST_TIME, steps, device=device)


class ConditionEncoder(CrossModalEncoder):
    """MulT's encoder of the state under the condition, its position codes computed once."""

    def __init__(self, dim: int, layers: int, settings: CrossModalSettings, length: int) -> None:
        super().__init__(dim, layers, settings, 0.0)
        self.register_buffer("codes", sinusoids(length, dim), persistent=False)

    def _embed(self, x: Tensor) -> Tensor:
        codes = torch.where(x[..., :1] != 0, self.get_buffer("codes"), 0.0)
        return math.sqrt(self.dim) * x + codes

    def attended(self, h: Tensor, c: Tensor) -> Tensor:
        """Return what h reads in c, [B, C, T] of two such tensors."""
        return self(h.transpose(1, 2), c.transpose(1, 2)).transpose(1, 2)


class Level(nn.Module):
    """One level of the network: convolutions, attention, time, norm.

    Args:
        state: maps the state to C channels.
        condition: maps the condition to C channels of the same length.
        encoder: of size C.
        embedding: size of the time's embedding.
        groups: of the GroupNorm; they divide C.
    """

    def __init__(
        self,
        state: nn.Module,
        condition: nn.Module,
        encoder: ConditionEncoder,
        embedding: int,
        groups: int,
    ) -> None:
        super().__init__()
        self.state, self.condition, self.encoder = state, condition, encoder
        self.time = nn.Linear(embedding, encoder.dim)
        self.norm = nn.GroupNorm(groups, encoder.dim)

    def normed(self, h: Tensor, c: Tensor | None, e: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the normed state before its nonlinearity and the mapped condition.

        Args:
            h: state [B, C', T'].
            c: condition [B, C'', T'], or None.
            e: embedded times [B or 1, E].
        """
        h = self.state(h)
        if c is not None:
            c = self.condition(c)
            h = h + self.encoder.attended(h, c)
        return self.norm(h + self.time(e)[..., None]), c

    def forward(self, h: Tensor, c: Tensor | None, e: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return state and condition of the next level, each [B, C, T]; see `normed`."""
        h, c = self.normed(h, c, e)
        return F.silu(h), c


def _halving(inputs: int, outputs: int, stride: int = 2) -> nn.Conv1d:
    return nn.Conv1d(inputs, outputs, 3, stride, padding=1, bias=False)


def _doubling(inputs: int, outputs: int) -> nn.ConvTranspose1d:
    return nn.ConvTranspose1d(inputs, outputs, 3, 2, 1, 1, bias=False)


class ScoreNetwork(nn.Module):
    """The score s(x, t, c) of a modality's noisy sequence x under a condition c: a U-Net over time.

    Args:
        channels: of the four levels; the first is d.
        length: T, a multiple of 8.
        embedding: size of the time's embedding, even.
        heads: of every attention; they divide all channels.
        layers: of every encoder.
        groups: of the GroupNorms, in the first level and elsewhere.
    """

    def __init__(
        self,
        channels: Sequence[int],
        length: int,
        *,
        embedding: int,
        heads: int,
        layers: int,
        groups: tuple[int, int],
    ) -> None:
        super().__init__()
        first, second, third, fourth = channels
        settings = CrossModalSettings(heads, 0.0, 0.0, 0.0)

        def encoder(width: int, depth: int) -> ConditionEncoder:
            return ConditionEncoder(width, layers, settings, length >> depth)

        # Drawn once and never trained.
        self.register_buffer("frequencies", FREQUENCY_SCALE * torch.randn(embedding // 2))
        self.embed = nn.Linear(embedding, embedding)
        self.down = nn.ModuleList(
            [
                Level(
                    _halving(first, first, 1), nn.Identity(), encoder(first, 0), embedding,
                    groups[0],
                ),
                *(
                    Level(
                        _halving(a, b), _halving(a, b), encoder(b, depth), embedding, groups[1]
                    )
                    for depth, a, b in (
                        (1, first, second), (2, second, third), (3, third, fourth),
                    )
                ),
            ]
        )  # fmt: skip
        self.up = nn.ModuleList(
            Level(
                _doubling(skipped * a, b), _doubling(a, b), encoder(b, depth), embedding, groups[1]
            )
            for depth, a, b, skipped in (
                (2, fourth, third, 1),
                (1, third, second, 2),
                (0, second, first, 2),
            )
        )
        self.output = nn.ConvTranspose1d(2 * first, first, 3, 1, 1)
        self.condition_output = nn.ConvTranspose1d(first, first, 3, 1, 1)
        self.output_encoder = encoder(first, 0)

    def embedded(self, t: Tensor) -> Tensor:
        """Return the embedding of times, before its nonlinearity, [B, E] of t float32 [B]."""
        angles = t[:, None] * self.get_buffer("frequencies") * 2 * math.pi
        return self.embed(torch.cat([angles.sin(), angles.cos()], dim=1))

    def forward(self, x: Tensor, t: Tensor, c: Tensor | None) -> Tensor:
        """Return the score, float32 [B, d, T].

        Args:
            x: noisy sequence [B, d, T].
            t: times, float32 [B], or [1] for all.
            c: condition [B, d, T]; None: without attention.
        """
        e = F.silu(self.embedded(t))
        h, kept = x, []
        for level in self.down:
            h, c = level(h, c, e)
            kept.append(h)
        kept.pop()
        for k, level in enumerate(self.up):
            h, c = level(torch.cat([h, kept.pop()], dim=1) if k else h, c, e)
        h = self.output(torch.cat([h, kept.pop()], dim=1))
        if c is not None:
            h = h + self.output_encoder.attended(h, self.condition_output(c))
        return h / deviation(t)[:, None, None]

    def loss(self, x: Tensor, c: Tensor, u: Tensor, z: Tensor, other: Tensor) -> Tensor:
        """Return the score matching loss of each sample, [B]: a sum over all d T values.

        Args:
            x: true sequences [B, d, T].
            c: conditions [B, d, T].
            u: float [B] in [0, 1), from which the times follow.
            z: noise of the sequences [B, d, T].
            other: noise of the conditions; z itself as published.
        """
        t = u * (1.0 - LEAST_TIME) + LEAST_TIME
        scale = deviation(t)[:, None, None]
        score = self(x + scale * z, t, c + scale * other)
        return (scale * score + z).square().sum((1, 2))

    @torch.no_grad()
    def sample(self, c: Tensor, noise: Tensor) -> Tensor:
        """Return sequences drawn by N Euler-Maruyama steps, [B, d, T].

        Args:
            c: conditions [B, d, T].
            noise: [2N, B, d, T]: the start, then of each step the condition's and the state's; the
                last step adds none to the state.
        """
        times = sampler_times(len(noise) // 2, c.device)
        delta = times[0] - times[1]
        scale, rate = deviation(times), diffusion(times)
        x = mean = deviation(times[:1]) * noise[0]
        for k in range(len(times)):
            score = self(x, times[k : k + 1], c + scale[k] * noise[2 * k + 1])
            mean = x + rate[k].square() * score * delta
            if 2 * k + 2 < len(noise):
                x = mean + delta.sqrt() * rate[k] * noise[2 * k + 2]
        return mean


class Block(nn.Module):
    """A residual block with attention over channels (RCAN): y + w * r.

    Args:
        width: C.
        reduction: the bottleneck of the weights w has C / reduction channels.
    """

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        inner = max(1, width // reduction)
        self.body = nn.Sequential(
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1),
        )
        self.weigh = nn.Sequential(
            nn.Conv1d(width, inner, 1), nn.ReLU(), nn.Conv1d(inner, width, 1), nn.Sigmoid()
        )

    def forward(self, y: Tensor) -> Tensor:
        """Return [B, C, T] of y [B, C, T]."""
        r = self.body(y)
        refined: Tensor = y + self.weigh(r.mean(2, keepdim=True)) * r
        return refined


class Refinement(nn.Module):
    """Maps a sampled sequence to one that the fusion reads.

    Args:
        size: d; blocks work on 2d channels.
        blocks: of the residual group.
        reduction: see `Block`.
    """

    def __init__(self, size: int, blocks: int, reduction: int) -> None:
        super().__init__()
        width = 2 * size
        self.widen = nn.Conv1d(size, width, 1)
        self.blocks = nn.Sequential(*(Block(width, reduction) for _ in range(blocks)))
        self.close = nn.Conv1d(width, width, 3, padding=1)
        self.narrow = nn.Conv1d(width, size, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, d, T] of x [B, d, T]."""
        y = self.widen(x)
        refined: Tensor = self.narrow(self.close(self.blocks(y)) + y)
        return refined
