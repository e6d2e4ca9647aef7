"""The Python interface; its names are public as ``harness.run``, ``harness.runs`` and so on."""

from harness.api.arrays import Arrays as Arrays
from harness.api.arrays import Dataset as Dataset
from harness.api.arrays import Split as Split
from harness.api.arrays import dataset as dataset
from harness.api.checked import check_model as check_model
from harness.api.collection import Runs as Runs
from harness.api.collection import runs as runs
from harness.api.search import tune as tune
from harness.api.tables import compare as compare
from harness.api.tables import leaderboard as leaderboard
from harness.api.trained import TrainedModel as TrainedModel
from harness.api.training import rescore as rescore
from harness.api.training import run as run

__all__ = [
    "Arrays", "Dataset", "Runs", "Split", "TrainedModel", "check_model", "compare", "dataset",
    "leaderboard", "rescore", "run", "runs", "tune",
]  # fmt: skip
