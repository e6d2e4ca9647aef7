"""The state of a run under way: written after each epoch, enough to go on to the same bits.

Layout of ``resume/``: ``epoch-<n>.safetensors`` (model), ``epoch-<n>.<i>.optimizer`` (optimiser i),
``best-<n>.safetensors`` and ``state.json``, which holds the digests of the files that count and is
written last: a run killed at any moment leaves a whole state behind. A state that is not whole all
the same is set aside, and training starts anew.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from harness.documents import read_json_object
from harness.engine.checkpoint import State, parse_tensors, tensors_file
from harness.errors import DataFormatError, StorageError
from harness.paths import atomic_write_bytes, atomic_write_text, storage_errors, unhidden
from harness.records.artefacts import digest_of, digest_of_bytes

FORMAT_VERSION = 2
_STATE = "state.json"
_SEAL = "digest"


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
    """The ``resume/`` folder of a run.

    Args:
        folder: where it is.
        tell: told of a state that is set aside.
        check: called before a state is written; raises where the run is another process's by now.
    """

    def __init__(
        self,
        folder: Path,
        tell: Callable[[str], None] = lambda message: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.folder, self._tell, self._check = folder, tell, check
        # What this process has read or written: the folder is its own while it holds the run.
        self._loaded: Progress | None = None
        self._digests: dict[str, str] = {}

    def load(self) -> Progress | None:
        """Return how far the run came, None where it never ended an epoch.

        A state of which a file is damaged, missing or another one is told of and removed.
        """
        if self._loaded is None and (self.folder / _STATE).exists():
            try:
                self._loaded = self._read()
            except (DataFormatError, StorageError) as error:
                self._tell(f"{error} The state is set aside; training starts from epoch 0.")
                self.clear()
        return self._loaded

    def _read(self) -> Progress:
        document = read_json_object(self.folder / _STATE)
        try:
            version, seal = document.pop("format_version"), document.pop(_SEAL)
            if version != FORMAT_VERSION:
                raise DataFormatError(f"{self._where(_STATE)} is of another version.")
            if seal != _seal(document):
                raise DataFormatError(f"{self._where(_STATE)} is damaged.")
            run, digests = document.pop("run"), dict(document.pop("files"))
            if run != self.folder.parent.name:
                raise DataFormatError(f"{self._where(_STATE)} is the state of {run}.")
            document["log"] = tuple(document["log"])
            progress = Progress(**document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataFormatError(f"{self._where(_STATE)} is broken.") from error
        for name, digest in digests.items():
            path = self.folder / name
            with storage_errors(path):
                if digest_of(path) != digest:
                    raise DataFormatError(f"{self._where(name)} is damaged or another file.")
        self._digests = digests
        return progress

    def model_state(self, progress: Progress) -> State:
        """Return the model after the last finished epoch."""
        return self._tensors(self._model(progress.done))

    def best_state(self, progress: Progress) -> State:
        """Return the best model so far, the last one where nothing is selected."""
        if progress.best_epoch is None:
            return self.model_state(progress)
        return self.state_of(progress.best_epoch)

    def state_of(self, epoch: int) -> State:
        """Return the model after an epoch that is selected so far."""
        return self._tensors(self._best(epoch))

    def load_optimizers(
        self, progress: Progress, optimizers: Sequence[torch.optim.Optimizer]
    ) -> None:
        """Put the optimisers into their state after the last finished epoch."""
        for index, optimizer in enumerate(optimizers):
            stream = io.BytesIO(self._content(self._optimizer(progress.done, index)))
            optimizer.load_state_dict(torch.load(stream, weights_only=True, map_location="cpu"))

    def save(
        self, progress: Progress, state: State, optimizers: Sequence[torch.optim.Optimizer]
    ) -> None:
        """Write the state after an epoch, then drop what it replaces.

        Raises:
            StorageError: it cannot be written; the state before it stays whole.
            LeaseLostError: another process has taken the run over.
        """
        self._check()
        chosen = [self._best(epoch) for epoch in _selected(progress)]
        digests = {name: d for name, d in self._digests.items() if name in chosen}
        tensors = tensors_file(state)
        files = {self._model(progress.done): tensors}
        for index, optimizer in enumerate(optimizers):
            stream = io.BytesIO()
            with unhidden():
                torch.save(optimizer.state_dict(), stream)
            files[self._optimizer(progress.done, index)] = stream.getvalue()
        if self._best(progress.done - 1) in chosen:
            files[self._best(progress.done - 1)] = tensors
        for name, content in files.items():
            atomic_write_bytes(self.folder / name, content)
            digests[name] = digest_of_bytes(content)
        document = {**asdict(progress), "run": self.folder.parent.name, "files": digests}
        sealed = {**document, _SEAL: _seal(document), "format_version": FORMAT_VERSION}
        atomic_write_text(self.folder / _STATE, json.dumps(sealed))
        self._loaded, self._digests = progress, digests
        with storage_errors(self.folder):
            for path in self.folder.iterdir():
                if path.name != _STATE and path.name not in digests:
                    path.unlink()

    def clear(self) -> None:
        """Remove the folder."""
        self._loaded, self._digests = None, {}
        if self.folder.exists():
            with storage_errors(self.folder):
                shutil.rmtree(self.folder)

    def _where(self, name: str) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}/{name}"

    def _tensors(self, name: str) -> State:
        return parse_tensors(self._content(name), self._where(name))

    def _content(self, name: str) -> bytes:
        path = self.folder / name
        with storage_errors(path):
            content = path.read_bytes()
        if digest_of_bytes(content) != self._digests.get(name):
            raise DataFormatError(f"{self._where(name)} changed during the run; run again.")
        return content

    def _model(self, done: int) -> str:
        return f"epoch-{done}.safetensors"

    def _optimizer(self, done: int, index: int) -> str:
        return f"epoch-{done}.{index}.optimizer"

    def _best(self, epoch: int) -> str:
        return f"best-{epoch}.safetensors"


def _seal(document: Mapping[str, Any]) -> str:
    """Return the digest of a state, as it is read back."""
    return digest_of_bytes(json.dumps(document, sort_keys=True).encode())


def _selected(progress: Progress) -> set[int]:
    chosen = {epoch for epoch, _ in progress.others.values()}
    return chosen if progress.best_epoch is None else chosen | {progress.best_epoch}
