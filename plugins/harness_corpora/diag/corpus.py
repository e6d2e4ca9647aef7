"""The diagnostic data sets as data sets: generated, read back, and their exact ceiling."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.data.corpus import Answers, Corpus, SplitArrays
from harness.data.values import fail, read_json_object, shown, whole
from harness.protocols.dropout import SplitMasks
from harness.protocols.thresholds import reaching
from harness_corpora.diag import draw, observers
from harness_corpora.specs.diagnostic import PREFIX

COUNTS = MappingProxyType({"train": 6000, "valid": 1000, "test": 3000})
FILE = "recipe.json"
WITHOUT = "without-the-skill"
"""On boards, the observer ``without`` of a recipe."""
_OBSERVER = MappingProxyType({WITHOUT: "without"})
_TEXT_DROPPED = (False, True, True)


class Diag(Corpus):
    """A diagnostic data set; its file says which recipe and seed, the samples follow from them."""

    published_counts: ClassVar[Mapping[str, int]] = COUNTS

    @property
    def recipe(self) -> str:
        """Return the recipe's name."""
        return self.spec.base_name.removeprefix(PREFIX)

    def write_twin(self, root: Path, seed: int, size: str) -> None:
        """Write the file that names recipe and seed; both sizes are the same."""
        path = root / self.spec.files[0].path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"recipe": self.recipe, "seed": seed}), encoding="utf-8")

    def read(self, root: Path, *, repair: bool = False) -> Iterator[SplitArrays]:
        """Yield train, valid and test, drawn from the seed that the file names."""
        (path,) = self.paths(root)
        said = read_json_object(path)
        if said.get("recipe") != self.recipe:
            raise fail(path, "recipe", self.recipe, shown(said.get("recipe")))
        seed = whole(path, "seed", said.get("seed"))
        signs = draw.bases(self.recipe, seed)
        for split, count in COUNTS.items():
            drawn = [draw.draw_sample(self.recipe, seed, split, i) for i in range(count)]
            ids = [f"{split}[{i}]" for i in range(count)]
            yield SplitArrays(
                split,
                ids,
                ids,
                np.stack([sample.labels for sample in drawn]).astype(np.uint8),
                {
                    modality.name: [
                        draw.frames_of(sample.code[m], signs[modality.key])
                        if sample.present[m]
                        else np.zeros((0, draw.WIDTH), dtype=np.float32)
                        for sample in drawn
                    ]
                    for m, modality in enumerate(self.spec.modalities)
                },
            )

    def has_ceiling(self, masks: SplitMasks) -> bool:
        """Return whether the posterior is known: of complete data, and of `recon` without text."""
        if masks.noise is not None or masks.frames is not None or masks.unit_keep is not None:
            return False
        keep = np.asarray(masks.keep, dtype=np.bool_)
        without_text = self.recipe == "recon" and bool((keep == np.array(_TEXT_DROPPED)).all())
        return without_text or masks.eta_hat == 0.0

    def ceiling_scores(self, split: Any, keep: Any, seed: int) -> NDArray[np.float64]:
        """Return the exact posterior, float64 [N, 6]."""
        return self.observed(split, self._exact(keep), seed)

    def observers(self) -> tuple[str, ...]:
        """Return the observer without the skill; that of `recon` is of missing text alone."""
        return () if self.recipe == "recon" else (WITHOUT,)

    def answers(
        self, split: Any, masks: SplitMasks, seed: int, observer: str | None = None
    ) -> Answers:
        """Return scores, and decisions at the threshold known of the observer.

        Decisions of other metrics follow from an exact posterior alone.
        """
        name = observer or self._exact(masks)
        scores = self.observed(split, name, seed)
        cut = observers.THRESHOLDS[self.recipe][_OBSERVER.get(name, name)]
        decided = {} if observer else Answers.of_posterior(scores).decided
        return Answers(scores, reaching(cut), decided)

    def _exact(self, masks: SplitMasks) -> str:
        """Return which observer is the exact posterior of what a protocol leaves."""
        complete = self.recipe == "recon" and masks.eta_hat == 0.0
        return "complete" if complete else "full"

    def observed(self, split: Any, observer: str, seed: int) -> NDArray[np.float64]:
        """Return what an observer answers, float64 [N, 6].

        Args:
            split: a stored split (`harness.data.layouts.stored.StoredSplit`).
            observer: `WITHOUT`, or a key of `harness_corpora.diag.observers.OBSERVERS` of the
                recipe.
            seed: that the data was drawn with.
        """
        signs = draw.bases(self.recipe, seed)
        present = np.asarray(split.natural, dtype=np.bool_)
        frames = draw.RECIPES[self.recipe].frames
        columns = split.gather(range(len(split)))
        code = np.zeros((len(split), len(draw.KEYS), frames, draw.AXES))
        for m, modality in enumerate(self.spec.modalities):
            rows = np.flatnonzero(present[:, m])
            stored = np.stack([columns[modality.name][i] for i in rows]).astype(np.float64)
            code[rows, m] = observers.codes(stored, signs[modality.key])
        name = _OBSERVER.get(observer, observer)
        return observers.OBSERVERS[self.recipe][name](code, present)
