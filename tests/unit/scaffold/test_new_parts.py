"""`harness new metric|dropout|figure`: what it writes is loaded and used at once.

That the projects' own tests pass (a metric on a board, a protocol in a run) is in `test_new`.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.plugins import load
from harness.protocols.dropout import MaskRequest, Traits, expand, parse
from harness.protocols.metrics import METRICS, columns, multilabel_metrics
from harness.specs import DropoutFamily
from tests.unit.figures.made import run, store
from tests.unit.scaffold.made import call, made


def test_a_new_metric_is_listed_a_column_and_in_what_is_scored() -> None:
    project = made("metric", "fresh-hits")
    listed = json.loads(call("list", "metrics", "--json", "--plugin", str(project)).stdout)
    assert "fresh_hits" in {row["name"] for row in listed["metrics"]}
    assert columns("multilabel")[-1] == "fresh_hits"
    truth = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    decided = np.array([[1, 0], [0, 1], [1, 0], [1, 1]])
    found = multilabel_metrics(truth, decided, None, ["a", "b"])
    assert found["fresh_hits"] == pytest.approx(2 / 3)
    taken = call("new", "metric", "fresh-hits", "--into", "other", "--plugin", str(project))
    assert taken.exit_code == 2 and "taken" in taken.output
    assert METRICS["fresh_hits"].heading == "Fresh hits"


def request(count: int) -> MaskRequest:
    rng = np.random.default_rng(0)
    return MaskRequest(
        "test", [f"s{i}" for i in range(count)], ("t", "v", "a"), rng.random((count, 3)) < 0.8,
        np.full((count, 3), 4), aligned=True,
    )  # fmt: skip


def test_a_new_family_is_listed_parsed_and_masks_at_its_rate() -> None:
    project = made("dropout", "fresh-loss")
    listed = call("list", "protocols", "--json", "--plugin", str(project))
    assert {p["name"] for p in json.loads(listed.stdout)["protocols"]} >= {"fresh-loss-0.5@1"}
    suite = [p.id for p in expand(["fresh-loss@1"], Traits())]
    assert suite == ["full@1", "fresh-loss-0.2@1", "fresh-loss-0.4@1", "fresh-loss-0.6@1"]
    assert "only modality" in parse("fresh-loss-0.2").misfit(Traits(keys=("t",)))
    asked = request(2000)
    keep = parse("fresh-loss-0.4").masks(asked).keep
    several = asked.natural.sum(1) > 1
    assert (keep[~several] == asked.natural[~several]).all()
    lost = (asked.natural & ~keep).sum(1)[several]
    assert lost.max() == 1 and abs(lost.mean() - 0.4) < 0.03


def test_a_family_whose_protocols_have_names_of_ours_is_refused() -> None:
    project = made("dropout", "fresh-loss")
    module = project / "fresh_loss/__init__.py"
    text = module.read_text("utf-8")
    module.write_text(text.replace('Family("fresh-loss"', 'Family("only-x"'), "utf-8")
    done = call("list", "--plugin", str(project))
    assert done.exit_code == 2 and "of the harness's own family" in done.output


def test_a_family_that_is_none_is_named() -> None:
    project = made("dropout", "fresh-loss")
    module = project / "fresh_loss/__init__.py"
    module.write_text(module.read_text().replace("FAMILY)]", "3)]"))
    done = call("list", "--plugin", str(project))
    assert done.exit_code == 2 and "no harness.protocols.dropout.Family" in done.output
    assert DropoutFamily("x", parse).name == "x"  # type: ignore[arg-type]


@pytest.mark.full
def test_a_new_figure_is_a_command_and_draws_its_numbers() -> None:
    project = made("figure", "fresh-points")
    store(run("one", 0), run("one", 1), run("two"))
    asked = ("figure", "fresh-points", "one", "two", "--dataset", "fake", "--formats", "svg")
    done = call(*asked, "--plugin", str(project))
    assert done.exit_code == 0, done.output
    text = Path("figures/fake-fresh-points-micro_f1.csv").read_text("utf-8")
    rows = list(csv.reader(text.splitlines()))
    assert [row[:2] for row in rows] == [
        ["model", "seed"], ["one", "0"], ["one", "1"], ["two", "0"],
    ]  # fmt: skip
    scored = run("one", 1).metrics["full@1"]["test"]["declared"]["micro_f1"]
    assert float(rows[2][2]) == pytest.approx(scored, abs=1e-6)
    wrong = call(*asked, "--metric", "f7", "--plugin", str(project))
    assert wrong.exit_code == 2 and "--metric f7" in wrong.output
    assert call("new", "figure", "labels").exit_code == 2


def test_nothing_of_torch_is_imported_to_list_them() -> None:
    projects = [made(kind, f"fresh-{kind}") for kind in ("metric", "dropout")]
    before = "torch" in sys.modules
    registry = load([str(p) for p in projects])
    assert {*registry.dropouts} == {"fresh-dropout"} and before == ("torch" in sys.modules)
