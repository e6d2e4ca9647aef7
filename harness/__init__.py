"""Benchmark harness for multimodal multi-label emotion recognition. Public names load lazily."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import Arrays as Arrays
    from harness.api import Dataset as Dataset
    from harness.api import Runs as Runs
    from harness.api import Split as Split
    from harness.api import TrainedModel as TrainedModel
    from harness.api import check_model as check_model
    from harness.api import compare as compare
    from harness.api import dataset as dataset
    from harness.api import leaderboard as leaderboard
    from harness.api import rescore as rescore
    from harness.api import run as run
    from harness.api import runs as runs
    from harness.api import tune as tune
    from harness.data.batch import Batch as Batch
    from harness.data.corpus import Corpus as Corpus
    from harness.data.corpus import GridArrays as GridArrays
    from harness.data.corpus import SplitArrays as SplitArrays
    from harness.data.grid import Grid as Grid
    from harness.errors import ConfigError as ConfigError
    from harness.errors import DataFormatError as DataFormatError
    from harness.errors import DataMissingError as DataMissingError
    from harness.errors import HarnessError as HarnessError
    from harness.errors import PluginError as PluginError
    from harness.errors import RunFailedError as RunFailedError
    from harness.errors import StorageError as StorageError
    from harness.errors import UnknownNameError as UnknownNameError
    from harness.errors import UsageError as UsageError
    from harness.hookspecs import hookimpl as hookimpl
    from harness.model import FitData as FitData
    from harness.model import ModelPlugin as ModelPlugin
    from harness.model import StepContext as StepContext
    from harness.model import StepOutput as StepOutput
    from harness.plugins.cards import read_card as read_card
    from harness.plugins.cards import read_dataset_card as read_dataset_card
    from harness.records.record import RunRecord as RunRecord
    from harness.specs import AblationSpec as AblationSpec
    from harness.specs import BoardFormat as BoardFormat
    from harness.specs import CompatSpec as CompatSpec
    from harness.specs import DatasetSpec as DatasetSpec
    from harness.specs import DropoutFamily as DropoutFamily
    from harness.specs import FigureKind as FigureKind
    from harness.specs import FigureOption as FigureOption
    from harness.specs import FigureReport as FigureReport
    from harness.specs import LabelMap as LabelMap
    from harness.specs import LauncherSpec as LauncherSpec
    from harness.specs import Metric as Metric
    from harness.specs import ModalitySpec as ModalitySpec
    from harness.specs import ModelSpec as ModelSpec
    from harness.specs import Paper as Paper
    from harness.specs import Skill as Skill
    from harness.specs import SourceFile as SourceFile
    from harness.specs import Suite as Suite
    from harness.specs import TaskInfo as TaskInfo
    from harness.specs import TrainingConfig as TrainingConfig
    from harness.specs import Variant as Variant

__version__ = "0.1.0"

_MODULES = {
    "harness.api": (
        "Arrays", "Dataset", "Runs", "Split", "TrainedModel", "check_model", "compare", "dataset",
        "leaderboard", "rescore", "run", "runs", "tune",
    ),
    "harness.data.batch": ("Batch",),
    "harness.data.corpus": ("Corpus", "GridArrays", "SplitArrays"),
    "harness.data.grid": ("Grid",),
    "harness.errors": (
        "ConfigError", "DataFormatError", "DataMissingError", "HarnessError", "PluginError",
        "RunFailedError", "StorageError", "UnknownNameError", "UsageError",
    ),
    "harness.hookspecs": ("hookimpl",),
    "harness.model": ("FitData", "ModelPlugin", "StepContext", "StepOutput"),
    "harness.plugins.cards": ("read_card", "read_dataset_card"),
    "harness.records.record": ("RunRecord",),
    "harness.specs": (
        "AblationSpec", "BoardFormat", "CompatSpec", "DatasetSpec", "DropoutFamily", "FigureKind",
        "FigureOption", "FigureReport", "LabelMap", "LauncherSpec", "Metric", "ModalitySpec",
        "ModelSpec",
        "Paper", "Skill", "SourceFile", "Suite", "TaskInfo", "TrainingConfig", "Variant",
    ),
}  # fmt: skip
_LAZY = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [*_LAZY, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name == "metrics":
        return import_module("harness.metrics")
    raise AttributeError(f"module 'harness' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
