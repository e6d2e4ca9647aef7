"""`meld-party` on made files in MELD's and FriendsPersona's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data.prepare import prepare
from harness.errors import DataFormatError
from harness.protocols.dropout import parse
from harness_corpora.meld import MeldParty, bag, main_character, read_traits
from harness_corpora.specs import MELD_PARTY

HEADER = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,"
HEADER += "StartTime,EndTime\n"
# Out of order on purpose; the last turn of dialogue 1 ends before it starts.
ROWS = """\
2,"Well, you don’t!",Joey,anger,negative,0,1,1,1,"00:00:03,000","00:00:05,000"
1,Hello there,Rachel Green,joy,positive,0,0,1,1,"00:00:01,000","00:00:02,500"
3,Hello,Rachel Green,neutral,neutral,0,2,1,1,"00:00:04,500","00:00:06,500"
4,...,The Waiter,neutral,neutral,1,0,1,1,"00:00:00,000","00:00:01,000"
5,No,Joey,joy,positive,1,1,1,1,"00:00:09,000","00:00:08,000"
"""
NAMES = ("Chandler Bing", "Joey", "Monica Geller", "Phoebe", "Rachel Green", "Ross", "Janice")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "meld").mkdir()
    for name in ("train", "dev", "test"):
        (tmp_path / f"meld/{name}_sent_emo.csv").write_text(HEADER + ROWS, encoding="utf-8")
    (tmp_path / "friends-persona").mkdir()
    scenes = [f"s{i},{name},1,0,1,{i % 2},0" for i, name in enumerate(NAMES)]
    scenes.append("s9,Rachel,0,0,1,1,1")
    text = "scene_id,character,cAGR,cCON,cEXT,cOPN,cNEU\n" + "\n".join(scenes) + "\n"
    (tmp_path / "friends-persona/scene_traits.csv").write_text(text)
    return tmp_path


def test_a_sample_is_a_speaker_of_a_dialogue(root: Path) -> None:
    train, valid, test = MeldParty(MELD_PARTY).read(root)
    assert (train.name, valid.name, test.name) == ("train", "valid", "test")
    assert train.ids == [
        *("train/0/Joey", "train/0/Rachel Green"),
        *("train/1/Joey", "train/1/The Waiter"),
    ]
    assert train.groups == ["train/0", "train/0", "train/1", "train/1"]
    # neutral joy sadness anger surprise fear disgust
    assert train.labels[:2].tolist() == [[0, 0, 0, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0]]
    for m in ("text", "timing"):
        spoken = [x.any(axis=1).tolist() for x in train.features[m]]
        assert spoken == [[False, True, False], [True, False, True], [False, True], [True, False]]
    assert np.array_equal(train.features["text"][1][0], bag("hello THERE", 2048))


def test_bags_are_stable_and_never_empty() -> None:
    assert int(np.flatnonzero(bag("hello", 2048))[0]) == 0x3610A686 % 2048
    assert np.isclose(np.linalg.norm(bag("a b a", 64)), 1.0)
    assert bag("...", 64).any()
    assert np.array_equal(bag("you don’t", 2048), bag("You don't", 2048))


def test_timing_is_standardised_on_train(root: Path) -> None:
    train = next(MeldParty(MELD_PARTY).read(root))
    spoken = np.concatenate([x[x.any(axis=1)] for x in train.features["timing"]])
    assert len(spoken) == 5
    assert np.allclose(spoken.mean(axis=0), 0.0, atol=1e-6)
    assert np.allclose(spoken.std(axis=0), 1.0, atol=1e-5)
    durations = np.array([2.0, 1.5, 2.0, 0.1, 1.0])
    wanted = (2.0 - durations.mean()) / durations.std()
    assert np.isclose(train.features["timing"][0][1, 0], wanted, atol=1e-5)


def test_main_characters_are_known_by_first_or_full_name_alone() -> None:
    known = {"Phoebe": "phoebe", "Rachel Green": "rachel", "ROSS Geller": "ross"}
    others = ("Phoebe Sr.", "Ross and Joey", "Rachel Geller", "Joey's Doctor", "The Waiter", "")
    assert {s: main_character(s) for s in (*known, *others)} == known | dict.fromkeys(others, "")


def test_personality_of_main_characters_only(root: Path) -> None:
    train = next(MeldParty(MELD_PARTY).read(root))
    assert train.personality is not None and train.personality_known is not None
    assert train.personality_known.tolist() == [True, True, True, False]
    assert train.personality[1].tolist() == [0.5, 0.0, 1.0, 0.5, 0.5]
    assert not train.personality[3].any()
    assert "janice" not in read_traits(root / "friends-persona/scene_traits.csv")


def test_through_the_store_and_the_loader(root: Path) -> None:
    store = prepare(MeldParty(MELD_PARTY), root, "meld-party")
    assert store.recompute_hash() == store.content_hash
    split = store.split("train")
    assert split.natural.all() and split.valid_lengths[:, 0].tolist() == [1, 2, 1, 1]
    options = {"batch_size": 4, "mask_option": "nonzero"}
    batch = next(iter(split.loader(**options)))
    assert batch.personality is not None and batch.personality_mask is not None
    assert batch.personality.shape == (4, 1, 5)
    assert batch.personality_mask[:, 0].tolist() == [True, True, True, False]
    assert batch.mask["text"][1].tolist() == [True, False, True]
    without = next(iter(split.loader(masks=parse("drop-p").masks(split.mask_request()), **options)))
    assert without.personality is not None and not without.personality.any()
    assert without.personality_mask is not None and not without.personality_mask.any()


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("meld/dev_sent_emo.csv", ",joy,", ",glee,", "line 3, Emotion"),
        ("meld/dev_sent_emo.csv", "Speaker", "Who", "column 'Speaker'"),
        ("meld/dev_sent_emo.csv", "00:00:03,000", "3 s", "HH:MM:SS"),
        (
            "meld/dev_sent_emo.csv",
            ",0,1,1,1,",
            ",zero,1,1,1,",
            "line 2, Dialogue_ID: expected a whole number, found 'zero'",
        ),
        ("friends-persona/scene_traits.csv", "s1,Joey,1", "s1,Joey,7", "ratings 0 or 1"),
        ("friends-persona/scene_traits.csv", "Ross", "Russ", "none of ross"),
    ],
)
def test_what_is_refused(root: Path, file: str, old: str, new: str, message: str) -> None:
    path = root / file
    path.write_text(path.read_text("utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(DataFormatError, match=message):
        list(MeldParty(MELD_PARTY).read(root))
