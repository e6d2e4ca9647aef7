"""diag@1: generated data sets that measure one skill each."""

from __future__ import annotations

from harness.specs import DatasetSpec, ModalitySpec, Skill, SourceFile

PREFIX = "diag-"
DIAG_LABELS = ("k0", "k1", "k2", "k3", "k4", "k5")
_DRAWN, _NOTHING = "drawn by the harness", "no labels"
_FRAMES = {
    "xor": 4, "align": 24, "recon": 4, "speaker": 16, "noise": 8, "missing": 4, "colabel": 4,
}  # fmt: skip


def _skill(recipe: str, name: str, doc: str, dropout: str = "full@1", claims: float = 0.0) -> Skill:
    at = "harness_corpora.diag.answers:answers"
    return Skill(name, f"{PREFIX}{recipe}", at, dropout, claims, doc)


SKILLS = (
    _skill("xor", "interaction", "a label is the product of two modalities' signs", claims=0.30),
    _skill("align", "alignment", "a label is whether two modalities' events fall on one frame",
           claims=0.15),
    _skill("recon", "reconstruction", "text is missing when it is scored; the others tell its "
           "confounder", "drop-t@1"),
    _skill("speaker", "speaker", "a speaker's own offsets are as large as what is shown"),
    _skill("noise", "reliability", "each modality is quiet or loud, by chance"),
    _skill("missing", "missingness", "that a modality is not there tells its label"),
    _skill("colabel", "dependence", "three labels follow from the three that are shown"),
)  # fmt: skip
"""What each data set measures. By its thresholds a predictor without the skill can reach ``claims``
on the first two."""


def _spec(measured: Skill) -> DatasetSpec:
    recipe = measured.dataset.removeprefix(PREFIX)
    frames, skill = _FRAMES[recipe], f"{measured.name}: {measured.doc}"
    modalities = (("text", "t"), ("visual", "v"), ("audio", "a"))
    return DatasetSpec(
        name=measured.dataset,
        corpus="harness_corpora.diag.corpus:Diag",
        modalities=tuple(
            ModalitySpec(m, key, 16, frames, _DRAWN, _NOTHING) for m, key in modalities
        ),
        labels=DIAG_LABELS,
        source="twin",
        files=(SourceFile(f"diag/{recipe}.json", "recipe and seed"),),
        summary=f"one skill, {skill}",
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
        redistribute=True,
    )


DIAG = tuple(map(_spec, SKILLS))
