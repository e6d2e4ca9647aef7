"""Persons in a conversation: M3ED, MELD with Friends personality, MEmoR."""

from __future__ import annotations

from dataclasses import replace

from harness.specs import DatasetSpec, ModalitySpec, SourceFile

M3ED_LABELS = ("Happy", "Neutral", "Sad", "Disgust", "Anger", "Fear", "Surprise")
MEMOR_FINE_LABELS = (
    *("neutral", "joy", "anger", "disgust", "sadness", "surprise", "fear", "anticipation", "trust"),
    *("serenity", "interest", "annoyance", "boredom", "distraction"),
)
MEMOR_LABELS = MEMOR_FINE_LABELS[:9]
MELD_LABELS = ("neutral", "joy", "sadness", "anger", "surprise", "fear", "disgust")

M3ED_FILE = SourceFile(
    "m3ed/Asent_wav2vec_zh2chmed2e5last-Vsent_avg_affectdenseface-"
    "Lsent_cls_robert_wwm_base_chinese4chmed.pkl",
    "M3ED features in the authors' DialogueRNN format (any single *.pkl in this folder will do)",
)

_M3ED_SAW = "M3ED's own utterance emotions of the training split (see the notes)"
M3ED = DatasetSpec(
    name="m3ed",
    corpus="harness_corpora.m3ed:M3ed",
    modalities=(
        ModalitySpec(
            "text", "t", 768, 60, "RoBERTa-wwm-ext (Chinese), CLS vector, fine-tuned", _M3ED_SAW
        ),
        ModalitySpec(
            "visual",
            "v",
            342,
            60,
            "DenseNet of faces, averaged",
            "faces and expressions of other data",
        ),
        ModalitySpec("audio", "a", 1024, 60, "wav2vec 2.0, last layer, fine-tuned", _M3ED_SAW),
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
    origin="the M3ED authors' features in DialogueRNN format, as CARAT uses them; SHA-256 unknown",
    labelling="three annotators an utterance; a dialogue has every emotion that an utterance has",
    label_order="M3ED's tools: Happy 0 to Surprise 6",
    published_marginals=(0.4626, 0.9051, 0.6162, 0.3758, 0.5828, 0.1010, 0.4949),
    redistribute=False,
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
        ModalitySpec("text", "t", 1024, 64, "BERT-large-uncased", "no labels (language modelling)"),
        ModalitySpec(
            "visual",
            "v",
            4302,
            64,
            "face 1024, object 1230, environment 2048 (the authors' networks)",
            "faces, LVIS objects and scenes of other data; not these emotions",
        ),
        ModalitySpec(
            "audio", "a", 6373, 64, "openSMILE ComParE functionals", "no labels (signal processing)"
        ),
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
    origin="the MEmoR authors, on a signed licence; sizes and SHA-256 not stated",
    labelling="annotators name the emotion of one person at one moment of a clip",
    label_order="the order of the reference's class list",
    redistribute=False,
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


def _meld(name: str, part: str, size: int, sha256: str) -> SourceFile:
    path = f"meld/{name}_sent_emo.csv"
    return SourceFile(path, f"MELD annotations, {part} split", (), size, sha256)


MELD_PARTY = DatasetSpec(
    name="meld-party",
    corpus="harness_corpora.meld:MeldParty",
    modalities=(
        ModalitySpec(
            "text", "t", 2048, 33, "hashed bag of words, made here", "no labels (hashing)"
        ),
        ModalitySpec(
            "timing", "a", 4, 33, "duration, gap, pace and position, made here", "no labels (clock)"
        ),
    ),
    labels=MELD_LABELS,
    position_unit="utterance",
    personality_dim=5,
    group_key="dialogue",
    mask_options=("nonzero",),
    default_mask="nonzero",
    files=(
        _meld(
            "train",
            "training",
            1119290,
            "d2fa2d6529cf03cac2989efec05c9b27d8fd2f4c8fc5974c7ae88aa537fa02db",
        ),
        _meld(
            "dev",
            "validation",
            121640,
            "2e89c6f8aa182d6f62f8c6331aece905ac7273ca4999660bfb5213e1d0370c1c",
        ),
        _meld(
            "test",
            "test",
            294526,
            "8d37103938f7067600839fe29d5a114a6cd1bcdafb75bec101e06464c5006888",
        ),
        SourceFile(
            "friends-persona/scene_traits.csv",
            "FriendsPersona ratings of scenes",
            size=21838,
            sha256="0f45bd99f019ae2a91ec4b0343dbd8d58ba9d89f17a49051290dcd1514384d78",
        ),
    ),
    summary="MELD: which emotions a speaker shows in a dialogue; words only where they speak",
    licence="MELD: GPL-3.0; FriendsPersona: none stated; neither is shipped",
    citation="Poria et al., ACL 2019 (MELD); Jiang et al., AAAI 2020 (FriendsPersona)",
    notes=(
        "A sample is a speaker of a dialogue; positions are the dialogue's utterances. Text is a "
        "hashed bag of words, timing stands in for audio; both exist only where the target speaks.",
        "Personality: mean Big-Five ratings of the six main characters; unknown for the others.",
    ),
    origin=(
        "github.com/declare-lab/MELD, data/MELD, commit 2d2011b; "
        "github.com/emorynlp/personality-detection, commit 3ec08a5"
    ),
    labelling="three annotators an utterance; a speaker has every emotion of his or her utterances",
    label_order="made here: neutral first, then the paper's table",
    published_marginals=(0.7339, 0.3915, 0.1698, 0.2309, 0.3034, 0.0753, 0.0764),
    redistribute=False,
)
