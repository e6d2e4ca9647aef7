"""`harness.runs`: finished runs as a collection that is filtered, tabulated and predicted with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from harness.api.given import Files, Model, add_models, registry_of, words
from harness.errors import DataMissingError, UnknownNameError, UsageError
from harness.paths import using_home
from harness.records.committed import CommittedRecords, open_records
from harness.records.record import COMPLETE, RunRecord
from harness.records.store import RunStore

if TYPE_CHECKING:
    import pandas as pd

    from harness.api.trained import TrainedModel

Names = str | Iterable[str]

FILTERS: dict[str, Callable[[RunRecord], Any]] = {
    "model": lambda r: r.model["name"],
    "dataset": lambda r: r.dataset["name"],
    "seed": lambda r: r.seed,
    "mask": lambda r: r.dataset["mask"],
    "train_dropout": lambda r: r.protocols["train_dropout"],
    "preset": lambda r: r.config["preset"] or "",
    "role": lambda r: r.role,
    "status": lambda r: r.status,
}

FRAME = (
    "run", "model", "setting", "dataset", "seed", "mask", "train_dropout", "dropout", "split",
    "slice", "metric", "threshold", "value",
)  # fmt: skip


class Runs(Sequence[RunRecord]):
    """Runs in id order, as returned by `harness.runs` and `harness.run`; a sequence of records.

    Attributes:
        store: where their predictions and checkpoints are.
        plugins: plugin files and models that `load` needs.
        broken: per record file that could not be read, the reason.
    """

    def __init__(
        self,
        records: Iterable[RunRecord],
        store: RunStore | CommittedRecords,
        plugins: Files = (),
        models: Sequence[Model] = (),
    ) -> None:
        self._records = tuple(records)
        self.store, self.plugins, self._models = store, plugins, tuple(models)
        self.broken = {str(b.path): b.reason for b in store.broken}

    @overload
    def __getitem__(self, place: int) -> RunRecord: ...
    @overload
    def __getitem__(self, place: slice) -> Runs: ...
    def __getitem__(self, place: int | slice) -> RunRecord | Runs:
        if isinstance(place, slice):
            return self._with(self._records[place])
        return self._records[place]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[RunRecord]:
        return iter(self._records)

    def __repr__(self) -> str:
        return f"<{len(self)} runs in {self.store.root}>"

    def filter(self, **wanted: Any) -> Runs:
        """Return the runs that agree with every filter.

        Args:
            wanted: by ``model``, ``dataset``, ``seed``, ``mask``, ``train_dropout``, ``preset``,
                ``role`` (``model``, ``trivial``, ``ceiling``, ``external``) or ``status`` (``ok``,
                ``failed``): a value, a comma list, or several; None: any.

        Raises:
            UnknownNameError: no such filter, or no run has the value; suggests the nearest.
        """
        kept = list(self)
        for what, value in wanted.items():
            if what not in FILTERS:
                raise UnknownNameError("filter", what, FILTERS)
            read, names = FILTERS[what], words(() if value is None else value)
            known = {str(read(r)) for r in self}
            for name in names:
                if name not in known:
                    raise UnknownNameError(f"{what} among these runs", name, known)
            kept = [r for r in kept if value is None or str(read(r)) in names]
        return self._with(kept)

    def frame(self, *, split: str | None = None, labels: bool = False) -> pd.DataFrame:
        """Return every stored figure of the finished runs, a row a figure.

        Args:
            split: only figures of this split; None: of every split.
            labels: with figures of single labels (f1, ap, ...), and a column ``label``.

        Returns:
            A frame with run, model, setting, dataset, seed, mask, train_dropout, dropout, split,
            slice (empty: every sample), metric, threshold (``declared`` or ``tuned``) and value.

        Example:
            >>> figures = harness.runs(dataset="mosi").frame(split="test")
            >>> figures[figures.metric == "micro_f1"].groupby(["model", "dropout"]).value.mean()
        """
        import pandas as pd

        from harness.boards.frame import frame
        from harness.boards.settings import setting

        named = {r.id: setting(r) for r in self}
        rows = [value.as_row(named[value.record.id]) for value in frame(self, split, labels)]
        return pd.DataFrame(rows, columns=[*FRAME, *(["label"] if labels else [])])

    def table(self, *, split: str = "test", dropout: str = COMPLETE) -> pd.DataFrame:
        """Return a row a run: what it was, what it took, its metrics.

        Args:
            split: split that was scored.
            dropout: dropout protocol it was scored under.

        Returns:
            A frame with run, what `filter` filters by, parameters, epochs, seconds, created, and
            the figures of a board under its names: ``tuned_micro_f1`` at the threshold tuned on
            validation, by which boards are ordered, ``micro_f1`` at the declared one, and so on
            (NaN: undefined, or not scored so).

        Example:
            >>> harness.runs(dataset="mosi").table()[["model", "seed", "tuned_micro_f1"]]
        """
        import pandas as pd

        from harness.boards.frame import scores_of
        from harness.boards.views.columns import keys

        rows = []
        for r in self:
            scored = {place.dropout: values for place, values in scores_of(r, split)}
            values = scored.get(dropout, {})
            cost = {"parameters": r.parameters, "epochs": r.timings["epochs"],
                    "seconds": r.timings["train_s"], "created": r.created}  # fmt: skip
            about = {what: read(r) for what, read in FILTERS.items()}
            shown = keys(r.dataset["label_kind"])
            figures = {key.name: values[key] for key in shown if key in values}
            rows.append({"run": r.id, **about, **cost, **figures})
        return pd.DataFrame(rows)

    def predictions(
        self, *, split: str | None = "test", dropout: str | None = None
    ) -> pd.DataFrame:
        """Return the stored scores, a row a run, dropout protocol, sample and label.

        Args:
            split: which split; None: every split that was scored.
            dropout: which dropout protocol; None: every one.

        Returns:
            A frame with run, model, dataset, seed, split, dropout, id, group, label, score
            (float32) and truth (int8).

        Raises:
            DataMissingError: a finished run has no predictions, or none of them was asked for.
        """
        import numpy as np
        import pandas as pd

        frames = []
        for r in self:
            labels = r.dataset["labels"]
            for part in self.store.parts(r) if r.status == "ok" else ():
                if split not in (None, part.split) or dropout not in (None, part.protocol):
                    continue
                about = {"run": r.id, "model": r.model["name"], "dataset": r.dataset["name"]}
                about |= {"seed": r.seed, "split": part.split, "dropout": part.protocol}
                columns = {
                    "id": np.repeat(np.asarray(part.ids), len(labels)),
                    "group": np.repeat(np.asarray(part.groups), len(labels)),
                    "label": np.tile(np.asarray(labels), len(part.ids)),
                    "score": part.scores.ravel(),
                    "truth": part.truth.ravel(),
                }
                frames.append(pd.DataFrame(about | columns))
        if not frames:
            raise DataMissingError(
                f"none of {len(self)} runs has predictions on split {split or 'any'} under "
                f"{dropout or 'any dropout protocol'}."
            )
        return pd.concat(frames, ignore_index=True)

    def load(
        self, run: str | RunRecord | None = None, *, model: Model | None = None, device: str = "cpu"
    ) -> TrainedModel:
        """Return the trained model of a run.

        Args:
            run: its id, the start of one, or its record; None: the only run of the collection.
            model: the class, file or spec, where the run's model is not installed.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

        Raises:
            UnknownNameError: no such run, or its model is not known here.
            UsageError: several runs, and none is named.
            DataMissingError: the run has no checkpoint.

        Example:
            >>> model = harness.runs(model="ramer", dataset="mosi", seed=0).load()
            >>> model.predict(harness.dataset("mosi")["test"])
        """
        from harness.api.trained import open_model

        record = self._one(run)
        if not isinstance(self.store, RunStore):
            raise DataMissingError(
                f"{self.store.root} holds exported records without checkpoints; train again with: "
                f"{record.command}"
            )
        given = [*self._models, *([] if model is None else [model])]
        registry = add_models(given, self.plugins)[0] if given else registry_of(self.plugins)
        return open_model(self.store.folder(record.id), record, registry, device)

    def export(self, run: str | RunRecord | None, to: str | Path) -> list[str]:
        """Write a run into one new folder to use elsewhere; return the names of its files.

        Args:
            run: as of `load`.
            to: the folder; it is there whole or not at all.

        Raises:
            UsageError: the run has no checkpoint, or the folder is not empty.
            DataMissingError: the collection is of exported records, without checkpoints.
        """
        from harness.housekeeping.exported import export_run

        record = self._one(run)
        if not isinstance(self.store, RunStore):
            raise DataMissingError(f"{self.store.root} holds exported records without checkpoints.")
        return export_run(self.store, record.id, Path(to))

    def rerun(
        self, run: str | RunRecord | None = None, *, tolerance: float = 0.01
    ) -> Mapping[str, Any]:
        """Train a run again from its request and compare; the run itself stays as it is.

        Args:
            run: as of `load`.
            tolerance: largest difference of a figure of a whole split.

        Returns:
            ``verdict`` (``identical``, ``within tolerance``, ``different``), ``figures`` compared,
            ``largest`` difference of one and ``where``, largest difference of ``scores`` (None: no
            predictions), ``causes`` (what differs beside the results) and ``reason``.

        Raises:
            UsageError: it is no finished run of a model.
        """
        from harness.housekeeping.rerun import rerun

        registry = add_models(self._models, self.plugins)[0] if self._models else None
        loaded = registry or registry_of(self.plugins)
        return rerun(self._one(run), self.store, loaded, tolerance=tolerance).as_dict()

    def _with(self, records: Iterable[RunRecord]) -> Runs:
        return Runs(records, self.store, self.plugins, self._models)

    def _one(self, run: str | RunRecord | None) -> RunRecord:
        wanted = run.id if isinstance(run, RunRecord) else run
        found = [r for r in self if wanted is None or r.id.startswith(wanted)]
        exact = [r for r in found if r.id == wanted] or found
        if len(exact) == 1:
            return exact[0]
        if not exact:
            raise UnknownNameError("run", wanted or "", [r.id for r in self])
        raise UsageError(
            f"{len(exact)} runs fit; give the id of one, run=..., or filter further: "
            f"{', '.join(r.id for r in exact)}."
        )


def runs(
    model: Names | None = None,
    dataset: Names | None = None,
    *,
    records: str | Path | Runs | None = None,
    plugins: Files = (),
    home: str | Path | None = None,
    **filters: Any,
) -> Runs:
    """Return the runs that are there, or those that agree with the filters.

    Args:
        model: names of models; a comma list, or several.
        dataset: names of data sets.
        records: runs, or a folder of runs or of exported records; None: those under the home.
        plugins: plugin files that `Runs.load` needs.
        home: folder of runs for this call; None: ``HARNESS_HOME``.
        filters: further filters, as of `Runs.filter`.

    Raises:
        UnknownNameError: no run has one of the names; suggests the nearest.

    Example:
        >>> chosen = harness.runs(dataset="mosi", role="model")
        >>> chosen.table().groupby("model").tuned_micro_f1.mean()
    """
    with using_home(home):
        store, found = records_of(records)
    every = Runs(found, store, plugins)
    return every.filter(model=model, dataset=dataset, **filters)


def records_of(
    folder: str | Path | Runs | None,
) -> tuple[RunStore | CommittedRecords, list[RunRecord]]:
    """Return the runs given or in a folder, or those under the home, and where they are.

    Raises:
        UsageError: it is no folder.
    """
    if isinstance(folder, Runs):
        return folder.store, list(folder)
    store = RunStore() if folder is None else open_records(Path(folder).absolute())
    return store, store.all()
