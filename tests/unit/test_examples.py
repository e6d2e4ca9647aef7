"""The third party's plugin under examples/ runs, in process, onto a board beside ours."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import harness

PROJECT = Path(__file__).parents[2] / "examples/wearables"


def test_a_strangers_model_and_modalities_stand_on_a_board_beside_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    data = harness.dataset("wearable-feelings", plugins=PROJECT, home=tmp_path)
    assert data.spec.modality_names == ("eeg", "gaze", "skin")
    assert [len(data[split]) for split in data] == [120, 40, 40]
    runs = harness.run(
        ["wearable-fusion", "misa"], "wearable-feelings", plugins=PROJECT, dropout="only-e@1",
        overrides={"training.epochs": 4}, home=tmp_path,
    )  # fmt: skip
    assert [r.status for r in runs] == ["ok", "ok"]
    assert {p for r in runs for p in r.metrics} >= {"full@1", "only-e@1"}
    board = harness.leaderboard("wearable-feelings", home=tmp_path).set_index("model")
    assert {"wearable-fusion", "misa", "best-constant"} <= {*board.index}
    assert board.micro_f1["wearable-fusion"] > board.micro_f1["best-constant"]
