"""`harness.runs`: filters, frames, and a run's model applied to splits and arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import harness
from harness.records.committed import export
from harness.records.store import RunStore


def test_filters(made: harness.Runs, home: Path) -> None:
    every = harness.runs(home=home)
    assert len(every) == 7 and all(r in every for r in made)
    assert every.filter(model="toy", seed=1)[0].id.startswith("toy-toy-s1")
    assert len(every.filter(role="model", model=["toy", "toy-plain"], seed="0,1")) == 4
    assert len(every.filter(mask=None)) == 7 and isinstance(every[:2], harness.Runs)
    with pytest.raises(harness.UnknownNameError, match="Did you mean 'toy-plain'"):
        harness.runs("toy-plein", home=home)
    with pytest.raises(harness.UnknownNameError, match=r"filter 'sede'.* Did you mean 'seed'"):
        every.filter(sede=1)
    with pytest.raises(harness.UsageError, match="is no folder"):
        harness.runs(records="nowhere")


def test_table_is_a_row_a_run(made: harness.Runs) -> None:
    table = made.table(dropout="only-t@1")
    assert table.run.tolist() == [r.id for r in made] and table.seed.tolist() == [0, 1, 2] * 2
    for threshold, column in (("declared", "micro_f1"), ("tuned", "tuned_micro_f1")):
        expected = [r.metrics["only-t@1"]["test"][threshold]["micro_f1"] for r in made]
        assert table[column].tolist() == expected
    assert table.micro_f1.tolist() != table.tuned_micro_f1.tolist() and "per_label" not in table
    board = harness.leaderboard("toy", records=made)
    assert {*board} & {*table} >= {"tuned_micro_f1", "micro_f1", "micro_ap"}
    assert made.table(dropout="only-v@1").columns.tolist()[-1] == "created"


def test_frame_is_a_row_a_figure(made: harness.Runs) -> None:
    frame = made.frame()
    assert list(frame) == [
        "run", "model", "setting", "dataset", "seed", "mask", "train_dropout", "dropout", "split",
        "slice", "metric", "threshold", "value",
    ]  # fmt: skip
    chosen = frame[(frame.metric == "micro_f1") & (frame.threshold == "tuned")]
    values = chosen.set_index(["run", "dropout", "split"]).value
    for r in made:
        stored = r.metrics["only-t@1"]["test"]["tuned"]["micro_f1"]
        assert values[r.id, "only-t@1", "test"] == stored
    assert len(chosen) == len(values) == len(made) * 3  # validation is scored whole only
    assert set(made.frame(split="valid").split) == {"valid"}
    each = made[:1].frame(labels=True)
    f1 = each[(each.metric == "f1") & (each.label == "b") & (each.threshold == "declared")]
    stored = made[0].metrics["full@1"]["test"]["declared"]["per_label"]["b"]["f1"]
    assert stored in f1[(f1.split == "test") & (f1.dropout == "full@1")].value.tolist()
    assert list(made[:0].frame()) == list(frame)


def test_predictions_are_tidy(made: harness.Runs) -> None:
    frame = made.predictions()
    assert len(frame) == 6 * 2 * 40 * 4 and set(frame.dropout) == {"full@1", "only-t@1"}
    chosen = made[:1].predictions(split="valid", dropout="full@1")
    assert set(chosen.run) == {made[0].id} and len(chosen) == 30 * 4
    decided = (chosen.score > made[0].threshold["declared"]).astype(int)
    hit = int((decided & chosen.truth).sum())
    f1 = 2 * hit / int(decided.sum() + chosen.truth.sum())
    assert f1 == pytest.approx(made[0].metrics["full@1"]["valid"]["declared"]["micro_f1"])
    with pytest.raises(harness.DataMissingError, match="under only-v@1"):
        made.predictions(dropout="only-v@1")


def test_a_loaded_model_gives_the_stored_scores(made: harness.Runs, toy: Path) -> None:
    test = harness.dataset("toy", plugins=toy)["test"]
    model = made.load(made[0].id)
    stored = made[:1].predictions(dropout="full@1").score.to_numpy().reshape(40, 4)
    assert np.array_equal(model.predict(test), stored)
    arrays = test.numpy()
    for data in (test.torch(), arrays.features, {m: list(x) for m, x in arrays.features.items()}):
        assert np.allclose(model.predict(data), stored, atol=1e-6)
    assert np.allclose(model.predict(arrays.features, masks=arrays.masks), stored, atol=1e-6)
    alone = made[:1].predictions(dropout="only-t@1").score.to_numpy().reshape(40, 4)
    assert np.array_equal(model.predict(test, dropout="only-t@1"), alone)
    assert np.allclose(model.predict({**arrays.features, "audio": None}), alone, atol=1e-6)
    assert np.array_equal(model.decide(stored), (stored > 0.5).astype(np.uint8))
    assert model.decide(stored, 0.9).sum() <= model.decide(stored).sum()


def test_lengths_cut_and_masks_hide(made: harness.Runs, toy: Path) -> None:
    model = made.load(made[0])
    features = harness.dataset("toy", plugins=toy)["test"].numpy().features
    short = {m: x.copy() for m, x in features.items()}
    for x in short.values():
        x[:, 2:] = 0.0
    ragged = {m: list(x[:, :2]) for m, x in features.items()}
    expected = model.predict(short)
    assert np.array_equal(model.predict(ragged), expected)
    assert np.array_equal(
        model.predict(features, lengths={m: [2] * 40 for m in features}), expected
    )
    hidden = {m: np.arange(4) < np.full((40, 1), 2) for m in features}
    assert np.array_equal(model.predict(features, masks=hidden), expected)
    assert not np.array_equal(model.predict(features), expected)


def test_what_does_not_fit_is_said(made: harness.Runs, toy: Path) -> None:
    model = made.load(made[0])
    x = harness.dataset("toy", plugins=toy)["test"].numpy().features
    cases = [
        ({"text": x["text"]}, {}, "give features of text, audio"),
        ({**x, "vision": x["text"]}, {}, "unknown modality in features 'vision'"),
        ({**x, "audio": x["audio"][:7]}, {}, "audio: 7 samples"),
        ({**x, "audio": x["text"]}, {}, r"audio, sample 0: .* \(T, 2\), found shape \(4, 3\)"),
        ({**x, "audio": x["audio"] * np.nan}, {}, "expected finite features"),
        (x, {"lengths": {"audio": [1]}}, "1 lengths for 40 samples"),
        (x, {"personality": np.zeros((40, 2))}, r"personality has the shape \(40, 2\)"),
        (x, {"dropout": "only-t@1"}, "takes no dropout with a dict"),
        ([1], {}, "not a list"),
    ]
    for data, options, message in cases:
        with pytest.raises(harness.UsageError, match=message):
            model.predict(data, **options)
    single = harness.dataset("toy-single", plugins=toy)["test"]
    assert model.predict(single).shape == (40, 4), "the same labels and modalities fit"
    with pytest.raises(harness.UnknownNameError, match="Did you mean 'tuned'"):
        model.decide(np.zeros((1, 4)), "tunned")


def test_loading_needs_one_run_with_a_checkpoint(
    made: harness.Runs, home: Path, tmp_path: Path
) -> None:
    with pytest.raises(harness.UsageError, match="6 runs fit"):
        made.load()
    with pytest.raises(harness.UnknownNameError, match="unknown run"):
        made.load("no-such")
    export(list(made), RunStore(home / "runs"), tmp_path)
    copies = harness.runs(records=tmp_path)
    assert len(copies) == 6 and len(copies.predictions(dropout="full@1")) == 6 * 40 * 4
    with pytest.raises(harness.DataMissingError, match="train again with: harness run"):
        copies.load(made[0].id)


def test_training_again_without_the_plugin_file_says_which_to_give(
    made: harness.Runs, home: Path
) -> None:
    run = made.filter(model="toy", seed=0)[0].id
    bare = harness.runs(home=home)
    with pytest.raises(
        harness.UnknownNameError, match=r"'toy' is not loaded.*--plugin toy_plugin.py"
    ):
        bare.rerun(run)
