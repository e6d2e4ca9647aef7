"""Signals of the body: a wristband, and what its wearer felt."""

from __future__ import annotations

from harness.specs import DatasetSpec, ModalitySpec, SourceFile

EMOPAIR_LABELS = (
    *("upset", "ashamed", "nervous", "frustrated", "alert"),
    *("inspired", "determined", "attentive", "active"),
)
_NO_LABELS = "no labels (signal processing)"

EMOPAIR = DatasetSpec(
    name="emopair",
    corpus="harness_corpora.emopair:EmoPair",
    modalities=(
        ModalitySpec(
            "pulse", "pu", 22, 1, "beat intervals, amplitude, spectrum of BVP", _NO_LABELS
        ),
        ModalitySpec("eda", "sc", 27, 1, "phasic, tonic, peaks of skin conductance", _NO_LABELS),
        ModalitySpec("heart_rate", "hr", 12, 1, "summaries of the heart rate", _NO_LABELS),
        ModalitySpec("temperature", "st", 12, 1, "summaries of skin temperature", _NO_LABELS),
    ),
    labels=EMOPAIR_LABELS,
    group_key="team",
    files=(
        SourceFile(
            "emopair-compete/emopair.npz",
            "EmoPairCompete: self-reports and four physiological views of 312 phases",
            ("emopair/emopair.npz",),
            86391,
            "ea04c6a1ace430c02c85e3b9473044cbe2e49c267311adbd1fd2ff854431e718",
        ),
    ),
    summary="EmoPairCompete: 305 phases of 26 people, four wristband signals, nine self-reports",
    licence="none stated; not shipped",
    citation="Das et al. 2024 (EmoPairCompete)",
    notes=(
        "Split by team (13), by hash; never by row: a person has 12.",
        "Phase, round and role alone do better than all signals (micro-F1 .641 against .624), and "
        "signals hardly beat the constant (.624): a test that nothing is claimed where little is.",
        "Left out: four rows with an open answer, and three whose signals repeat another "
        "person's byte for byte.",
        "Features are standardised with the training split's mean and deviation; two values that "
        "could not be measured become the training mean.",
    ),
    origin="github.com/lukyrasocha/emo-stress, commit 09e667a",
    labelling=(
        "the wearer's own answers after a phase (I-PANAS-SF 1 to 5, frustration 0 to 10); a label "
        "is present from the archive's `label_at_least` on"
    ),
    label_order="the archive's array `labels`",
    redistribute=False,
    preset="tuned",
)
