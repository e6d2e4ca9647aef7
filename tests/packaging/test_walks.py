"""Two strangers with the wheel installed, an empty folder and the documentation alone.

The commands are those of the pages, in their order; what a reader writes himself stands here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.packaging.conftest import Environment, environment

DOCS = Path(__file__).parents[2] / "docs"

MODEL = '''
from dataclasses import dataclass

import torch
from harness import Batch, ModelPlugin, StepContext, StepOutput, TaskInfo
from harness.nn.pooling import masked_mean
from harness.nn.task_loss import task_loss, task_scores
from harness.specs import bounded
from torch import Tensor, nn


@dataclass(frozen=True)
class MyModelConfig:
    hidden: int = bounded(64, least=1)
    dropout: float = bounded(0.2, least=0, below=1)


class MyModel(ModelPlugin):
    """Two layers over the means of all modalities."""

    Config = MyModelConfig

    def __init__(self, config: MyModelConfig, task: TaskInfo) -> None:
        super().__init__(config, task)
        width = sum(m.dim for m in task.modalities)
        self.layers = nn.Sequential(
            nn.Linear(width, config.hidden), nn.ReLU(), nn.Dropout(config.dropout),
            nn.Linear(config.hidden, task.num_labels),
        )

    def logits(self, batch: Batch) -> Tensor:
        pooled = [masked_mean(batch.features[m], mask) for m, mask in batch.mask.items()]
        return self.layers(torch.cat(pooled, dim=1))

    def training_step(self, batch: Batch, ctx: StepContext) -> StepOutput:
        return StepOutput(task_loss(self.logits(batch), batch.targets, self.task.label_kind))

    def predict_step(self, batch: Batch) -> Tensor:
        return task_scores(self.logits(batch), self.task.label_kind)
'''


def commands(page: str, *headings: str) -> Iterator[list[str]]:
    """Yield the command lines of a page's sections, words by words; '' is the part before any."""
    parts = re.split(r"^## (.*)\n", (DOCS / page).read_text("utf-8"), flags=re.M)
    sections = dict(zip(["", *parts[1::2]], parts[::2], strict=True))
    for heading in headings:
        for block in re.findall(r"^```sh\n(.*?)^```", sections[heading], flags=re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                yield shlex.split(line, comments=True)


@pytest.fixture(scope="module")
def env(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return environment(tmp_path_factory.mktemp("stranger"), wheel)


def test_the_commands_of_the_walks_are_on_their_pages() -> None:
    model = [" ".join(c) for c in commands("how-to-add-a-model.md", "", "Check it", "Its board")]
    assert model[0] == "harness new model my-model"
    assert {"mosi", "mosei-aligned-twin"} <= {w for c in model for w in c.split()}
    assert "harness check my-model --plugin my-model" in model
    data = [
        " ".join(c)
        for c in commands("how-to-add-a-data-set.md", "Of a folder of arrays, without code")
    ]
    assert data[0] == "harness new dataset my-data --from FOLDER"


@pytest.mark.full
def test_a_new_model_runs_is_checked_and_stands_on_boards(env: Environment) -> None:
    first, *rest = commands("how-to-add-a-model.md", "", "Check it", "Its board")
    env.call(*first)
    package = env.folder / "work/my-model/my_model"
    (package / "model.py").write_text(MODEL, "utf-8")
    card = (package / "my-model.yaml").read_text("utf-8")
    card = card.replace(
        "{hidden: 64, layers: 2, heads: 4, dropout: 0.2}", "{hidden: 64, dropout: 0.2}"
    )
    (package / "my-model.yaml").write_text(card, "utf-8")
    for command in rest:
        if command[0] == "harness":
            env.call(*command)
    for name in ("mosi", "mosei-aligned-twin"):
        board = (env.folder / f"work/boards/{name}.md").read_text("utf-8")
        assert "my-model" in board and "best-constant" in board


@pytest.mark.full
def test_a_new_data_set_of_three_unusual_modalities_of_a_folder(env: Environment) -> None:
    rng = np.random.default_rng(0)
    folder = env.folder / "work/FOLDER"
    folder.mkdir(parents=True)
    labels = rng.integers(0, 2, (160, 3))
    arrays = {"breath": (160, 9, 3), "steps": (160, 12, 2), "light": (160, 5)}
    made = {}
    for name, shape in arrays.items():
        shown = 0.4 * labels @ rng.normal(size=(3, shape[-1]))  # no column tells it alone
        made[name] = rng.normal(size=shape) + (shown[:, None] if len(shape) == 3 else shown)
    np.savez(
        folder / "all.npz", ids=[f"walk-{i}" for i in range(160)],
        groups=[f"person-{i // 4}" for i in range(160)], labels=labels,
        label_names=["rest", "rush", "joy"], **made,
    )  # fmt: skip
    sections = ("Of a folder of arrays, without code", "Check it")
    for command in commands("how-to-add-a-data-set.md", *sections):
        said = env.call(*command)
        if command[1:3] == ["new", "dataset"]:
            assert all(name in said for name in arrays)
    board = (env.folder / "work/boards/my-data.md").read_text("utf-8")
    assert "misa" in board and "best-constant" in board
