"""One validation of everything a corpus hands over, ours or a stranger's, before it is stored.

What can be converted without a loss is converted (labels of other dtypes, float64 features); what
cannot is refused with data set, split, sample, what was expected and what was found. What is odd
but may be meant is a warning, stored in the card and shown by ``harness data prepare``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.boundary import out_of_memory, printable
from harness.data.corpus import Corpus, GridArrays, SplitArrays
from harness.data.validate_grids import Tables, check_grids
from harness.data.validate_sequences import check_sequences
from harness.data.values import shown
from harness.errors import DataFormatError, DuplicateIdError, HarnessError
from harness.specs import DatasetSpec

_SHOWN = 3
_EXTRAS = ({str, type(None)}, {int, float, type(None)}, {bool, type(None)})


class Validation:
    """Validates the splits of one data set, in order; `warnings` grows as they pass.

    Args:
        spec: what the data set says of itself.
        files: the source files, for messages.
        repair: set NaN and infinite features of sequences to 0 and count them.
    """

    def __init__(
        self, spec: DatasetSpec, files: Sequence[Path] = (), *, repair: bool = False
    ) -> None:
        self.spec, self.repair = spec, repair
        self.warnings: list[str] = []
        named = ", ".join(f.name for f in files[:_SHOWN])
        self._source = f"{named}: {spec.name}" if named else spec.name
        self._split_of_id: dict[str, str] = {}
        self._split_of_group: dict[str, str] = {}
        self._tables: Tables = {}
        self._seen: list[str] = []
        self._shared_ids = False

    def splits(self, corpus: Corpus, root: Path) -> Iterator[Any]:
        """Yield what a corpus reads, validated; `SplitArrays` or `GridArrays` by its layout.

        Raises:
            DataFormatError: a split is not as the contract says, or the reader raised something
                that is no error of ours; both name data set and files.
        """
        reading, self._shared_ids = self._read(corpus, root), corpus.shared_ids
        while (split := next(reading, None)) is not None:
            try:
                checked = self.check(split)
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                raise DataFormatError(
                    f"{self._source}: split {shown(split.name)} is not as {type(split).__name__} "
                    f"describes ({type(error).__name__}: {printable(str(error))})."
                ) from error
            del split
            yield checked
            del checked
        if sorted(self._seen) != sorted(self.spec.splits):
            raise DataFormatError(
                f"{self._source}: expected splits {', '.join(self.spec.splits)}, found "
                f"{', '.join(self._seen) or 'none'}."
            )

    def _read(self, corpus: Corpus, root: Path) -> Iterator[Any]:
        try:
            yield from corpus.read(root, repair=self.repair)
        except (HarnessError, OSError, MemoryError):
            raise
        # A reader meets what its author never saw: any exception is about the file it reads.
        except Exception as error:
            if out_of_memory(error):
                raise MemoryError from error
            trace, line = error.__traceback__, 0
            while trace is not None:
                line, name = trace.tb_lineno, Path(trace.tb_frame.f_code.co_filename).name
                trace = trace.tb_next
            raise DataFormatError(
                f"{self._source}: the reader {type(corpus).__name__} failed with "
                f"{type(error).__name__}: {printable(str(error))} ({name}, line {line}). The files "
                "are not as it expects; HARNESS_DEBUG=1 shows the traceback."
            ) from error

    def check(self, split: SplitArrays | GridArrays) -> SplitArrays | GridArrays:
        """Return a split with its values converted where that loses nothing.

        Raises:
            DataFormatError: it is not as the contract says.
        """
        wanted = GridArrays if self.spec.layout == "grid" else SplitArrays
        if not isinstance(split, wanted):
            raise DataFormatError(
                f"{self._source}: data of the layout {self.spec.layout!r} must be read as "
                f"{wanted.__name__}, found {shown(split)}."
            )
        if split.name not in self.spec.splits:
            raise DataFormatError(
                f"{self._source}: split {split.name!r} is none of {', '.join(self.spec.splits)}."
            )
        if split.name in self._seen:
            raise DataFormatError(f"{self._source}: split {split.name!r} is there twice.")
        self._seen.append(split.name)
        where = f"{self._source}, split {split.name!r}"
        ids = self._names(where, "sample id", split.ids)
        groups = self._names(where, "group", split.groups)
        if not ids:
            raise DataFormatError(f"{where}: is empty; every split needs at least one sample.")
        if len(groups) != len(ids):
            raise DataFormatError(f"{where}: {len(ids)} sample ids and {len(groups)} groups.")
        self._unique(where, split.name, ids)
        self._across(split.name, groups)
        labels = self._labels(where, split.labels, ids)
        self._warn_labels(split.name, labels)
        self._extras(where, split)
        checked: Any = replace(
            split,
            ids=ids,
            groups=groups,
            labels=labels,
            cleaned=_counts(f"{where}, cleaned", split.cleaned),
            facts=_counts(f"{where}, facts", split.facts),
        )
        if isinstance(checked, GridArrays):
            return check_grids(where, self.spec, checked, self._tables)
        return check_sequences(where, self.spec, checked, self.warnings, repair=self.repair)

    def _names(self, where: str, what: str, values: Sequence[Any]) -> list[str]:
        names = []
        for place, value in enumerate(values):
            plain = value.item() if isinstance(value, np.generic) else value
            text = str(plain) if isinstance(plain, int) and not isinstance(plain, bool) else plain
            if not isinstance(text, str) or not text.strip():
                found = "nothing" if isinstance(text, str) else shown(value)
                raise DataFormatError(
                    f"{where}, row {place}: expected a {what}, found {found}. Give each sample "
                    "one, made of split and row where the format has none."
                )
            try:
                text.encode("utf-8")
            except UnicodeEncodeError:
                raise DataFormatError(
                    f"{where}, row {place}: expected a {what} of UTF-8 text, found "
                    f"{printable(text)}."
                ) from None
            names.append(text)
        return names

    def _unique(self, where: str, split: str, ids: Sequence[str]) -> None:
        seen: dict[str, int] = {}
        for place, name in enumerate(ids):
            if name in seen:
                raise DuplicateIdError(
                    f"{where}: rows {seen[name]} and {place} have the sample id {name!r}; each "
                    "must be unique."
                )
            seen[name] = place
            other = self._split_of_id.setdefault(name, split)
            if other != split and not self._shared_ids:
                raise DuplicateIdError(
                    f"{self._source}: sample {name!r} is in {other} and in {split}; a sample "
                    "belongs to one split."
                )

    def _across(self, split: str, groups: Sequence[str]) -> None:
        shared: dict[str, set[str]] = {}
        for name in dict.fromkeys(groups):
            other = self._split_of_group.setdefault(name, split)
            if other != split:
                shared.setdefault(other, set()).add(name)
        for other, names in shared.items():
            some = ", ".join(sorted(names)[:_SHOWN])
            self.warnings.append(
                f"{len(names)} groups ({self.spec.group_key}) are in {other} and in {split}, such "
                f"as {some}: scores on {split} may profit from it."
            )

    def _labels(self, where: str, given: Any, ids: Sequence[str]) -> NDArray[np.uint8]:
        size = (len(ids), len(self.spec.labels))
        labels = np.asarray(given)
        if labels.shape != size or labels.dtype.kind not in "biuf":
            raise DataFormatError(
                f"{where}: expected labels {list(size)} of 0 and 1, found {labels.dtype} of shape "
                f"{list(labels.shape)}."
            )
        wrong = np.argwhere((labels != 0) & (labels != 1))
        if len(wrong):
            row, column = (int(v) for v in wrong[0])
            raise DataFormatError(
                f"{where}, sample {ids[row]!r}, label {self.spec.labels[column]!r}: expected 0 or "
                f"1, found {labels[row, column]}."
            )
        if self.spec.label_kind == "singlelabel":
            counts = labels.sum(axis=1)
            if not (counts == 1).all():
                row = int(np.argmax(counts != 1))
                raise DataFormatError(
                    f"{where}, sample {ids[row]!r}: single-label data has one label a sample, "
                    f"found {int(counts[row])}."
                )
        return labels.astype(np.uint8)

    def _warn_labels(self, split: str, labels: NDArray[np.uint8]) -> None:
        never = [
            name for name, n in zip(self.spec.labels, labels.sum(axis=0), strict=True) if not n
        ]
        if never:
            self.warnings.append(f"no sample of {split} has the label {', '.join(never)}.")
        if self.spec.label_kind == "multilabel" and not labels.any():
            self.warnings.append(f"no sample of {split} has any label: its scores mean nothing.")

    def _extras(self, where: str, split: SplitArrays | GridArrays) -> None:
        for name, values in split.extras.items():
            column = f"{where}, extra column {name!r}"
            if len(values) != len(split.ids):
                raise DataFormatError(
                    f"{column}: expected {len(split.ids)} values, found {len(values)}."
                )
            kinds = {type(v.item() if isinstance(v, np.generic) else v) for v in values}
            if not any(kinds <= allowed for allowed in _EXTRAS):
                found = ", ".join(sorted(kind.__name__ for kind in kinds))
                raise DataFormatError(f"{column}: expected strings or numbers, found {found}.")


def _counts(where: str, given: Mapping[str, Any]) -> dict[str, int]:
    """Return counts as plain integers by name."""
    for name, count in given.items():
        if not isinstance(count, int | np.integer):
            raise DataFormatError(f"{where}, {name}: expected a count, found {shown(count)}.")
    return {str(name): int(count) for name, count in given.items()}
