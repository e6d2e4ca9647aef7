"""The state of a run under way: written after each epoch, enough to go on to the same bits.

Layout of ``resume/``: ``epoch-<n>.safetensors`` (model), ``epoch-<n>.<i>.optimizer`` (optimiser i),
``best-<n>.safetensors`` and ``state.json``, which names the files that count and is written last:
a run killed at any moment leaves a whole state behind.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from harness.engine.checkpoint import State, load_tensors, save_tensors
from harness.errors import DataFormatError
from harness.paths import atomic_write_bytes, atomic_write_text, storage_errors

FORMAT_VERSION = 1
_STATE = "state.json"


@dataclass(frozen=True)
class Progress:
    """How far a run is: epochs done, their log, and the best of them so far.

    ``others``: epoch and value of further selections, by metric.
    """

    done: int
    log: tuple[dict[str, Any], ...]
    best_epoch: int | None
    best_value: float | None
    others: dict[str, tuple[int, float]] = field(default_factory=dict)


class ResumeFolder:
    """The ``resume/`` folder of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self) -> Progress | None:
        """Return how far the run came, None where it never ended an epoch.

        Raises:
            DataFormatError: the state is broken or of another format version.
        """
        path = self.folder / _STATE
        if not path.is_file():
            return None
        with storage_errors(path):
            text = path.read_text("utf-8")
        try:
            document = json.loads(text)
            version = document.pop("format_version")
            document["log"] = tuple(document["log"])
            progress = Progress(**document)
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise DataFormatError(
                f"{self._where} is broken; delete {self.folder.name}/."
            ) from error
        if version != FORMAT_VERSION:
            raise DataFormatError(
                f"{self._where}: format version {version}, expected {FORMAT_VERSION}; delete it."
            )
        return progress

    def model_state(self, progress: Progress) -> State:
        """Return the model after the last finished epoch."""
        return load_tensors(self._model(progress.done))

    def best_state(self, progress: Progress) -> State:
        """Return the best model so far, the last one where nothing is selected."""
        if progress.best_epoch is None:
            return self.model_state(progress)
        return self.state_of(progress.best_epoch)

    def state_of(self, epoch: int) -> State:
        """Return the model after an epoch that is selected so far."""
        return load_tensors(self._best(epoch))

    def load_optimizers(
        self, progress: Progress, optimizers: Sequence[torch.optim.Optimizer]
    ) -> None:
        """Put the optimisers into their state after the last finished epoch."""
        for index, optimizer in enumerate(optimizers):
            path = self._optimizer(progress.done, index)
            with storage_errors(path):
                optimizer.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))

    def save(
        self, progress: Progress, state: State, optimizers: Sequence[torch.optim.Optimizer]
    ) -> None:
        """Write the state after an epoch, then drop what it replaces.

        Raises:
            StorageError: it cannot be written; the state before it stays whole.
        """
        save_tensors(self._model(progress.done), state)
        for index, optimizer in enumerate(optimizers):
            stream = io.BytesIO()
            torch.save(optimizer.state_dict(), stream)
            atomic_write_bytes(self._optimizer(progress.done, index), stream.getvalue())
        if progress.done - 1 in _selected(progress):
            save_tensors(self._best(progress.done - 1), state)
        document: Mapping[str, Any] = {**asdict(progress), "format_version": FORMAT_VERSION}
        atomic_write_text(self.folder / _STATE, json.dumps(document))
        self._drop_stale(progress)

    def clear(self) -> None:
        """Remove the folder."""
        if self.folder.exists():
            with storage_errors(self.folder):
                shutil.rmtree(self.folder)

    @property
    def _where(self) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}/{_STATE}"

    def _model(self, done: int) -> Path:
        return self.folder / f"epoch-{done}.safetensors"

    def _optimizer(self, done: int, index: int) -> Path:
        return self.folder / f"epoch-{done}.{index}.optimizer"

    def _best(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch}.safetensors"

    def _drop_stale(self, progress: Progress) -> None:
        keep = {_STATE, *(self._best(epoch).name for epoch in _selected(progress))}
        current = f"epoch-{progress.done}."
        with storage_errors(self.folder):
            for path in self.folder.iterdir():
                if path.name not in keep and not path.name.startswith(current):
                    path.unlink()


def _selected(progress: Progress) -> set[int]:
    chosen = {epoch for epoch, _ in progress.others.values()}
    return chosen if progress.best_epoch is None else chosen | {progress.best_epoch}
