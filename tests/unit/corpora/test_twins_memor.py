"""MEmoR's twin: exact posterior, the cases a reader can get wrong, determinism, read back."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

from harness.errors import DataFormatError, UsageError
from harness_corpora import specs
from harness_corpora.memor import Memor
from harness_corpora.twins import memor
from harness_corpora.twins import memor_design as designs
from harness_corpora.twins.memor_ceiling import scores
from harness_corpora.twins.memor_emission import AXES, basis, log_likelihood, means, rows
from harness_corpora.twins.memor_posterior import Evidence, posterior
from harness_corpora.twins.memor_world import World, _emotions, draw
from harness_corpora.twins.words import Stream

SEED = 3


def chances(characters: int = 4, kinds: int = 3) -> tuple[designs.Feelings, ...]:
    rng = np.random.default_rng(0)
    return tuple(
        designs.Feelings(
            share,
            rng.dirichlet(np.ones(kinds)),
            rng.dirichlet(np.ones(kinds), characters),
            0.2,
            np.linspace(0.1, 0.7, characters),
        )
        for share in (0.3, 0.7)
    )


def enumerated(
    moods: tuple[designs.Feelings, ...], e: Evidence, casts: list[tuple[int, ...]]
) -> np.ndarray:
    """Sum over moods and everybody's emotions in every segment, literally."""
    n, segments, kinds = e.log_p.shape
    found = np.zeros(kinds)
    for p, cast in product(moods, casts):
        for flat in product(range(kinds), repeat=n * segments):
            x = np.reshape(flat, (n, segments))
            chance = p.chance
            for i, s in product(range(n), range(segments)):
                chance *= np.exp(e.log_p[i, s, x[i, s]])
                if s % 2 == 0:
                    chance *= p.first[x[i, s]]
                    continue
                k, c = e.speakers[s], cast[i]
                taken = p.contagion[c] if k not in (-1, i) else 0.0
                chance *= (
                    (1 - p.stay - taken) * p.prior[c, x[i, s]]
                    + p.stay * (x[i, s] == x[i, s - 1])
                    + taken * (x[i, s] == x[k, s])
                )
            assert e.target is not None
            found[x[e.target]] += chance
    return found / found.sum()


@pytest.mark.parametrize(
    "speaker", [-1, 1, *(pytest.param(k, marks=pytest.mark.full) for k in (0, 2))]
)
@pytest.mark.parametrize("known", [True, False])
def test_posterior_equals_full_enumeration(speaker: int, known: bool) -> None:
    rng = np.random.default_rng(speaker + 10)
    evidence = Evidence(rng.normal(0, 2, (3, 3, 3)), [1, speaker, 2], [0, 2, 3], (1, 1))
    casts = [(0, 2, 3)] if known else list(combinations(range(4), 3))
    found = posterior(chances(), evidence, characters_known=known)
    np.testing.assert_allclose(found, enumerated(chances(), evidence, casts), atol=1e-12)


def test_other_pairs_count_by_the_mood_and_by_the_cast() -> None:
    rng = np.random.default_rng(1)
    log_p = rng.normal(0, 2, (2, 4, 3))
    changed = log_p.copy()
    changed[:, 2:] += rng.normal(0, 2, (2, 2, 3))
    one = (replace(chances()[0], chance=1.0),)
    for moods, known in product((one, chances()), (True, False)):
        both = [
            posterior(moods, Evidence(x, [0, 1, 0, 1], [0, 2], (0, 1)), characters_known=known)
            for x in (log_p, changed)
        ]
        assert np.allclose(*both) == (known and moods is one)


def test_posterior_refuses_a_target_in_the_first_segment_of_a_pair() -> None:
    evidence = Evidence(np.zeros((2, 4, 3)), [0, 1, 0, 1], [0, 2], (0, 2))
    with pytest.raises(DataFormatError, match="first of its pair"):
        posterior(chances(), evidence)


def test_a_target_in_no_segment_is_anyone_of_the_cast_in_the_mood_that_shows() -> None:
    log_p = np.zeros((2, 2, 14))
    own = designs.feelings(designs.MEMOR, SEED)
    calm = posterior(own, Evidence(log_p, [0, 1], [0, 2], None))
    np.testing.assert_allclose(
        calm, sum(m.chance * m.prior[[0, 2]].mean(axis=0) for m in own), atol=1e-12
    )
    log_p[:, :, 0] = 12.0
    neutral = posterior(own, Evidence(log_p, [0, 1], [0, 2], None))
    assert neutral[0] > calm[0] + 0.2


def test_moods_leave_how_often_each_emotion_is_felt_alone() -> None:
    own = designs.feelings(designs.MEMOR, SEED)
    plain = designs.feelings(replace(designs.MEMOR, mood=Fraction(0)), SEED)
    np.testing.assert_allclose(sum(m.chance * m.first for m in own), plain[0].first, atol=1e-9)
    np.testing.assert_allclose(sum(m.chance * m.prior for m in own), plain[0].prior, atol=1e-9)
    for m in own:
        np.testing.assert_allclose(m.prior.sum(axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_features_give_back_the_likelihood_of_their_code(which: int) -> None:
    stream, emotion = designs.MEMOR.streams[which], np.arange(14)
    base = basis(designs.MEMOR, stream, SEED)
    people, speaks = emotion % designs.CHARACTERS, np.ones(14, bool)
    x = rows(designs.MEMOR, stream, base, Stream("a"), people, emotion, speaks)
    words = Stream("a")
    words.normals(designs.CHARACTERS, designs.MEMOR.rank)
    mean = means(stream) / 256
    code = words.normals(14, AXES)[:, :-1] / 256 + mean
    wanted = code @ mean.T - 0.5 * (mean**2).sum(axis=1)
    np.testing.assert_allclose(log_likelihood(stream, base, x), wanted, atol=1e-5)


def test_calibration_is_what_it_was() -> None:
    """Figures of the recipe before draws were integers: each within half a step of the grid."""
    scaled = {"text": (1, 1, 0.8, 1, 1, 0.7, 0.8, 1.1, 1.1), "audio": (0.9, 0.8, 0.6, 0.7, 1.0)}
    for stream in designs.MEMOR.streams:
        found = np.array(stream.amplitude) / 256
        wanted = 2.4 * np.array(scaled.get(stream.name, (1, 1.1, 1.3)))
        np.testing.assert_allclose(found[: len(wanted)], wanted, atol=1 / 512)
    for mood in designs.feelings(designs.MEMOR, SEED):
        assert mood.stay == pytest.approx(0.1, abs=1e-9)
        np.testing.assert_allclose(sorted(mood.contagion), np.linspace(0.2, 0.8, 8), atol=1e-9)
    plain = designs.feelings(replace(designs.MEMOR, mood=Fraction(0)), SEED)[0].prior
    own = designs.traits(SEED)
    joy, trust = 1, 8
    # Of one pair and form: each one's own sign multiplies by e^2, where the form agrees or not.
    ratio = plain[:, joy] / plain[:, trust] * designs.MEMOR.base[trust] / designs.MEMOR.base[joy]
    np.testing.assert_allclose(np.log(ratio), 4.0 * own[:, 0], atol=1e-6)


def test_emotions_are_drawn_as_the_posterior_believes() -> None:
    """Shares of 4,000 draws of a pair, against `Feelings.alone` and `Feelings.moved`."""
    mood = designs.odds(designs.MEMOR, SEED)[1]
    chances = mood.feelings(sum(designs.MEMOR.base))
    drawn = np.array([_emotions(Stream(f"b/{i}"), mood, [2, 5], [2, 2]) for i in range(4000)])
    before, spoken, heard = drawn[:, 2, 0], drawn[:, 2, 1], drawn[:, 5, 1]
    share = np.bincount(before, minlength=14) / 4000
    np.testing.assert_allclose(share, chances.first, atol=0.03)
    own = chances.alone()[2][before].mean(axis=0)
    np.testing.assert_allclose(np.bincount(spoken, minlength=14) / 4000, own, atol=0.03)
    moved = chances.moved()[5][drawn[:, 5, 0], spoken].mean(axis=0)
    np.testing.assert_allclose(np.bincount(heard, minlength=14) / 4000, moved, atol=0.03)
    kept = chances.moved()[5][drawn[:, 5, 0], spoken, spoken].mean()
    assert np.mean(heard == spoken) == pytest.approx(kept, abs=0.03)


@pytest.fixture(scope="module")
def world() -> World:
    return draw(designs.MEMOR, SEED, 400)


def test_world_has_every_special_case_at_its_rate(world: World) -> None:
    clips = {c.name: c for c in world.clips}
    assert len(clips) == len(world.clips)
    assert {len(c.cast) for c in world.clips} == {1, 2, 3, 4, 5}
    assert {len(c.speakers) for c in world.clips} == {1, *range(5, 13)}
    spoken = [(c, k, s) for c in world.clips for s, k in enumerate(c.speakers)]
    seen = [c.faces[k, s] > 10 and k in c.cast for c, k, s in spoken]
    assert 0.10 < 1 - np.mean(seen) < 0.22
    assert 0.03 < 1 - np.mean([c.audio[s] for c, _, s in spoken]) < 0.08
    extra = np.mean([n.character not in clips[n.clip].cast for n in world.notes])
    assert 0.005 < extra < 0.04
    inside = [
        [
            s
            for s, (b, e) in enumerate(zip(c.begin, c.end, strict=True))
            if c.seconds(b) <= n.moment < c.seconds(e)
        ]
        for n in world.notes
        for c in [clips[n.clip]]
    ]
    assert 0.003 < np.mean([not i for i in inside]) < 0.03
    assert any(len(i) > 1 for i in inside)
    speaks = [clips[n.clip].speakers[i[0]] == n.character for n, i in zip(world.notes, inside) if i]  # noqa: B905
    assert 0.38 < np.mean(speaks) < 0.55
    # The label is what the target feels in the first segment that holds the moment.
    for n, i in zip(world.notes, inside, strict=True):
        assert not i or clips[n.clip].emotion[n.character, i[0]] == n.emotion
    moments = [{(n.clip, n.moment) for n in world.notes if n.test == part} for part in (0, 1)]
    assert 0.12 < len(moments[0] & moments[1]) / len(moments[0] | moments[1]) < 0.30
    assert any((c.begin[1:] < c.end[:-1]).any() for c in world.clips)
    assert any((c.begin[1:] > c.end[:-1]).any() for c in world.clips)
    assert {10, 11} <= {int(f) for c in world.clips for f in c.faces.ravel()}
    assert any(c.faces.sum() <= 10 for c in world.clips)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    patch = pytest.MonkeyPatch()
    patch.setattr(memor, "MEMOR", replace(designs.MEMOR, clips=(16, 16)))
    roots = [tmp_path_factory.mktemp(n) for n in ("a", "b")]
    for root in roots:
        memor.write(root, SEED, "default")
    patch.undo()
    return roots


def test_same_seed_same_files(trees: list[Path]) -> None:
    files = [sorted(p.relative_to(r) for p in r.rglob("*") if p.is_file()) for r in trees]
    assert files[0] == files[1]
    for name in files[0]:
        assert (trees[0] / name).read_bytes() == (trees[1] / name).read_bytes(), name


@pytest.mark.parametrize("kind", ["primary", "fine"])
def test_reader_gives_back_what_was_drawn(trees: list[Path], kind: str) -> None:
    spec = next(s for s in specs.DATASETS if s.name == f"memor-{kind}")
    world = draw(designs.MEMOR, SEED, 16)
    clips = {c.name: c for c in world.clips}
    splits = list(Memor(spec).read(trees[0]))
    assert sum(len(s.ids) for s in splits) == len(world.notes)
    assert [s.name for s in splits if all(world.notes[_id(i)].test for i in s.ids)] == ["test"]
    for split in splits:
        for i, name in enumerate(split.ids):
            note = world.notes[_id(name)]
            clip = clips[note.clip]
            people = split.characters[i]
            assert people.tolist() == sorted({*clip.cast, note.character})
            label = note.emotion if kind == "fine" else designs.PRIMARY_OF[note.emotion]
            assert split.labels[i].argmax() == label
            spoken = people[:, None] == np.array(clip.speakers)
            assert ((split.index["text"][i] >= 0) == spoken).all()
            assert ((split.index["audio"][i] >= 0) == (spoken & clip.audio)).all()
            seen = (clip.faces[people] > 10) & (clip.faces.sum() > 10)
            assert ((split.index["visual"][i] >= 0) == seen).all()


def _id(name: str) -> int:
    return int(name.rsplit("#", 1)[1])


def test_annotations_of_both_kinds_agree(trees: list[Path]) -> None:
    kinds = json.loads((trees[0] / "memor" / "anno.json").read_text())
    for a, b in zip(kinds["primary"], kinds["fine_grained"], strict=True):
        assert {**a, "emotion": 0} == {**b, "emotion": 0}
        assert a["emotion"] == designs.MILD.get(b["emotion"], b["emotion"])


def test_personality_and_speaker_matter_at_the_ceiling(world: World) -> None:
    """In code space: removing either costs the best predictor accuracy."""
    rng, own = np.random.default_rng(0), designs.feelings(designs.MEMOR, SEED)
    clips, hits = {c.name: c for c in world.clips}, []
    for note in world.notes[:500]:
        c = clips[note.clip]
        s = next((s for s in range(len(c.ori)) if c.begin[s] <= _frame(c, note) < c.end[s]), None)
        if s is None or note.character not in c.cast:
            continue
        people = sorted(c.cast)
        log_p = np.zeros((len(people), len(c.ori), 14))
        for (i, k), t in product(enumerate(people), range(len(c.ori))):
            there = (c.faces[k, t] > 10, c.speakers[t] == k, c.speakers[t] == k and c.audio[t])
            for stream, here in zip(_ordered(), there, strict=True):
                if here:
                    mean = means(stream) / 256
                    code = mean[c.emotion[k, t]] + rng.standard_normal(mean.shape[1])
                    log_p[i, t] += code @ mean.T - 0.5 * (mean**2).sum(axis=1)
        speakers = [people.index(k) if k in people else -1 for k in c.speakers]
        target = (people.index(note.character), s)
        deaf = log_p.copy()
        if speakers[s] not in (-1, target[0]):
            deaf[speakers[s], s] = 0.0
        found = [
            posterior(own, Evidence(x, speakers, people, target), characters_known=known)
            for x, known in ((log_p, True), (log_p, False), (deaf, True))
        ]
        merge = np.eye(9)[designs.PRIMARY_OF]
        hits.append([(f @ merge).argmax() == designs.PRIMARY_OF[note.emotion] for f in found])
    full, anonymous, deaf_ceiling = np.mean(hits, axis=0)
    assert 0.6 < full < 0.86
    assert full - anonymous > 0.05
    assert full - deaf_ceiling > 0.01


def _ordered() -> list[designs.GridStream]:
    text, visual, audio = designs.MEMOR.streams
    return [visual, text, audio]


def _frame(clip, note) -> float:
    return (note.moment - clip.start) * 23.976 - 0.5 + 1e-3


@pytest.mark.parametrize("name", ["memor-primary-clip-multilabel", "memor-other"])
def test_ceiling_refuses_what_it_does_not_know(name: str) -> None:
    with pytest.raises(UsageError, match="no known ceiling"):
        scores(name, None, None, 0)
