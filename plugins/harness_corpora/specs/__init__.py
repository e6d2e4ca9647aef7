"""What each data set is: modalities, labels, splits, files, provenance. No numpy, no torch."""

from harness_corpora.specs.body import EMOPAIR
from harness_corpora.specs.diagnostic import DIAG, SKILLS
from harness_corpora.specs.dialogue import (
    M3ED,
    M3ED_FILE,
    M3ED_LABELS,
    MELD_LABELS,
    MELD_PARTY,
    MEMOR,
    MEMOR_FINE,
    MEMOR_FINE_LABELS,
    MEMOR_LABELS,
    MEMOR_PRIMARY,
)
from harness_corpora.specs.music import (
    EMOTIFY,
    EMOTIFY_LISTENERS,
    MUSIC,
    MUSIC_2,
    MUSIC_LABELS,
    MUVI,
)
from harness_corpora.specs.opinion import (
    ALIGNED_FILE,
    MOSEI_ALIGNED,
    MOSEI_LABELS,
    MOSEI_UNALIGNED,
    MOSI,
    MOSI_1,
    MOSI_LABELS,
    MOSI_VIDEO,
    MOSI_VIDEO_1,
    UNALIGNED_FILE,
)

DATASETS = (
    *(MOSEI_ALIGNED, MOSEI_UNALIGNED, M3ED, MOSI, MOSI_1, MOSI_VIDEO, MOSI_VIDEO_1),
    *(MUSIC, MUSIC_2, EMOTIFY, EMOTIFY_LISTENERS, MUVI, EMOPAIR, MELD_PARTY),
    *MEMOR,
    *DIAG,
)

__all__ = [
    "ALIGNED_FILE",
    "DATASETS",
    "DIAG",
    "EMOPAIR",
    "EMOTIFY",
    "EMOTIFY_LISTENERS",
    "M3ED",
    "M3ED_FILE",
    "M3ED_LABELS",
    "MELD_LABELS",
    "MELD_PARTY",
    "MEMOR",
    "MEMOR_FINE",
    "MEMOR_FINE_LABELS",
    "MEMOR_LABELS",
    "MEMOR_PRIMARY",
    "MOSEI_ALIGNED",
    "MOSEI_LABELS",
    "MOSEI_UNALIGNED",
    "MOSI",
    "MOSI_1",
    "MOSI_LABELS",
    "MOSI_VIDEO",
    "MOSI_VIDEO_1",
    "MUSIC",
    "MUSIC_2",
    "MUSIC_LABELS",
    "MUVI",
    "SKILLS",
    "UNALIGNED_FILE",
]
