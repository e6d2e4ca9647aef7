"""Checkpoints: tensors as safetensors, the rest as JSON; enough to predict without the data set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from harness.errors import DataFormatError, DataMissingError, PluginError
from harness.model import ModelPlugin
from harness.paths import atomic_write_bytes, atomic_write_text, storage_errors
from harness.plugins import Registry, load, resolve
from harness.specs import ModalitySpec, ModelSpec, TaskInfo

FORMAT_VERSION = 1
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


def save_tensors(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors, atomically."""
    atomic_write_bytes(path, safetensors.torch.save(dict(state)))


def load_tensors(path: Path) -> State:
    """Read tensors.

    Raises:
        DataMissingError: no such file.
        DataFormatError: not a whole safetensors file.
    """
    if not path.is_file():
        raise DataMissingError(f"{path.name} is missing in {path.parent.name}; run again.")
    try:
        with storage_errors(path):
            loaded: State = safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise DataFormatError(
            f"{path.parent.name}/{path.name} is broken ({error}); delete it and run again."
        ) from error
    return loaded


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
    format_version: int = FORMAT_VERSION


def save_checkpoint(folder: Path, state: Mapping[str, Tensor], card: CheckpointCard) -> None:
    """Write ``checkpoint.safetensors``, then ``checkpoint.json``: the card makes it whole."""
    save_tensors(folder / TENSORS, state)
    text = json.dumps(asdict(card), indent=1, sort_keys=True, ensure_ascii=False)
    atomic_write_text(folder / CARD, text + "\n")


def read_card(folder: Path) -> CheckpointCard:
    """Return a checkpoint's card.

    Raises:
        DataMissingError: there is no checkpoint in ``folder``.
        DataFormatError: the card is broken or of another format version.
    """
    path = folder / CARD
    if not path.is_file():
        raise DataMissingError(f"no checkpoint ({CARD}) in {folder.name}; run again to make it.")
    try:
        with storage_errors(path):
            document = json.loads(path.read_text("utf-8"))
        found = document["format_version"]
        if found != FORMAT_VERSION:
            raise DataFormatError(
                f"{folder.name}/{CARD}: format version {found}, expected {FORMAT_VERSION}."
            )
        return CheckpointCard(**document)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataFormatError(f"{folder.name}/{CARD} is broken: {error}.") from error


def load_checkpoint(folder: Path, registry: Registry | None = None) -> ModelPlugin:
    """Rebuild a trained model from its folder, in evaluation mode, without its data set.

    Raises:
        DataMissingError: there is no checkpoint.
        DataFormatError: it is broken or does not fit the model's code.
        UnknownNameError: the model's plugin is not loaded.
    """
    card = read_card(folder)
    spec = (registry or load()).model(card.model)
    model_class = model_class_of(spec)
    config = rebuild_config(model_class.Config, card.config)
    with torch.random.fork_rng(devices=()):
        model = model_class(config, task_from_dict(card.task))
    restore(model, load_tensors(folder / TENSORS))
    return model.eval()


def model_class_of(spec: ModelSpec) -> type[ModelPlugin]:
    """Import a model's class.

    Raises:
        PluginError: it cannot be imported or is no `ModelPlugin`.
    """
    found = resolve(spec.factory)
    if not (isinstance(found, type) and issubclass(found, ModelPlugin)):
        raise PluginError(f"model {spec.name!r}: {spec.factory} is not a harness.ModelPlugin.")
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


def task_from_dict(document: Mapping[str, Any]) -> TaskInfo:
    """Return the task of its JSON form (`dataclasses.asdict`)."""
    known = dict(document)
    known["modalities"] = tuple(ModalitySpec(**m) for m in known["modalities"])
    known["labels"] = tuple(known["labels"])
    return TaskInfo(**known)
