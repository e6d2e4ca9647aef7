"""The Python interface; its names are public as ``harness.run``, ``harness.runs`` and so on."""

from harness.api.arrays import Arrays as Arrays
from harness.api.arrays import Dataset as Dataset
from harness.api.arrays import Split as Split
from harness.api.arrays import dataset as dataset
from harness.api.training import rescore as rescore
from harness.api.training import run as run

__all__ = ["Arrays", "Dataset", "Split", "dataset", "rescore", "run"]
