"""What each data set is: modalities, labels, splits, files, citations. No numpy, no torch."""

from __future__ import annotations

from dataclasses import replace

from harness.specs import DatasetSpec, ModalitySpec, SourceFile

MOSEI_LABELS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
M3ED_LABELS = ("Happy", "Neutral", "Sad", "Disgust", "Anger", "Fear", "Surprise")
MOSI_LABELS = ("pos", "neg", "strong", "mild")
MEMOR_FINE_LABELS = (
    *("neutral", "joy", "anger", "disgust", "sadness", "surprise", "fear", "anticipation", "trust"),
    *("serenity", "interest", "annoyance", "boredom", "distraction"),
)
MEMOR_LABELS = MEMOR_FINE_LABELS[:9]
MELD_LABELS = ("neutral", "joy", "sadness", "anger", "surprise", "fear", "disgust")
MUSIC_LABELS = (
    "amazed-suprised",
    "happy-pleased",
    "relaxing-calm",
    "quiet-still",
    "sad-lonely",
    "angry-aggresive",
)

ALIGNED_FILE = SourceFile(
    "mosei/train_valid_test.pt",
    "CMU-MOSEI word-aligned features with emotion labels, as TAILOR and CARAT distribute it",
)
UNALIGNED_FILE = SourceFile(
    "mosei/mosei_senti_data_noalign.pkl",
    "CMU-MOSEI unaligned features, as MulT distributes them",
)
M3ED_FILE = SourceFile(
    "m3ed/Asent_wav2vec_zh2chmed2e5last-Vsent_avg_affectdenseface-"
    "Lsent_cls_robert_wwm_base_chinese4chmed.pkl",
    "M3ED features in the authors' DialogueRNN format (any single *.pkl in this folder will do)",
)

_MOSEI_CITATION = "Bagher Zadeh et al., ACL 2018 (CMU-MOSEI)"
_MOSEI_LICENCE = "CMU-MOSEI: academic use; features are not redistributable"
_MOSI_CITATION = "Zadeh et al. 2016 (arXiv 1606.06259); Poria et al., ACL 2017 (features)"
_MOSI_NOTES = (
    "Labels derive from the real sentiment s: pos s > 0, neg s < 0, strong |s| >= 2, "
    "mild |s| < 0.5; nobody annotated them as such.",
    "Validation: the training videos whose name's SHA-256 has a first byte divisible by 5 "
    "(11 of 62 videos, 268 of 1447 utterances).",
    "Features are standardised with the training split's mean and deviation.",
)

MOSEI_ALIGNED = DatasetSpec(
    name="mosei-aligned",
    corpus="harness_corpora.mosei:MoseiAligned",
    modalities=(
        ModalitySpec("text", "t", 300, 60),
        ModalitySpec("visual", "v", 35, 60),
        ModalitySpec("audio", "a", 74, 60),
    ),
    labels=MOSEI_LABELS,
    mask_options=("ones", "nonzero"),
    has_twin=True,
    files=(ALIGNED_FILE,),
    summary="CMU-MOSEI clips, 60 word-aligned steps, six emotions",
    licence=_MOSEI_LICENCE,
    citation=_MOSEI_CITATION,
    notes=("The file has no clip ids: a sample is named split[row] and is its own group.",),
)

MOSEI_UNALIGNED = DatasetSpec(
    name="mosei-unaligned",
    corpus="harness_corpora.mosei:MoseiUnaligned",
    modalities=(
        ModalitySpec("text", "t", 300, 50),
        ModalitySpec("visual", "v", 35, 500),
        ModalitySpec("audio", "a", 74, 500),
    ),
    labels=MOSEI_LABELS,
    aligned=False,
    group_key="video",
    mask_options=("ones", "nonzero"),
    has_twin=True,
    files=(UNALIGNED_FILE, ALIGNED_FILE),
    summary="CMU-MOSEI clips, unaligned streams of 50/500/500 steps, six emotions",
    licence=_MOSEI_LICENCE,
    citation=_MOSEI_CITATION,
    notes=("Emotion labels come from the aligned file by row position; counts are compared.",),
)

M3ED = DatasetSpec(
    name="m3ed",
    corpus="harness_corpora.m3ed:M3ed",
    modalities=(
        ModalitySpec("text", "t", 768, 60),
        ModalitySpec("visual", "v", 342, 60),
        ModalitySpec("audio", "a", 1024, 60),
    ),
    labels=M3ED_LABELS,
    position_unit="utterance",
    party_column="speakers",
    group_key="dialogue",
    mask_options=("ones", "length"),
    has_twin=True,
    files=(M3ED_FILE,),
    summary="M3ED dialogues as sequences of utterances; which of seven emotions occur",
    licence="M3ED: academic use on request to its authors",
    citation="Zhao et al., ACL 2022 (M3ED)",
    notes=(
        "The authors fine-tuned the text and audio features on M3ED's own labels: utterance-level "
        "label information of the training set is already inside the features.",
        "Modality names are the true ones; CARAT's and RAMer's loaders exchange visual and audio.",
        "Labels are the union over all utterances; features keep the first 60.",
    ),
)

MOSI = DatasetSpec(
    name="mosi",
    corpus="harness_corpora.mosi:MosiUtterances",
    modalities=(
        ModalitySpec("text", "t", 100, 1),
        ModalitySpec("visual", "v", 100, 1),
        ModalitySpec("audio", "a", 73, 1),
    ),
    labels=MOSI_LABELS,
    group_key="video",
    summary="CMU-MOSI utterances (real, shipped), four labels derived from sentiment",
    licence="features: MIT; CMU-MOSI: academic use",
    citation=_MOSI_CITATION,
    notes=_MOSI_NOTES,
)

MOSI_VIDEO = DatasetSpec(
    name="mosi-video",
    corpus="harness_corpora.mosi:MosiVideo",
    modalities=(
        ModalitySpec("text", "t", 100, 4),
        ModalitySpec("visual", "v", 100, 4),
        ModalitySpec("audio", "a", 73, 4),
    ),
    labels=MOSI_LABELS,
    position_unit="utterance",
    group_key="video",
    mask_options=("ones", "length"),
    default_mask="length",
    summary="CMU-MOSI passages of four consecutive utterances of a video (real, shipped)",
    licence="features: MIT; CMU-MOSI: academic use",
    citation=_MOSI_CITATION,
    notes=(
        "A sample is four consecutive utterances (the last of a video may be fewer); a label "
        "holds if it holds for one of them. Over whole videos every label would nearly always "
        "hold (.98 1 .98 .94 of the training videos).",
        *_MOSI_NOTES,
    ),
)

MUSIC = DatasetSpec(
    name="music-emotions",
    corpus="harness_corpora.music:MusicEmotions",
    modalities=(
        ModalitySpec("mean-timbre", "v", 32, 1),
        ModalitySpec("std-timbre", "a", 32, 1),
        ModalitySpec("rhythm", "t", 8, 1),
    ),
    labels=MUSIC_LABELS,
    splits=("train", "test"),
    group_key="song",
    files=(
        SourceFile("music-emotions/emotions-train.arff", "Mulan emotions, published training part"),
        SourceFile("music-emotions/emotions-test.arff", "Mulan emotions, published test part"),
    ),
    summary="Music emotions: 593 songs, three views of one audio signal, six emotions",
    licence="none stated by the source; not shipped",
    citation="Trohidis et al., ISMIR 2008",
    notes=(
        "The published split has no validation part, so thresholds are the declared ones and the "
        "last epoch is scored.",
        "Three views of one signal, not three sensors: claims about modalities do not follow.",
        "Features are standardised with the training split's mean and deviation.",
    ),
)

MEMOR_FILES = (
    SourceFile("memor/anno.json", "MEmoR annotations, primary and fine-grained"),
    SourceFile("memor/data.json", "MEmoR clips: segments, speakers, characters"),
    SourceFile("memor/train_id.txt", "MEmoR ids of the training samples"),
    SourceFile("memor/test_id.txt", "MEmoR ids of the test samples"),
    SourceFile("memor/features/audio_features.json", "MEmoR audio features per segment"),
    SourceFile("memor/features/text_features.json", "MEmoR text features per segment"),
    SourceFile("memor/features/character_features.csv", "MEmoR personality of 8 characters"),
)
MEMOR_PRIMARY = DatasetSpec(
    name="memor-primary",
    corpus="harness_corpora.memor:Memor",
    # Segments of a clip are few; the limit is the longest sequence view, grids are never cut.
    modalities=(
        ModalitySpec("text", "t", 1024, 64),
        ModalitySpec("visual", "v", 4302, 64),
        ModalitySpec("audio", "a", 6373, 64),
    ),
    labels=MEMOR_LABELS,
    label_kind="singlelabel",
    layout="grid",
    position_unit="utterance",
    personality_dim=118,
    group_key="clip",
    mask_options=("nonzero",),
    default_mask="nonzero",
    selection_metric="accuracy",
    sampler="class-balanced",
    has_twin=True,
    files=MEMOR_FILES,
    summary="MEmoR: one person's emotion at one moment of a clip, persons x segments, 9 classes",
    licence="MEmoR: on a signed licence from its authors; nothing of it is shipped",
    citation="Shen et al., ACM MM 2020 (MEmoR)",
    notes=(
        "Samples are filtered by the id files; the released loader uses all of them for both.",
        "Training and test share moments (1007 of 4562), the same moment seen for another person; "
        "memor-*-clean moves them to training.",
        "Published figures come from weights selected on the test set; here selection is on the "
        "fifth of the training samples that the reference's own shuffle (seed 2020) holds out.",
        "Every sample is built from its clip's own record; the reference adds earlier targets of "
        "the same clip to its persons.",
    ),
)
MEMOR_FINE = replace(
    MEMOR_PRIMARY,
    name="memor-fine",
    labels=MEMOR_FINE_LABELS,
    summary="MEmoR: one person's emotion at one moment of a clip, persons x segments, 14 classes",
)


def _clean(spec: DatasetSpec) -> DatasetSpec:
    return replace(
        spec,
        name=f"{spec.name}-clean",
        corpus="harness_corpora.memor:MemorClean",
        summary=f"{spec.summary}; no moment in both train and test",
        notes=("Every sample of a moment shared by train and test is in train.", *spec.notes[2:]),
    )


def _clips(spec: DatasetSpec) -> DatasetSpec:
    return replace(
        spec,
        name=f"{spec.name}-clip-multilabel",
        corpus="harness_corpora.memor:MemorClips",
        label_kind="multilabel",
        grid_context="clip",
        # A clip has several labels: no classes to balance. The threshold is that of the published
        # rows it stands beside.
        sampler=None,
        threshold=0.25,
        selection_metric="micro_f1",
        has_twin=False,
        summary=f"MEmoR diagnostic: which of {len(spec.labels)} emotions anybody shows in a clip",
        notes=(
            "A diagnostic, not MEmoR's task: a clip's annotations in one split are merged and who "
            "feels what is lost. It stands beside published rows that were probably made so.",
        ),
    )


MEMOR = (
    *(MEMOR_PRIMARY, MEMOR_FINE),
    *(_clean(MEMOR_PRIMARY), _clean(MEMOR_FINE)),
    *(_clips(MEMOR_PRIMARY), _clips(MEMOR_FINE)),
)

MELD_PARTY = DatasetSpec(
    name="meld-party",
    corpus="harness_corpora.meld:MeldParty",
    modalities=(
        ModalitySpec("text", "t", 2048, 33),
        ModalitySpec("timing", "a", 4, 33),
    ),
    labels=MELD_LABELS,
    position_unit="utterance",
    personality_dim=5,
    group_key="dialogue",
    mask_options=("nonzero",),
    default_mask="nonzero",
    files=(
        SourceFile("meld/train_sent_emo.csv", "MELD annotations, training split"),
        SourceFile("meld/dev_sent_emo.csv", "MELD annotations, validation split"),
        SourceFile("meld/test_sent_emo.csv", "MELD annotations, test split"),
        SourceFile("friends-persona/scene_traits.csv", "FriendsPersona ratings of scenes"),
    ),
    summary="MELD: which emotions a speaker shows in a dialogue; words only where they speak",
    licence="MELD: GPL-3.0; FriendsPersona: none stated; neither is shipped",
    citation="Poria et al., ACL 2019 (MELD); Jiang et al., AAAI 2020 (FriendsPersona)",
    notes=(
        "A sample is a speaker of a dialogue; positions are the dialogue's utterances. Text is a "
        "hashed bag of words, timing stands in for audio; both exist only where the target speaks.",
        "Personality: mean Big-Five ratings of the six main characters; unknown for the others.",
    ),
)

DATASETS = (
    *(MOSEI_ALIGNED, MOSEI_UNALIGNED, M3ED, MOSI, MOSI_VIDEO, MUSIC, MELD_PARTY),
    *MEMOR,
)
