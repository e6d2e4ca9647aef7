"""Training hooks: a plugin file is all it takes, and each is called at its point of a run."""

from __future__ import annotations

import json
from pathlib import Path

import harness

HOOKS = """
import json
from pathlib import Path
from harness import hookimpl

LOG = Path(__file__).with_name("log.jsonl")

def write(*line):
    with LOG.open("a") as stream:
        stream.write(json.dumps(line) + "\\n")

@hookimpl
def harness_run_start(run):
    write("start", run["model"], run["seed"])

@hookimpl
def harness_epoch_end(run, epoch, metrics):
    write("epoch", epoch, sorted(metrics))

@hookimpl
def harness_run_end(run, record):
    write("end", record["status"], len(record["epochs"]))

@hookimpl
def harness_provenance():
    return {"cluster": "nine"}
"""


def test_a_plugin_file_observes_training(tmp_path: Path, own_folders: Path) -> None:
    path = tmp_path / "watch.py"
    path.write_text(HOOKS)
    (record,) = harness.run(
        "mult", "mosi", seeds=[3], preset="quick", overrides={"training.epochs": 2},
        plugins=[str(path)], device="cpu", references=False,
    )  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line[0] for line in lines] == ["start", "epoch", "epoch", "end"]
    assert lines[0][1:] == ["mult", 3] and lines[3][1:] == ["ok", 2]
    assert [line[1] for line in lines[1:3]] == [0, 1] and "loss" in lines[1][2]
    assert record.provenance["plugins"]["watch"] == {"cluster": "nine"}
