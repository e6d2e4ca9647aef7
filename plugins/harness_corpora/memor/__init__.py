"""MEmoR (Shen et al., ACM MM 2020): one person's emotion at one moment of a TV clip."""

from __future__ import annotations

from harness_corpora.memor.corpus import Memor, MemorClean, MemorClips

__all__ = ["Memor", "MemorClean", "MemorClips"]
