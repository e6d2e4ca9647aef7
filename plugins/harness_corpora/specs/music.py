"""Music and music videos: emotions that people heard or felt."""

from __future__ import annotations

from dataclasses import replace

from harness.specs import DatasetSpec, ModalitySpec, SourceFile

_NO_LABELS = "no labels (signal processing)"
_STANDARD = "Features are standardised with the training split's mean and deviation."

MUSIC_LABELS = (
    "amazed-suprised",
    "happy-pleased",
    "relaxing-calm",
    "quiet-still",
    "sad-lonely",
    "angry-aggresive",
)
_MARSYAS = "timbre of windows, summarised (Trohidis et al., ISMIR 2008)"
_VIEWS = "Three views of one signal, not three sensors: claims about modalities do not follow."


def _arff(part: str, size: int, sha256: str) -> SourceFile:
    name = f"emotions-{part}.arff"
    return SourceFile(
        f"music-emotions/{name}",
        f"Mulan emotions, published {part} part",
        (f"mulan-emotions/{name}",),
        size,
        sha256,
    )


MUSIC = DatasetSpec(
    name="music-emotions",
    corpus="harness_corpora.music:MusicEmotions",
    modalities=(
        ModalitySpec("mean-timbre", "v", 32, 1, f"means of {_MARSYAS}", _NO_LABELS),
        ModalitySpec("std-timbre", "a", 32, 1, f"deviations of {_MARSYAS}", _NO_LABELS),
        ModalitySpec("rhythm", "t", 8, 1, "beat histogram (Trohidis et al., 2008)", _NO_LABELS),
    ),
    labels=MUSIC_LABELS,
    splits=("train", "test"),
    group_key="song",
    files=(
        _arff("train", 252080, "bbe704106c79bb8fb99c1d1d2e9bde081d6a2daeb01f100862f11fd91a3c1f98"),
        _arff("test", 132007, "f13d4b746b7b5c8eb484bd751d6ac463d4560dff998a93516a5c1fe35daf6c8f"),
    ),
    summary="Music emotions: 593 songs, three views of one audio signal, six emotions",
    licence="none stated by the source; not shipped",
    citation="Trohidis et al., ISMIR 2008",
    notes=(
        "The published split has no validation part, so thresholds are the declared ones and the "
        "last epoch is scored.",
        _VIEWS,
        _STANDARD,
    ),
    origin="github.com/tsoumakas/mulan, data/multi-label/emotions, commit 43f6389",
    labelling="three experts labelled 30-second excerpts; songs they agreed on were kept",
    label_order="the ARFF header's last six attributes",
    published_marginals=(0.292, 0.280, 0.445, 0.250, 0.283, 0.319),
    redistribute=False,
    preset="tuned",
)
MUSIC_2 = replace(
    MUSIC,
    version=2,
    corpus="harness_corpora.music:MusicEmotionsValidated",
    splits=("train", "valid", "test"),
    notes=(
        "Validation is a fifth of the published training part, by the SHA-256 of the row's name: "
        "the version for models that need validation.",
        _VIEWS,
        _STANDARD,
    ),
)

GEMS = (
    *("amazement", "solemnity", "tenderness", "nostalgia", "calmness"),
    *("power", "joyful_activation", "tension", "sadness"),
)
"""The Geneva emotional music scale's nine factors (Zentner et al., Emotion 8, 2008)."""
EMOTIFY_LABELS = GEMS
LEAST_SHARE = 0.25
"""Share of a piece's listeners from which on it has an emotion."""
TONGUES = ("English", "Russian", "Dutch", "German", "French", "Italian", "Spanish")
"""Mother tongues of at least 2 % of the answers; the others are none of them."""

_LIBROSA = "computed from the authors' excerpts, 22.05 kHz mono"
EMOTIFY = DatasetSpec(
    name="emotify",
    corpus="harness_corpora.emotify:EmotifyPieces",
    modalities=(
        ModalitySpec("timbre", "ti", 70, 1, f"MFCC and spectral shape, {_LIBROSA}", _NO_LABELS),
        ModalitySpec("harmony", "ha", 55, 1, f"chroma and keys, {_LIBROSA}", _NO_LABELS),
        ModalitySpec("rhythm", "rh", 31, 1, f"loudness and onsets, {_LIBROSA}", _NO_LABELS),
        ModalitySpec(
            "tagger",
            "tg",
            100,
            1,
            "mean and deviation of 50 tag activations, musicnn MTT_vgg (Pons and Serra 2019)",
            "tags of MagnaTagATune, whose music comes from the same label; not these emotions",
        ),
    ),
    labels=EMOTIFY_LABELS,
    group_key="track",
    files=(
        SourceFile(
            "emotify/emotify.npz",
            "Emotify: counts of felt emotions and four audio views of 400 pieces",
            size=1094259,
            sha256="2d9ff7cf262b7674476aba6c127320480b525f4939bfe88dbc849d07b3dc78fc",
        ),
    ),
    summary="Emotify: 400 one-minute pieces, four audio views, nine felt emotions (real listeners)",
    licence="none stated (asks to cite); not shipped",
    citation="Aljanaki et al., Information Processing & Management 52 (2016)",
    notes=(
        "A piece has an emotion that a quarter of its listeners or more felt; two random halves of "
        "the listeners agree by micro-F1 .66, so a model near .70 is near what the labels allow.",
        "Split by track, by hash (60/20/20). Performers are not given: pieces of one performer may "
        "stand on two sides, and scores are somewhat too good for new ones.",
        "Four views of one signal, not four sensors.",
        _STANDARD,
    ),
    origin="github.com/sergi-andreu/ProjectMusicInformatics, commit 474daaa; rows in track order",
    labelling="11 to 59 players of a game a piece ticked up to three of nine emotions they felt",
    label_order="the archive's array `labels`",
    redistribute=False,
    preset="tuned",
)
EMOTIFY_LISTENERS = replace(
    EMOTIFY,
    name="emotify-listeners",
    corpus="harness_corpora.emotify:EmotifyListeners",
    personality_dim=3 + len(TONGUES),
    files=(
        *EMOTIFY.files,
        SourceFile(
            "emotify/answers.csv",
            "Emotify: 8,407 answers with the listener's age, gender, mood and mother tongue",
            size=369808,
            sha256="cfea3625b4f87c940851da66562014c504e592403509ea5754db981b1ab82824",
        ),
    ),
    summary="Emotify by answer: 8,407 listeners' answers to 400 pieces, traits as personality",
    notes=(
        "A sample is one answer; the listener's age, gender, mood before and mother tongue are the "
        "personality. `liked` and `disliked` were given with the answer and are no input.",
        "Split by track as in emotify, never by row: a piece has 11 to 59 answers.",
        "There is no listener id: one person's answers may stand on two sides.",
        _STANDARD,
    ),
    labelling="one player of a game ticked up to three of nine emotions he or she felt",
)

MUVI_COMPONENTS = 20
MUVI_FACTORS = {
    "wonder": ("moved", "filled_with_wonder", "allured"),
    "transcendence": ("fascinated", "overwhelmed", "feeling_of_transcendence"),
    "tenderness": ("tender", "affectionate", "mellow"),
    "nostalgia": ("nostalgic", "sentimental", "dreamy"),
    "peacefulness": ("serene", "calm", "soothed"),
    "power": ("strong", "energetic", "triumphant"),
    "joyful_activation": ("animated", "bouncy", "joyful"),
    "tension": ("tense", "agitated", "nervous"),
    "sadness": ("sad", "tearful", "blue"),
}
"""Per label the three terms of which a rating ticks any."""
MUVI_LANGUAGES = ("EN", "ZH", "JA", "KO")
MUVI_GENRES = ("Pop", "Rock", "Classical-music", "Indie-Rock")

MUVI = DatasetSpec(
    name="muvi",
    corpus="harness_corpora.muvi:Muvi",
    modalities=(
        ModalitySpec(
            "audio",
            "a",
            MUVI_COMPONENTS,
            1,
            "openSMILE emobase, mean and deviation over a minute; 20 principal components of the "
            "training videos",
            _NO_LABELS,
        ),
        ModalitySpec(
            "condition", "c", 3, 1, "one-hot: heard, seen muted, or both", "no labels (the design)"
        ),
    ),
    labels=tuple(MUVI_FACTORS),
    personality_dim=3 + len(MUVI_LANGUAGES) + len(MUVI_GENRES) + 1,
    group_key="video",
    files=(
        SourceFile(
            "muvi/ratings.csv",
            "MuVi: 1,494 ratings of 27 terms",
            size=120933,
            sha256="f96f1fc2ea9a56ccb2905fe0eb5d5948f02cf4ee670f282638c3946eea148536",
        ),
        SourceFile(
            "muvi/people.csv",
            "MuVi: 49 raters",
            size=1615,
            sha256="7b63fe981cd66227c281596cba72a709e3d33056bfa3865eb2f04ca44d562856",
        ),
        SourceFile(
            "muvi/audio.npz",
            "MuVi: openSMILE features of 81 videos",
            size=603255,
            sha256="f432c3dbe5d46f290ce572916685dfe5343be6e865e8a2cb0f81e00816314a21",
        ),
    ),
    summary="MuVi: 1,494 ratings of music videos heard, seen muted, or both; nine felt emotions",
    licence="none stated; not shipped",
    citation="Chua et al., arXiv 2202.10453 (2022)",
    notes=(
        "Audio is missing where the video was seen muted: a view that is missing by design.",
        "Split by video, by hash (60/20/20). The rater's age, training, gender, languages, genre "
        "and whether the video was known are the personality.",
        "In the published table a person's answers stand one row too late; the copy that is read "
        "is corrected (its last_of_person rows hold the person's first answer).",
        "81 videos: small; raters differ more than videos do.",
    ),
    origin="github.com/AMAAI-Lab/MuVi, commit c9c8a97; answers moved by one row inside each person",
    labelling="49 raters ticked any of 27 terms; a label is there where one of its three is ticked",
    label_order="made here: the order of Zentner's factors",
    redistribute=False,
    preset="tuned",
)
