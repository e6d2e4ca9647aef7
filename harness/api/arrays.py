"""`harness.dataset`: the splits of a prepared data set as numpy, torch or `datasets` objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UnknownNameError
from harness.paths import using_home
from harness.protocols.dataset import check_mask_option
from harness.protocols.dropout import Traits, parse
from harness.records.record import COMPLETE

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset as TableOfSamples
    from numpy.typing import NDArray

    from harness.api.given import Files
    from harness.data.batch import Batch
    from harness.data.layouts.stored import StoredSplit
    from harness.data.loader import BatchLoader
    from harness.data.store import Store
    from harness.specs import DatasetSpec, Layout


@dataclass(frozen=True, eq=False)
class Arrays:
    """A split of N samples, M modalities and L labels as numpy arrays.

    Attributes:
        ids: N sample ids. groups: N group names (video, dialogue, clip).
        labels: uint8 [N, L] in {0, 1}.
        features: per modality, float32 [N, T, d], zero-padded; empty for grids.
        masks: per modality, bool [N, T], positions that a model may attend; for grids bool
            [N, P, R], cells that have the modality.
        present: bool [N, M], modalities left by the dropout protocol.
        natural: bool [N, M], modalities in the data.
        personality: float32 [N, P, d_p], or None. personality_mask: bool [N, P], or None.
        grid: for data of grids, the arrays of `harness.Grid` by name, ``rows`` and ``index`` per
            modality: ``rows[m][index[m]]`` are the features of the cells in ``masks[m]``.
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    labels: NDArray[np.uint8]
    features: Mapping[str, NDArray[np.float32]]
    masks: Mapping[str, NDArray[np.bool_]]
    present: NDArray[np.bool_]
    natural: NDArray[np.bool_]
    personality: NDArray[np.float32] | None
    personality_mask: NDArray[np.bool_] | None
    grid: Mapping[str, Any] | None

    def __len__(self) -> int:
        return len(self.ids)


class Split:
    """One split of a data set, opened from its memory-mapped store.

    Attributes:
        name: its name. spec: the data set.
        ids: N sample ids. groups: N group names.
        labels: uint8 [N, L] in {0, 1}.
    """

    def __init__(self, stored: StoredSplit, spec: DatasetSpec) -> None:
        self.stored, self.spec, self.name = stored, spec, stored.name
        self.ids, self.groups = tuple(stored.ids), tuple(stored.groups)
        self.labels = stored.labels

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        groups = len(set(self.groups))
        return (
            f"<Split {self.name} of {self.spec.name}: {len(self)} samples, {groups} groups "
            f"({self.spec.group_key}), {len(self.spec.labels)} labels>"
        )

    def batches(
        self,
        batch_size: int = 64,
        *,
        mask: str | None = None,
        dropout: str = COMPLETE,
        layout: Layout | None = None,
    ) -> BatchLoader:
        """Return the labelled batches of the split as models see them, in the split's order.

        Args:
            batch_size: samples per `harness.Batch`.
            mask: mask option; None: the data set's default.
            dropout: dropout protocol that is applied.
            layout: ``grid`` or, on data of grids, ``sequence``: the view that models without
                grids are given; None: the layout of the data.

        Raises:
            UnknownNameError: no such mask option or protocol.
            UsageError: the data set does not have them.
        """
        option = check_mask_option(
            mask or self.spec.default_mask, self.spec.mask_options, self.spec.name
        )
        return self.stored.loader(
            layout=layout or self.spec.layout,
            batch_size=batch_size,
            mask_option=option,
            masks=parse(dropout, Traits.of(self.spec)).masks(self.stored.mask_request()),
            labelled=True,
        )

    def torch(self, **options: Any) -> Batch:
        """Return the whole split as one `harness.Batch`; ``options`` as of `batches`."""
        return next(iter(self.batches(len(self), **options)))

    def numpy(self, **options: Any) -> Arrays:
        """Return the whole split as numpy arrays; ``options`` as of `batches`."""
        batch = self.torch(**options)
        grid: dict[str, Any] | None = None
        masks = _numpy(batch.mask)
        if batch.grid is not None:
            grid = {f.name: _numpy(getattr(batch.grid, f.name)) for f in fields(batch.grid)}
            masks = {m: index >= 0 for m, index in grid["index"].items()}
        return Arrays(
            ids=self.ids,
            groups=self.groups,
            labels=self.labels,
            features=_numpy(batch.features),
            masks=masks,
            present=_numpy(batch.present),
            natural=_numpy(batch.natural),
            personality=_numpy(batch.personality),
            personality_mask=_numpy(batch.personality_mask),
            grid=grid,
        )

    def datasets(self, *, mask: str | None = None) -> TableOfSamples:
        """Return the split as a memory-mapped `datasets.Dataset` with a mask a modality.

        Columns are those of the store (``id``, ``group``, ``labels``, ``features:<modality>`` of
        shape [T_i, d], recorded lengths, further columns) and ``mask:<modality>``, bool [T_i],
        under the mask option (None: the data set's default). Of grids, cells are flat, person by
        person: ``index:<modality>`` is the row of each cell in `tables`, -1 where it is missing.
        """
        import datasets

        table = datasets.Dataset.from_file(str(self.stored.path))
        for name, known in self.numpy(mask=mask).masks.items():
            column = [row.tolist() for row in self.stored.unpad(name, known)]
            table = table.add_column(f"mask:{name}", column)
        return table

    def tables(self) -> dict[str, TableOfSamples]:
        """Return the row tables of a split of grids by modality; empty for sequences."""
        import datasets

        files = self.stored.row_tables.items()
        return {name: datasets.Dataset.from_file(str(path)) for name, path in files}


class Dataset(Mapping[str, Split]):
    """The splits of a prepared data set by name.

    Attributes:
        spec: the data set, the twin's on a twin. labels: the L label names.
        content_hash: identity of what is stored.
        notice: a sentence about what stands in for the data asked for; usually empty.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.spec, self.labels = store.spec, store.spec.labels
        self.content_hash, self.notice = store.content_hash, store.notice

    def __getitem__(self, split: str) -> Split:
        if split not in self.spec.splits and split != "valid":
            raise UnknownNameError(f"split of {self.spec.name}", split, self.spec.splits)
        return Split(self._store.split(split), self.spec)

    def __iter__(self) -> Iterator[str]:
        return iter(self.spec.splits)

    def __len__(self) -> int:
        return len(self.spec.splits)

    def __contains__(self, split: object) -> bool:
        return split in self.spec.splits

    def __repr__(self) -> str:
        counts = ", ".join(f"{s}: {n}" for s, n in self._store.card["counts"].items())
        return f"<Dataset {self.spec.name}: {counts}>"


def dataset(
    name: str,
    *,
    real: bool = False,
    twin_seed: int | None = None,
    plugins: Files = (),
    home: str | Path | None = None,
) -> Dataset:
    """Open a data set; prepare it first where that has not been done.

    Where the authors' files are not there the twin is taken, and ``.notice`` says so.

    Args:
        name: data set; ``<name>-twin`` for its twin.
        real: raise instead of taking a twin.
        twin_seed: which twin; None: 1, which a training with seed 0 takes.
        plugins: plugin files to load as well.
        home: folder of prepared data for this call; None: ``HARNESS_HOME``.

    Returns:
        A mapping from split names to `Split`.

    Raises:
        UnknownNameError: no such data set; suggests the nearest.
        DataMissingError: the data is not there, and neither is a twin that may be taken.
        UsageError: a twin seed where real data would be taken.

    Example:
        >>> test = harness.dataset("mosi")["test"]
        >>> test.numpy().features["text"].shape, test.labels.mean(axis=0)
    """
    from harness.api.given import registry_of
    from harness.data.locate import find_store

    with using_home(home):
        spec = registry_of(plugins).dataset(name)
        return Dataset(find_store(spec, real=real, twin_seed=twin_seed))


def _numpy(value: Any) -> Any:
    """Return tensors as arrays that share their memory, also those of a mapping."""
    if isinstance(value, Mapping):
        return {name: _numpy(inner) for name, inner in value.items()}
    return None if value is None else value.numpy()
