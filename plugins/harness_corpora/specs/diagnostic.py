"""diag@1: generated data sets that measure one skill each."""

from __future__ import annotations

from harness.specs import DatasetSpec, ModalitySpec, SourceFile

PREFIX = "diag-"
DIAG_LABELS = ("k0", "k1", "k2", "k3", "k4", "k5")
_DRAWN, _NOTHING = "drawn by the harness", "no labels"
_SKILLS = {
    "xor": (4, "interaction: a label is the product of two modalities' signs"),
    "align": (24, "alignment: a label is whether two modalities' events fall on one frame"),
    "recon": (4, "inference of a missing modality: text is left out when it is scored (drop-t)"),
    "speaker": (16, "a speaker's own baseline: offsets are as large as what is shown"),
    "noise": (8, "reliability: each modality is quiet or loud, by chance"),
    "missing": (4, "informative missingness: that a modality is not there tells its label"),
    "colabel": (4, "dependence: three labels follow from the three that are shown"),
}


def _spec(name: str, frames: int, skill: str) -> DatasetSpec:
    modalities = (("text", "t"), ("visual", "v"), ("audio", "a"))
    return DatasetSpec(
        name=f"{PREFIX}{name}",
        corpus="harness_corpora.diag.corpus:Diag",
        modalities=tuple(
            ModalitySpec(m, key, 16, frames, _DRAWN, _NOTHING) for m, key in modalities
        ),
        labels=DIAG_LABELS,
        source="twin",
        files=(SourceFile(f"diag/{name}.json", "recipe and seed"),),
        summary=f"Generated, one skill: {skill}",
        licence="generated: none needed",
        citation="this project (docs/diag.md)",
        notes=(
            "No real data and a twin of none: it says whether a model can do one thing, not how "
            "good it is at emotions.",
            f"Skill: {skill}.",
        ),
        origin="generated here, SHA-256 of the samples in the tests (docs/diag.md)",
        labelling="drawn with the features from a known model",
        label_order="made here",
    )


DIAG = tuple(_spec(name, *about) for name, about in _SKILLS.items())
