"""The calibrated design of MEmoR's twin: constants, and the probabilities of emotions.

The figures behind the calibration are in docs/twins.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness_corpora.specs import MEMOR_FINE_LABELS, MEMOR_LABELS
from harness_corpora.twins import MEMOR_TWIN_VERSION

CHARACTERS = 8
MILD = {
    "serenity": "joy",
    "interest": "anticipation",
    "annoyance": "anger",
    "boredom": "disgust",
    "distraction": "surprise",
}
"""Fine-grained emotion -> the primary one it is the mild form of."""

PRIMARY_OF = np.array([MEMOR_LABELS.index(MILD.get(f, f)) for f in MEMOR_FINE_LABELS])
"""Primary class of each fine-grained one, int64 [14]."""

ALIKE = (("joy", "trust"), ("anger", "disgust"), ("sadness", "fear"), ("surprise", "anticipation"))
"""Primary emotions that look and sound alike: which of the two it is depends on personality."""

GROUP_OF = np.zeros(len(MEMOR_LABELS), dtype=np.int64)
"""Group of each primary class, int64 [9]: 0 neutral, 1.. the pairs of `ALIKE`."""

SIDE_OF = np.zeros(len(MEMOR_LABELS), dtype=np.int64)
"""+1 for the first of its pair, -1 for the second, 0 for neutral, int64 [9]."""

for _group, _pair in enumerate(ALIKE, start=1):
    for _label, _side in zip(_pair, (1, -1), strict=True):
        GROUP_OF[MEMOR_LABELS.index(_label)] = _group
        SIDE_OF[MEMOR_LABELS.index(_label)] = _side


@dataclass(frozen=True)
class GridStream:
    """One modality of the twin: one code vector per cell.

    ``amplitude`` [9] is the planted dependence of each primary emotion on the axis of its group,
    ``contrast`` that on the axis that tells the two of a pair apart, ``mild`` that on the axis of
    the mild form, ``mark`` that on the axis that says "this person speaks". ``gain`` brings
    features to a size of about one half. ``floor`` is isotropic noise in the code's complement.
    """

    name: str
    dim: int
    amplitude: tuple[float, ...]
    contrast: float
    mild: float
    mark: float
    gain: float
    floor: float


@dataclass(frozen=True)
class GridDesign:
    """Everything that determines MEmoR's twin besides the seed.

    Attributes:
        streams: the modalities; the visual one describes the face part only.
        base: weights of the 14 emotions before personality.
        shift: a personality's effect on the log weights within a group.
        mood: how far a clip's mood, a group, is felt by everybody in all of its segments.
        stay: probability of keeping one's own emotion of the segment before.
        contagion: probability of taking over the speaker's emotion, least and most susceptible.
        offset: standard deviation of a person's constant offset in a clip, in ``rank`` directions.
        scene: size of object and environment features, constant in a clip, in ``rank`` directions.
        clips: number of clips, default and full.
    """

    streams: tuple[GridStream, ...]
    base: tuple[float, ...]
    shift: float
    mood: float
    stay: float
    contagion: tuple[float, float]
    offset: float
    scene: float
    clips: tuple[int, int]
    rank: int = 3

    def count(self, size: str) -> int:
        """Return the number of clips of ``default`` or ``full``.

        Raises:
            UsageError: another size.
        """
        if size not in ("default", "full"):
            raise UsageError(f"unknown twin size {size!r}; use 'default' or 'full'.")
        return self.clips[size == "full"]

    def rng(self, seed: int, *purpose: object) -> np.random.Generator:
        """Return the generator for one purpose, a function of (twin version, seed)."""
        text = "/".join(map(str, ("twin", MEMOR_TWIN_VERSION, "memor", seed, *purpose)))
        digest = hashlib.sha256(text.encode()).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


@dataclass(frozen=True)
class Feelings:
    """Who feels what with which chance in clips of one mood: C characters, K emotions.

    ``chance`` is that of the mood itself. ``first`` float64 [K] is everybody's distribution in the
    first segment of a pair, ``prior`` float64 [C, K] a personality's own one in the second, where
    ``stay`` is the probability of keeping the emotion of the segment before, ``contagion``
    float64 [C] that of taking over the speaker's.
    """

    chance: float
    first: NDArray[np.float64]
    prior: NDArray[np.float64]
    stay: float
    contagion: NDArray[np.float64]

    def alone(self) -> NDArray[np.float64]:
        """Return p(emotion | own emotion before) of who speaks or hears nobody, [C, K, K]."""
        k = self.prior.shape[1]
        own: NDArray[np.float64] = (1.0 - self.stay) * self.prior[:, None, :]
        return own + self.stay * np.eye(k)

    def moved(self) -> NDArray[np.float64]:
        """Return p(emotion | own before, the speaker's now) of a listener, [C, K, K, K]."""
        eye = np.eye(self.prior.shape[1])
        rest = (1.0 - self.stay - self.contagion)[:, None] * self.prior
        taken = self.contagion[:, None, None] * eye
        found: NDArray[np.float64] = rest[:, None, None, :] + taken[:, None, :, :]
        return found + self.stay * eye[:, None, :]


def _scaled(scale: float, row: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(scale * a, 4) for a in row)


# Columns: neutral, joy, anger, disgust, sadness, surprise, fear, anticipation, trust. Surprise is
# mostly acoustic, anger mostly visual.
_VISUAL = (1.0, 1.1, 1.3, 1.1, 0.9, 0.6, 0.9, 0.8, 0.9)
_AUDIO = (0.9, 0.8, 0.6, 0.7, 1.0, 1.4, 1.1, 1.0, 0.8)
_TEXT = (1.0, 1.0, 0.8, 1.0, 1.0, 0.7, 0.8, 1.1, 1.1)

MEMOR = GridDesign(
    streams=(
        GridStream("text", 1024, _scaled(2.4, _TEXT), 0.2, 0.2, 0.0, 4.0, 0.03),
        GridStream("visual", 1024, _scaled(2.4, _VISUAL), 0.2, 0.2, 1.5, 4.0, 0.03),
        GridStream("audio", 6373, _scaled(2.4, _AUDIO), 0.2, 0.2, 0.0, 10.0, 0.02),
    ),
    # Order of the labels; a choice, the real frequencies are not public.
    base=(0.16, 0.10, 0.08, 0.07, 0.11, 0.10, 0.09, 0.06, 0.09, 0.06, 0.04, 0.05, 0.03, 0.04),
    shift=2.0,
    mood=0.6,
    stay=0.1,
    contagion=(0.2, 0.8),
    offset=0.5,
    scene=0.1,
    clips=(260, 1100),
)


def traits(design: GridDesign, seed: int) -> NDArray[np.float64]:
    """Return each character's traits, float64 [8, 6], every column balanced over the characters.

    Four signs say which of the two of a pair they incline to, one whether to the strong (-1) or to
    the mild form; the last, evenly spread over [-1, 1], is how easily others move them. The signs
    of the first three are all different, the fourth is their product, the fifth a product of two.
    """
    rng = design.rng(seed, "traits")
    bits = 2.0 * ((np.arange(CHARACTERS)[:, None] >> np.arange(3)) & 1) - 1.0
    signs = np.column_stack([bits, bits.prod(axis=1), bits[:, 0] * bits[:, 1]])
    moved = 2.0 * rng.permutation(CHARACTERS) / (CHARACTERS - 1) - 1.0
    return np.column_stack([rng.permutation(signs), moved])


def feelings(design: GridDesign, seed: int) -> tuple[Feelings, ...]:
    """Return the chances of the twin's 8 characters and 14 fine-grained emotions, by mood.

    Personality moves weight within a group only: how often a group is felt says nothing of who it
    is, so that personality, once dropped, is hard to guess from the grid. A mood is a group: with
    chance ``mood`` whoever draws an emotion draws from that group only. A mood is as likely as its
    group, so that over all clips emotions are as likely as without moods.
    """
    own = traits(design, seed)
    base = np.asarray(design.base) / np.sum(design.base)
    group, side = GROUP_OF[PRIMARY_OF], SIDE_OF[PRIMARY_OF]
    form = np.where(np.arange(len(base)) < len(MEMOR_LABELS), -1.0, 1.0)
    inclined = np.hstack([np.zeros((CHARACTERS, 1)), own[:, :4]])[:, group] * side
    inclined += own[:, 4:5] * form * (group > 0)
    weight = base * np.exp(design.shift * inclined)
    shares = np.array([base[group == g].sum() for g in range(len(ALIKE) + 1)])
    for g, share in enumerate(shares):
        within = group == g
        weight[:, within] *= share / weight[:, within].sum(axis=1, keepdims=True)
    low, high = design.contagion
    moved = low + (high - low) * (own[:, 5] + 1.0) / 2.0

    def tinged(p: NDArray[np.float64], g: int) -> NDArray[np.float64]:
        share = 1.0 - design.mood + design.mood * (group == g) / shares[g]
        found: NDArray[np.float64] = p * share
        return found

    return tuple(
        Feelings(float(share), tinged(base, g), tinged(weight, g), design.stay, moved)
        for g, share in enumerate(shares)
    )
