"""Checkpoints: tensors as safetensors, the rest as JSON; enough to predict without the data set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from harness import __version__
from harness.documents import json_object
from harness.errors import DataFormatError, DataMissingError, PluginError, UnknownNameError
from harness.model import ModelPlugin
from harness.paths import atomic_write_bytes
from harness.plugins import Registry, load, resolve, written
from harness.plugins.needed import not_loaded
from harness.records.artefacts import digest_of_bytes, read_current
from harness.records.record import RunRecord, finite
from harness.records.store import RunStore
from harness.specs import ModalitySpec, ModelSpec, TaskInfo

if TYPE_CHECKING:
    from harness.engine.plan import RunPlan

FORMAT_VERSION = 1
_AGAIN = "run again with --rerun"
TENSORS = "checkpoint.safetensors"
CARD = "checkpoint.json"

State = dict[str, Tensor]


def snapshot(model: ModelPlugin) -> State:
    """Return a copy of the model's parameters and buffers on the CPU.

    Raises:
        PluginError: the model keeps state that is no tensor (``get_extra_state``).
    """
    state = model.state_dict()
    odd = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if odd:
        raise PluginError(
            f"{type(model).__name__}: {odd[0]!r} in its state is no tensor; keep state in buffers."
        )
    return {k: v.detach().to("cpu", copy=True).contiguous() for k, v in state.items()}


def restore(model: ModelPlugin, state: Mapping[str, Tensor]) -> None:
    """Load a snapshot into a model.

    Buffers whose shape was unknown when the model was built (None, or of another shape: arrays of
    fit-once models) are replaced by the stored ones.

    Raises:
        DataFormatError: parameters are missing, left over or of another shape.
    """
    for name, value in state.items():
        path, _, leaf = name.rpartition(".")
        try:
            owner = model.get_submodule(path)
        except AttributeError:
            continue
        if leaf in owner._buffers and leaf not in owner._non_persistent_buffers_set:
            held = owner._buffers[leaf]
            if held is None or held.shape != value.shape or held.dtype != value.dtype:
                device = next((t.device for t in model.state_dict().values()), value.device)
                owner._buffers[leaf] = torch.empty_like(value, device=device)
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        raise DataFormatError(
            f"a checkpoint does not fit {type(model).__name__}; made by another version of the "
            f"model? {error}"
        ) from error


def tensors_file(state: Mapping[str, Tensor]) -> bytes:
    """Return tensors as a safetensors file."""
    content: bytes = safetensors.torch.save(dict(state))
    return content


def parse_tensors(content: bytes, where: str) -> State:
    """Return the tensors of a safetensors file.

    Raises:
        DataFormatError: not a whole safetensors file.
    """
    try:
        loaded: State = safetensors.torch.load(content)
    # What safetensors makes of a header that is damaged, beyond its own error.
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DataFormatError(f"{where} is broken ({error}); {_AGAIN}.") from error
    return loaded


def save_tensors(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors, atomically."""
    atomic_write_bytes(path, tensors_file(state))


def load_tensors(path: Path) -> State:
    """Return the tensors of a file; raises as `parse_tensors`, DataMissingError without a file."""
    where = f"{path.parent.name}/{path.name}"
    return parse_tensors(_content(path.parent, path.name), where)


@dataclass(frozen=True)
class CheckpointCard:
    """What a checkpoint says of itself: which model, built how, for what."""

    model: str
    model_version: str
    plugin: str
    distribution: str
    distribution_version: str
    harness: str
    config: dict[str, Any]
    task: dict[str, Any]
    facts: dict[str, Any]
    weights: str | None = None
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True)
class Checkpoint:
    """A trained model as its files hold it: what it is, and its tensors.

    ``plugins`` are the names of the plugin files that its run was made with, as far as is known.
    """

    card: CheckpointCard
    state: State
    plugins: tuple[str, ...] = ()

    def files(self) -> dict[str, bytes]:
        """Return the content of its files by name; the card holds the digest of the tensors."""
        tensors = tensors_file(self.state)
        card = replace(self.card, weights=digest_of_bytes(tensors))
        text = json.dumps(asdict(card), indent=1, sort_keys=True, ensure_ascii=False)
        return {TENSORS: tensors, CARD: f"{text}\n".encode()}

    def build(self, registry: Registry | None = None) -> ModelPlugin:
        """Return the model in evaluation mode.

        Raises:
            DataFormatError: it does not fit the model's code.
            UnknownNameError: the model's plugin is not loaded.
        """
        known = registry or load()
        card = self.card
        try:
            spec = known.model(card.model)
        except UnknownNameError as error:
            files = self.plugins or (() if card.distribution else (f"{card.plugin}.py",))
            raise not_loaded(error, files, card.distribution, card.distribution_version) from None
        model_class = model_class_of(spec)
        config = rebuild_config(model_class.Config, self.card.config)
        with torch.random.fork_rng(devices=()):
            model = model_class(config, task_from_dict(self.card.task))
        restore(model, self.state)
        return model.eval()


def checkpoint_of(plan: RunPlan, facts: dict[str, Any], state: State) -> Checkpoint:
    """Return the checkpoint of a plan's model.

    Args:
        plan: that the model was made by.
        facts: what the model says of itself after training, as JSON values.
        state: its tensors, of the selected epoch.
    """
    entry = plan.entry
    card = CheckpointCard(
        model=entry.spec.name,
        model_version=entry.spec.version,
        plugin=entry.plugin,
        distribution=entry.distribution,
        distribution_version=entry.version,
        harness=__version__,
        config=plan.config.as_dict()["model"],
        task=task_as_dict(plan.task),
        facts=facts,
    )
    return Checkpoint(card, state)


def parse_checkpoint(files: Mapping[str, bytes], run: str) -> Checkpoint:
    """Return a checkpoint of the content of its files by name.

    Args:
        files: as of `Checkpoint.files`.
        run: the run as messages name it.

    Raises:
        DataFormatError: a file is broken, of another format version, or of another checkpoint.
    """
    where = f"{run}/{CARD}"
    document = json_object(files[CARD], Path(where), f"{_AGAIN.capitalize()}.")
    found = document.get("format_version")
    if found != FORMAT_VERSION:
        raise DataFormatError(
            f"{where}: format version {found}, expected {FORMAT_VERSION}; {_AGAIN}."
        )
    try:
        card = CheckpointCard(**document)
        task_from_dict(card.task)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataFormatError(f"{where} is broken ({error}); {_AGAIN}.") from error
    if card.weights not in (None, digest_of_bytes(files[TENSORS])):
        raise DataFormatError(
            f"{run}/{TENSORS} is damaged or another checkpoint than {CARD} says; {_AGAIN}."
        )
    return Checkpoint(card, parse_tensors(files[TENSORS], f"{run}/{TENSORS}"))


def read_checkpoint(folder: Path, record: RunRecord | None = None) -> Checkpoint:
    """Return the checkpoint of a run's folder.

    Args:
        folder: the folder.
        record: the run, whose digests the files must have; None: not known.

    Raises:
        DataMissingError: there is no checkpoint.
        DataFormatError: it is broken or not what the run wrote.
    """
    if record is None:
        files = {name: _content(folder, name) for name in (CARD, TENSORS)}
    else:
        store = RunStore(folder.parent)
        files = {name: store.read(record, name, folder) for name in (CARD, TENSORS)}
    names = () if record is None else tuple(record.request["plugins"])
    return replace(parse_checkpoint(files, folder.name), plugins=names)


def load_checkpoint(
    folder: Path, registry: Registry | None = None, record: RunRecord | None = None
) -> ModelPlugin:
    """Rebuild a trained model from its folder, in evaluation mode, without its data set.

    Raises as `read_checkpoint` and `Checkpoint.build`.
    """
    return read_checkpoint(folder, record).build(registry)


def _content(folder: Path, name: str) -> bytes:
    content = read_current(folder, name)
    if content is None:
        raise DataMissingError(f"{folder.name}/{name} is missing; {_AGAIN} to make it.")
    return content


def model_class_of(spec: ModelSpec) -> type[ModelPlugin]:
    """Import a model's class.

    Raises:
        PluginError: it cannot be imported or is no `ModelPlugin`.
    """
    found = resolve(spec.factory, f"model {spec.name!r}")
    if not (isinstance(found, type) and issubclass(found, ModelPlugin)):
        factory = written(spec.factory)
        raise PluginError(f"model {spec.name!r}: {factory} is not a harness.ModelPlugin.")
    return found


def rebuild_config(config_class: type, values: Mapping[str, Any]) -> Any:
    """Return the frozen Config of its JSON form.

    Raises:
        DataFormatError: the values do not fit the class.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        merged = OmegaConf.merge(OmegaConf.structured(config_class), dict(values))
        return OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise DataFormatError(
            f"a checkpoint's config does not fit {config_class.__qualname__}: {reason}."
        ) from error


def task_as_dict(task: TaskInfo) -> dict[str, Any]:
    """Return a task as JSON values, as a checkpoint holds it."""
    plain: dict[str, Any] = finite(asdict(task))
    return plain


def task_from_dict(document: Mapping[str, Any]) -> TaskInfo:
    """Return the task of its JSON form (`dataclasses.asdict`)."""
    known = dict(document)
    known["modalities"] = tuple(ModalitySpec(**m) for m in known["modalities"])
    known["labels"] = tuple(known["labels"])
    return TaskInfo(**known)
