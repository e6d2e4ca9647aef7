"""What each data set is: modalities, labels, splits, files, citations. No numpy, no torch."""

from __future__ import annotations

from harness.specs import DatasetSpec, ModalitySpec, SourceFile

MOSEI_LABELS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
M3ED_LABELS = ("Happy", "Neutral", "Sad", "Disgust", "Anger", "Fear", "Surprise")
MOSI_LABELS = ("pos", "neg", "strong", "mild")
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

DATASETS = (MOSEI_ALIGNED, MOSEI_UNALIGNED, M3ED, MOSI, MOSI_VIDEO, MUSIC)
