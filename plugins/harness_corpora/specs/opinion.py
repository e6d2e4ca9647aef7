"""Clips of people who give their opinion: CMU-MOSEI and CMU-MOSI."""

from __future__ import annotations

from dataclasses import replace

from harness.specs import DatasetSpec, ModalitySpec, SourceFile

MOSEI_LABELS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
MOSI_LABELS = ("pos", "neg", "strong", "mild")

ALIGNED_FILE = SourceFile(
    "mosei/train_valid_test.pt",
    "CMU-MOSEI word-aligned features with emotion labels, as TAILOR and CARAT distribute it",
)
UNALIGNED_FILE = SourceFile(
    "mosei/mosei_senti_data_noalign.pkl",
    "CMU-MOSEI unaligned features, as MulT distributes them",
)

_GLOVE = "GloVe word vectors (300), CMU-MultimodalSDK"
_FACET = "FACET facial action units (35), CMU-MultimodalSDK"
_COVAREP = "COVAREP acoustic features (74), CMU-MultimodalSDK"
_WEB = "no labels (words of the web)"
_VENDOR = "the vendor's own faces and expressions; not these labels"
_NO_LABELS = "no labels (signal processing)"
_COUNTS = (12240, 5918, 4933, 2286, 3680, 1892)

MOSEI_ALIGNED = DatasetSpec(
    name="mosei-aligned",
    corpus="harness_corpora.mosei:MoseiAligned",
    modalities=(
        ModalitySpec("text", "t", 300, 60, _GLOVE, _WEB),
        ModalitySpec("visual", "v", 35, 60, _FACET, _VENDOR),
        ModalitySpec("audio", "a", 74, 60, _COVAREP, _NO_LABELS),
    ),
    labels=MOSEI_LABELS,
    group_key="video",
    mask_options=("ones", "nonzero"),
    has_twin=True,
    files=(ALIGNED_FILE,),
    summary="CMU-MOSEI clips, 60 word-aligned steps, six emotions",
    licence="CMU-MOSEI: academic use; features are not redistributable",
    citation="Bagher Zadeh et al., ACL 2018 (CMU-MOSEI)",
    notes=(
        "The authors' file has no clip ids. Where the unaligned file lies beside it and its words "
        "are the same, ids and videos are taken from there by row; else a sample is named "
        "split[row], is its own group, and intervals are over samples. The twin's file has ids.",
    ),
    origin=(
        "train_valid_test.pt of the TAILOR and CARAT authors, built with CMU-MultimodalSDK; size "
        "and SHA-256 not stated by them"
    ),
    labelling=(
        "three annotators a clip rate each emotion 0 to 3; a label is present where their mean "
        "intensity is above 0"
    ),
    label_order="the file's dict['tgt']: tokens 4 to 9",
    published_marginals=tuple(round(n / 22856, 4) for n in _COUNTS),
    redistribute=False,
)

MOSEI_UNALIGNED = replace(
    MOSEI_ALIGNED,
    name="mosei-unaligned",
    corpus="harness_corpora.mosei:MoseiUnaligned",
    modalities=(
        ModalitySpec("text", "t", 300, 50, _GLOVE, _WEB),
        ModalitySpec("visual", "v", 35, 500, _FACET, _VENDOR),
        ModalitySpec("audio", "a", 74, 500, _COVAREP, _NO_LABELS),
    ),
    aligned=False,
    files=(UNALIGNED_FILE, ALIGNED_FILE),
    summary="CMU-MOSEI clips, unaligned streams of 50/500/500 steps, six emotions",
    notes=("Emotion labels come from the aligned file by row position; counts are compared.",),
    origin=(
        "mosei_senti_data_noalign.pkl of the MulT authors and train_valid_test.pt of the TAILOR "
        "and CARAT authors; sizes and SHA-256 not stated by them"
    ),
)

_STANDARD = "Features are standardised with the training split's mean and deviation."
_DERIVED = (
    "Labels derive from the real sentiment s: pos s > 0, neg s < 0, strong |s| >= 2, "
    "mild |s| < 0.5; nobody annotated them as such."
)
_SHIFT = (
    "Text and visual features come from networks that saw the labels of the training videos: "
    "training and test features differ in distribution."
)
_MOSI_NOTES = (
    _DERIVED,
    "Validation: a third of the test videos, by the SHA-256 of their names (10 of 31); test: the "
    "others.",
    _SHIFT,
    _STANDARD,
)
_MOSI_NOTES_1 = (
    _DERIVED,
    "Validation: the training videos whose name's SHA-256 has a first byte divisible by 5 "
    "(11 of 62 videos, 268 of 1447 utterances).",
    _STANDARD,
)
_SUPERSEDED = (
    "its validation is taken from training videos whose labels the text and visual features had "
    "seen: logistic regression on text scores micro-F1 .760 there and .595 on test, on video .707 "
    "and .387; version 2 takes validation from test videos."
)
_SAW = "sentiment polarity of the training videos (contaminated: see the notes)"


def _vectors(length: int) -> tuple[ModalitySpec, ...]:
    source = "Poria et al., ACL 2017"
    return (
        ModalitySpec("text", "t", 100, length, f"CNN on word2vec, {source}", _SAW),
        ModalitySpec("visual", "v", 100, length, f"3D-CNN, {source}", _SAW),
        ModalitySpec("audio", "a", 73, length, f"openSMILE subset, {source}", _NO_LABELS),
    )


MOSI = DatasetSpec(
    name="mosi",
    version=2,
    corpus="harness_corpora.mosi:MosiUtterances",
    modalities=_vectors(1),
    labels=MOSI_LABELS,
    group_key="video",
    summary="CMU-MOSI utterances (real, shipped), four labels derived from sentiment",
    licence="features: MIT; CMU-MOSI: academic use",
    citation="Zadeh et al. 2016 (arXiv 1606.06259); Poria et al., ACL 2017 (features)",
    notes=_MOSI_NOTES,
    origin=(
        "github.com/declare-lab/contextual-utterance-level-multimodal-sentiment-analysis, commit "
        "3874cf2 (features, split); github.com/zeroQiaoba/MERTools, commit 89120b7 (sentiment); "
        "shipped as mosi_utterance.npz"
    ),
    labelling=(
        "derived here from sentiment, the mean of five annotators from -3 to 3: nobody annotated "
        "an emotion"
    ),
    label_order="made here",
    redistribute=True,
    preset="tuned",
    conclusion=(
        "how well models read sentiment from these features, on these videos; nothing about "
        "emotions"
    ),
)
MOSI_1 = replace(MOSI, version=1, notes=_MOSI_NOTES_1, superseded=_SUPERSEDED)

_PASSAGES = (
    "A sample is four consecutive utterances (the last of a video may be fewer); a label "
    "holds if it holds for one of them. Over whole videos every label would nearly always "
    "hold (.98 1 .98 .94 of the training videos)."
)
MOSI_VIDEO = replace(
    MOSI,
    name="mosi-video",
    corpus="harness_corpora.mosi:MosiVideo",
    modalities=_vectors(4),
    position_unit="utterance",
    mask_options=("ones", "length"),
    default_mask="length",
    summary="CMU-MOSI passages of four consecutive utterances of a video (real, shipped)",
    notes=(_PASSAGES, *_MOSI_NOTES),
)
MOSI_VIDEO_1 = replace(
    MOSI_VIDEO, version=1, notes=(_PASSAGES, *_MOSI_NOTES_1), superseded=_SUPERSEDED
)
