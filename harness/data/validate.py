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
from harness.data.values import shown
from harness.errors import DataFormatError, HarnessError
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
        return self._sequences(where, checked)

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
                raise DataFormatError(
                    f"{where}: rows {seen[name]} and {place} have the sample id {name!r}; each "
                    "must be unique."
                )
            seen[name] = place
            other = self._split_of_id.setdefault(name, split)
            if other != split and not self._shared_ids:
                raise DataFormatError(
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

    def _sequences(self, where: str, split: SplitArrays) -> SplitArrays:
        features: dict[str, Any] = {}
        cleaned = dict(split.cleaned)
        stray = sorted(set(split.features) - set(self.spec.modality_names))
        if stray:
            raise DataFormatError(
                f"{where}: features of {', '.join(stray)}, which the data set does not list."
            )
        for m in self.spec.modalities:
            rows: Any = split.features.get(m.name, ())
            if len(rows) != len(split.ids):
                raise DataFormatError(
                    f"{where}, {m.name}: expected {len(split.ids)} samples, found {len(rows)}."
                )
            features[m.name] = _converted(f"{where}, {m.name}", rows, split.ids)
            for i, matrix in enumerate(features[m.name]):
                if matrix.ndim != 2 or matrix.shape[1] != m.dim or len(matrix) > m.max_length:
                    raise DataFormatError(
                        f"{where}, {m.name}, sample {split.ids[i]!r}: expected at most "
                        f"{m.max_length} rows of {m.dim}, found shape {matrix.shape}."
                    )
            features[m.name] = self._finite(where, m.name, features[m.name], split, cleaned)
        lengths = self._lengths(where, split, features)
        self._traits(where, split)
        if self.spec.aligned:
            self._aligned(split, features)
        return replace(split, features=features, lengths=lengths, cleaned=cleaned)

    def _finite(
        self, where: str, name: str, rows: Any, split: SplitArrays, cleaned: dict[str, int]
    ) -> Any:
        """Return features without NaN and infinities: refused, or set to 0 and counted."""
        bad = [i for i, matrix in enumerate(rows) if not np.isfinite(matrix).all()]
        if not bad:
            return rows
        if not self.repair:
            raise DataFormatError(
                f"{where}, {name}, sample {split.ids[bad[0]]!r}: features are NaN or infinite. If "
                "that is known and meant, `harness data prepare --repair` sets them to 0 and "
                "counts them."
            )
        rows = list(rows)
        for i in bad:
            finite = np.isfinite(rows[i])
            key = f"{split.name} {name}:nan-or-inf"
            cleaned[key] = cleaned.get(key, 0) + int((~finite).sum())
            rows[i] = np.where(finite, rows[i], np.float32(0))
        return rows

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

    def _lengths(
        self, where: str, split: SplitArrays, features: Mapping[str, Any]
    ) -> dict[str, NDArray[np.int64]]:
        checked = {}
        for name, given in split.lengths.items():
            lengths = np.asarray(given)
            stored = np.array([len(x) for x in features.get(name, ())])
            whole = lengths.dtype.kind in "iu" and lengths.shape == stored.shape
            if not whole or (lengths < 0).any() or (lengths > stored).any():
                raise DataFormatError(
                    f"{where}, {name}: expected a length of 0 to the stored rows for each of "
                    f"{len(split.ids)} samples, found {lengths.dtype} of shape "
                    f"{list(lengths.shape)}" + (
                        f", sample {split.ids[int(np.argmax(lengths > stored))]!r} with "
                        f"{int(lengths[np.argmax(lengths > stored)])} of "
                        f"{int(stored[np.argmax(lengths > stored)])}."
                        if whole else "."
                    )
                )  # fmt: skip
            checked[name] = lengths.astype(np.int64)
        return checked

    def _traits(self, where: str, split: SplitArrays) -> None:
        n, wanted = len(split.ids), self.spec.personality_dim
        traits = (0, 0) if split.personality is None else np.shape(split.personality)
        if traits != (n, wanted) and (wanted or split.personality is not None):
            raise DataFormatError(
                f"{where}: personality of shape {traits}, expected {n} of {wanted} numbers."
            )
        if split.personality is not None and not np.isfinite(split.personality).all():
            raise DataFormatError(f"{where}: personality is NaN or infinite.")

    def _aligned(self, split: SplitArrays, features: Mapping[str, Any]) -> None:
        """Warn of aligned data whose modalities have other numbers of rows (0: missing)."""
        counts = (
            {len(rows[i]) for rows in features.values() if len(rows[i])}
            for i in range(len(split.ids))
        )
        uneven = sum(len(there) > 1 for there in counts)
        if uneven:
            self.warnings.append(
                f"{uneven} samples of {split.name} have modalities of unequal lengths, though the "
                "data set says it is aligned: position 0 is taken to be the same moment in all."
            )


def _converted(where: str, rows: Any, ids: Sequence[str]) -> Any:
    """Return features as float32; a stacked array stays one."""
    if isinstance(rows, np.ndarray) and rows.dtype == np.float32:
        return rows
    out = []
    for i, given in enumerate(rows):
        matrix = np.asarray(given)
        if matrix.dtype == np.float32:
            out.append(matrix)
            continue
        if matrix.dtype.kind not in "biuf":
            raise DataFormatError(
                f"{where}, sample {ids[i]!r}: expected features of numbers, found {matrix.dtype}."
            )
        with np.errstate(over="ignore"):
            out.append(matrix.astype(np.float32))
    return out


def _counts(where: str, given: Mapping[str, Any]) -> dict[str, int]:
    """Return counts as plain integers by name."""
    for name, count in given.items():
        if not isinstance(count, int | np.integer):
            raise DataFormatError(f"{where}, {name}: expected a count, found {shown(count)}.")
    return {str(name): int(count) for name, count in given.items()}
