"""Training curves: mean over the seeds that reached an epoch, and the epoch that was kept."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from harness.boards.selecting import Wanted, select
from harness.errors import NoValidationError, UnknownNameError, UsageError
from harness.figures.canvas import drawing
from harness.figures.training import draw, draw_losses, training_figure
from harness.records.record import RunRecord
from tests.unit.figures.made import figures_dir, numbers, run


def figure(*runs: RunRecord, metric: str | None = None, names: tuple[str, ...] = ("one",)):  # type: ignore[no-untyped-def]
    chosen = select(runs, names, Wanted("fake"), {})
    return training_figure(chosen, {r.id: r for r in runs}, metric)


def test_curves_average_the_seeds_that_got_there() -> None:
    data = figure(run(seed=0, epochs=3), run(seed=1, epochs=2))
    (curve,) = data.curves
    assert data.metric == "micro_f1" and list(curve.loss) == [0, 1, 2]
    assert curve.loss[0].mean == pytest.approx(100.5)
    assert curve.loss[0].std == pytest.approx(statistics.stdev((100.0, 101.0)))
    assert (curve.loss[2].n, curve.loss[2].std) == (1, None)
    assert curve.metric[1].mean == pytest.approx(0.105)
    # Seed 0 kept its last epoch, seed 1 the one before.
    assert curve.chosen == {0: (2, pytest.approx(0.2)), 1: (0, pytest.approx(0.01))}


def test_files_and_numbers() -> None:
    runs = [run(seed=0), run(seed=1), run("two", seed=0, epochs=1)]
    written = draw(figure(*runs, names=("one", "two")), figures_dir() / "x", ("png",))
    rows = numbers(written[1])
    assert [(r["model"], r["epoch"], r["chosen_by_seeds"]) for r in rows] == [
        ("one", "1", ""), ("one", "2", "1"), ("one", "3", "0"), ("two", "1", "0"),
    ]  # fmt: skip
    assert rows[1]["loss_mean"] == "50.500000" and rows[1]["valid_micro_f1_n"] == "2"
    assert rows[3]["loss_std"] == ""


def test_without_validation_only_the_loss_is_drawn() -> None:
    made = run()
    bare = replace(made, selection=None, epochs=[e | {"valid": None} for e in made.epochs])
    data = figure(bare)
    assert data.curves[0].metric == {} and data.curves[0].chosen == {0: (2, None)}
    written = draw(data, figures_dir() / "x", ("svg",))
    assert b"There is no validation split" in written[0].read_bytes()
    assert numbers(written[1])[2]["chosen_by_seeds"] == "0"
    with pytest.raises(NoValidationError, match="validation split"):
        figure(bare, metric="jaccard")


def test_losses_of_unlike_size_share_a_logarithmic_axis_and_read_as_numbers() -> None:
    runs = [run(), replace(run("two"), epochs=[e | {"loss": 0.01} for e in run("two").epochs])]
    for names, scale in ((("one", "two"), "log"), (("two",), "linear")):
        with drawing(3.0, 3.0) as page:
            axes = page.subplots()
            draw_losses(axes, figure(*runs, names=names).curves)
            assert axes.get_yscale() == scale
            page.draw_without_rendering()
            texts = [label.get_text() for label in axes.get_yticklabels()]
            assert all(text.strip("0123456789.") == "" for text in texts)
            assert "0.1" in texts or scale == "linear"


def test_what_has_no_curve_is_refused() -> None:
    with pytest.raises(UsageError, match="'one' has no epochs"):
        figure(run(epochs=0))
    with pytest.raises(UnknownNameError, match=r"validation metric 'jacard'.*'jaccard'"):
        figure(run(), metric="jacard")
