"""The calibrated design of MEmoR's twin: constants, and the probabilities of emotions.

The figures behind the calibration are in docs/twins.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness_corpora.specs import MEMOR_FINE_LABELS, MEMOR_LABELS
from harness_corpora.twins import MEMOR_TWIN_VERSION
from harness_corpora.twins.words import WHOLE, Integers, Stream

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
    """One modality of the twin: one code vector per cell, whose noise is standard normal.

    In 1/256: ``amplitude`` [9] is the planted dependence of each primary emotion on the axis of its
    group, ``contrast`` that on the axis that tells the two of a pair apart, ``mild`` that on the
    axis of the mild form, ``mark`` that on the axis that says "this person speaks", ``floor`` the
    isotropic noise in the code's complement. ``gain`` brings features to a size of about one half.
    """

    name: str
    dim: int
    amplitude: tuple[int, ...]
    contrast: int
    mild: int
    mark: int
    gain: int
    floor: int


@dataclass(frozen=True)
class GridDesign:
    """Everything that determines MEmoR's twin besides the seed.

    Attributes:
        streams: the modalities; the visual one describes the face part only.
        base: integer weights of the 14 emotions before personality.
        odds: what two traits that agree multiply a weight within a group with (e^4).
        mood: how far a clip's mood, a group, is felt by everybody in all of its segments.
        stay: probability of keeping one's own emotion of the segment before.
        contagion: probability of taking over the speaker's emotion, least and most susceptible.
        offset: standard deviation of a person's constant offset in a clip, in ``rank`` directions,
            in 1/16.
        scene: size of object and environment features, constant in a clip, in ``rank`` directions,
            in 1/2.
        clips: number of clips, default and full.
    """

    streams: tuple[GridStream, ...]
    base: tuple[int, ...]
    odds: Fraction
    mood: Fraction
    stay: Fraction
    contagion: tuple[Fraction, Fraction]
    offset: int
    scene: tuple[tuple[str, int], ...]
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


def stream_name(seed: int, *purpose: object) -> str:
    """Return the name of the stream of words for one purpose: of (twin version, seed) alone."""
    return "/".join(map(str, (f"memor-v{MEMOR_TWIN_VERSION}", seed, *purpose)))


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


@dataclass(frozen=True)
class Odds:
    """What `Feelings` of one mood are drawn by: integer weights and thresholds of words.

    ``mood`` is the mood's weight. ``first`` int64 [K] and ``prior`` int64 [C, K] are weights,
    ``stay`` is the threshold of keeping one's emotion, ``contagion`` [C] that of taking over the
    speaker's.
    """

    mood: int
    first: Integers
    prior: Integers
    stay: int
    contagion: tuple[int, ...]

    def feelings(self, total: int) -> Feelings:
        """Return the chances; ``total`` is the sum of all moods' weights."""
        return Feelings(
            self.mood / total,
            self.first / self.first.sum(),
            self.prior / self.prior.sum(axis=1, keepdims=True),
            self.stay / WHOLE,
            np.array(self.contagion) / WHOLE,
        )


# Columns: neutral, joy, anger, disgust, sadness, surprise, fear, anticipation, trust; about 2.4.
# Surprise is mostly acoustic, anger mostly visual.
_TEXT = (614, 614, 492, 614, 614, 430, 492, 676, 676)
_VISUAL = (614, 676, 799, 676, 553, 369, 553, 492, 553)
_AUDIO = (553, 492, 369, 430, 614, 860, 676, 614, 492)

MEMOR = GridDesign(
    streams=(
        GridStream("text", 1024, _TEXT, 51, 51, 0, 4, 8),
        GridStream("visual", 1024, _VISUAL, 51, 51, 384, 4, 8),
        GridStream("audio", 6373, _AUDIO, 51, 51, 0, 10, 5),
    ),
    # Order of the labels; a choice, the real frequencies are not public.
    base=(16, 10, 8, 7, 11, 10, 9, 6, 9, 6, 4, 5, 3, 4),
    odds=Fraction(54_598_150_033, 10**9),
    mood=Fraction(3, 5),
    stay=Fraction(1, 10),
    contagion=(Fraction(1, 5), Fraction(4, 5)),
    offset=8,
    scene=(("object", 4), ("environment", 5)),
    clips=(260, 1100),
)


def traits(seed: int) -> Integers:
    """Return each character's traits, int64 [8, 6], every column balanced over the characters.

    Four signs say which of the two of a pair they incline to, one whether to the strong (-1) or to
    the mild form; the last, -7, -5, ... 7, is how easily others move them. The signs of the first
    three are all different, the fourth is their product, the fifth a product of two.
    """
    words = Stream(stream_name(seed, "traits"))
    bits = 2 * ((np.arange(CHARACTERS)[:, None] >> np.arange(3)) & 1) - 1
    signs = np.column_stack([bits, bits.prod(axis=1), bits[:, 0] * bits[:, 1]])
    order, rank = (words.shuffle(CHARACTERS, CHARACTERS) for _ in range(2))
    return np.column_stack([signs[order], 2 * np.array(rank) - (CHARACTERS - 1)])


def odds(design: GridDesign, seed: int) -> tuple[Odds, ...]:
    """Return what the 8 characters' 14 fine-grained emotions are drawn by, by mood.

    Personality moves weight within a group only: how often a group is felt says nothing of who it
    is, so that personality, once dropped, is hard to guess from the grid. A mood is a group: with
    chance ``mood`` whoever draws an emotion draws from that group only. A mood is as likely as its
    group, so that over all clips emotions are as likely as without moods.
    """
    own, kinds = traits(seed).tolist(), range(len(design.base))
    group, side = GROUP_OF[PRIMARY_OF].tolist(), SIDE_OF[PRIMARY_OF].tolist()
    form = [-1 if k < len(MEMOR_LABELS) else 1 for k in kinds]
    total = sum(design.base)
    shares = [sum(design.base[k] for k in kinds if group[k] == g) for g in range(len(ALIKE) + 1)]

    def personal(traits: list[int]) -> list[Fraction]:
        weight = [Fraction(b) for b in design.base]
        for k in kinds:
            if group[k]:
                agree = traits[group[k] - 1] * side[k] + traits[4] * form[k]
                weight[k] *= design.odds ** (agree // 2)
        sums = [sum(weight[k] for k in kinds if group[k] == g) for g in range(len(shares))]
        return [weight[k] * shares[group[k]] / sums[group[k]] / total for k in kinds]

    def tinged(chances: list[Fraction], g: int) -> list[int]:
        felt = [design.mood * total / shares[g] * (group[k] == g) for k in kinds]
        return [
            round(WHOLE * p * (1 - design.mood + f)) for p, f in zip(chances, felt, strict=True)
        ]

    plain, personal_ones = [Fraction(b, total) for b in design.base], [personal(t) for t in own]
    low, high = design.contagion
    moved = [low + (high - low) * Fraction(t[5] + CHARACTERS - 1, 2 * CHARACTERS - 2) for t in own]
    return tuple(
        Odds(
            share,
            np.array(tinged(plain, g), dtype=np.int64),
            np.array([tinged(p, g) for p in personal_ones], dtype=np.int64),
            round(WHOLE * design.stay),
            tuple(round(WHOLE * p) for p in moved),
        )
        for g, share in enumerate(shares)
    )


def feelings(design: GridDesign, seed: int) -> tuple[Feelings, ...]:
    """Return the chances that the emotions are drawn with, by mood (see `odds`)."""
    moods = odds(design, seed)
    return tuple(m.feelings(sum(design.base)) for m in moods)
