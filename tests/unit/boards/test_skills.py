"""What can this model do: models x skills from predictions, in every format, and as a figure."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from harness import paths
from harness.boards.entrants import reader
from harness.boards.render.markdown import markdown
from harness.boards.views.skills import Measured, of_records, shown, view
from harness.cli import cli
from harness.engine.evaluate import places_of
from harness.plugins import load
from harness.protocols.thresholds import under
from harness.records.committed import CommittedRecords
from harness.records.predictions import Predictions, write_predictions
from harness.records.record import RunRecord
from harness.records.store import RunStore
from harness_corpora.diag import answers
from harness_corpora.diag.draw import draw_sample
from harness_corpora.specs.diagnostic import DIAG_LABELS
from tests.unit.boards.made import record

SAMPLES = 300
IDS = tuple(f"test[{i}]" for i in range(SAMPLES))


def run(
    model: str, said: str, seed: int = 0, recipe: str = "xor", dropout: str = "full@1"
) -> tuple[RunRecord, list[Predictions]]:
    """Return a run whose scores are an observer's decisions (``full``, ``lacking``), or noise."""
    twin = 1 + seed
    drawn = [draw_sample(recipe, twin, "test", i).labels for i in range(SAMPLES)]
    truth = np.stack(drawn).astype(np.int8)
    if said == "noise":
        scores = np.random.default_rng(0).random(truth.shape).astype(np.float32)
    else:
        decided = answers.answers(f"diag-{recipe}", IDS, truth)[said]
        scores = np.where(decided, 0.9, 0.1).astype(np.float32)
    made = record(model, seed, 0.5, dataset=f"diag-{recipe}", dropout=dropout, preset="quick")
    made = replace(made, dataset=made.dataset | {
        "labels": list(DIAG_LABELS), "source": "twin", "splits": {"test": SAMPLES},
        "content_hash": "aaa", "group_key": "sample",
    })  # fmt: skip
    part = Predictions("test", dropout, IDS, IDS, scores, truth)
    thresholds: dict[str, Any] = {"declared": 0.5, "tuned": 0.4}
    if dropout != "full@1":  # tuned on complete data everything would be decided there
        thresholds = {"declared": 0.5, "tuned": 0.05, "matched": {dropout: 0.4}}
    figures = places_of(part, DIAG_LABELS, "multilabel", under(thresholds, dropout))
    return replace(made, metrics={dropout: {"test": figures}}, threshold=thresholds), [part]


def stored(*runs: tuple[RunRecord, list[Predictions]]) -> RunStore:
    found = RunStore()
    for one, parts in runs:
        found.write(one)
        write_predictions(found.predictions(one.id), parts, one.dataset["labels"])
    return found


@pytest.fixture
def store() -> RunStore:
    return stored(
        run("knows", "full"), run("guesses", "lacking"), run("noisy", "noise"),
        run("knows", "full", recipe="recon", dropout="drop-t@1"),
    )  # fmt: skip


def found(store: RunStore | CommittedRecords) -> list[Measured]:
    return of_records(store.all(), load(), reader(store))


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def test_the_exact_posterior_has_all_of_a_skill_and_the_prior_nothing(store: RunStore) -> None:
    recon, xor = found(store)
    assert (xor.skill, xor.samples, xor.constant, xor.claims) == ("interaction", 300, True, 0.3)
    rows = {row.model: row.skill for row in xor.rows}
    assert rows["knows"].value == 1.0 and rows["knows"].interval == (1.0, 1.0)
    assert rows["knows"].above(xor.claims)
    guessed = rows["guesses"]
    assert guessed.value == 0.0 and guessed.interval == (0.0, 0.0)
    noisy = rows["noisy"]
    assert noisy.value is not None and noisy.value < 0 and not noisy.above(0.0)
    assert rows["knows"].model == rows["knows"].full > rows["knows"].lacking
    assert recon.dropout == "drop-t@1" and recon.rows[0].skill.value == 1.0
    assert {row.model: shown(row, xor.claims) for row in xor.rows if row.model != "noisy"} == {
        "guesses": "0 (0, 0)",
        "knows": "1.00* (1.00, 1.00)",
    }


def test_a_skill_is_over_seeds_of_several_twins() -> None:
    first, second = run("knows", "full"), run("knows", "lacking", seed=1)
    (xor,) = found(stored(first, second))
    (row,) = xor.rows
    assert row.seeds == (0, 1) and row.skill.value is not None
    assert 0.4 < row.skill.value < 0.6  # all of it on one twin, nothing on the other


def test_the_table_is_the_same_from_a_cache_and_has_those_that_claim_most_first(
    store: RunStore,
) -> None:
    known = found(store)
    again = [Measured.from_dict(json.loads(json.dumps(asdict(one)))) for one in known]
    assert again == known
    made = view(again)
    assert made is not None
    text = markdown(made)
    assert text.index("| knows") < text.index("| guesses") < text.index("| noisy")
    assert "`drop-t@1` for reconstruction" in text and "1.00* (1.00, 1.00)" in text
    assert max(map(len, text.splitlines())) <= 160 and view([]) is None


def test_what_has_no_predictions_or_comes_from_other_data_is_left_out_by_name() -> None:
    lacking, strange = run("lacks", "full"), run("strange", "noise")
    odd = replace(strange[1][0], truth=1 - strange[1][0].truth)
    store = stored(lacking)
    store.predictions(lacking[0].id).unlink()
    (xor,) = found(store)
    assert xor.rows == () and "lacks (quick): " in xor.left_out[0]
    (xor,) = found(stored((strange[0], [odd])))
    assert xor.rows == () and "another version of the data set" in xor.left_out[-1]
    recon = run("before", "full", recipe="recon", dropout="drop-t@1")
    older = replace(recon[0], threshold={"declared": 0.5, "tuned": 0.4}, metrics={
        "drop-t@1": {"test": {k: v for k, v in recon[0].metrics["drop-t@1"]["test"].items()
                              if k != "matched"}},
    })  # fmt: skip
    unmatched, _ = found(stored((older, recon[1])))
    assert (
        unmatched.rows == ()
        and "no threshold that was tuned under drop-t@1" in (unmatched.left_out[0])
    )


def test_boards_and_exports_hold_skills(store: RunStore, tmp_path: Path) -> None:
    out = tmp_path / "boards"
    result = call("leaderboard", "--export", str(out / "records"), "--out", str(out))
    assert result.exit_code == 0, result.output
    lines = csv.DictReader(io.StringIO((out / "skills.csv").read_text()))
    rows = {line["model"]: line for line in lines if line["model"]}
    assert rows["knows"]["interaction_skill"] == "1.000000"
    assert (
        rows["knows"]["reconstruction_skill"] == "1.000000"
    )  # predictions under drop-t are exported
    assert (rows["knows"]["interaction_claimed"], rows["noisy"]["interaction_claimed"]) == (
        "yes",
        "no",
    )
    assert (out / "skills.md").is_file() and "skills.md" in (out / "README.md").read_text()
    assert "What can this model do?" in (out / "index.html").read_text()
    assert not (out / "ranks.md").exists()  # two data sets, but of skills
    checked = call("leaderboard", "--check", "--out", str(out))
    assert checked.exit_code == 0, checked.output


def test_skills_as_a_heat_map(store: RunStore) -> None:
    folder = paths.home() / "figures"
    result = call("figure", "skills", "--out", str(folder), "--formats", "svg")
    assert result.exit_code == 0, result.output
    with (folder / "skills.csv").open() as stream:
        rows: list[dict[str, Any]] = list(csv.DictReader(stream))
    assert [(r["model"], r["skill"], r["claimed"]) for r in rows] == [
        ("knows", "reconstruction", "yes"),
        ("knows", "interaction", "yes"),
        ("guesses", "interaction", "no"),
        ("noisy", "interaction", "no"),
    ]
    assert rows[1]["value"] == "1.000000" and float(rows[3]["high"]) < 0
    assert "What can this model do?" in (folder / "skills.svg").read_text()
    one = call("figure", "skills", "guesses", "--out", str(folder), "--formats", "svg")
    assert one.exit_code == 0 and (folder / "skills-guesses.svg").is_file()
    wrong = call("figure", "skills", "gueses", "--out", str(folder))
    assert wrong.exit_code == 2 and "guesses" in wrong.output


def test_a_model_of_a_variant_is_named_as_everywhere(tmp_path: Path) -> None:
    """Its row is labelled `knows (paper)`; `harness figure skills knows` means it."""
    made, parts = run("knows", "full")
    stored((replace(made, model=made.model | {"variant": "paper"}), parts))
    for name in ("knows", "knows (paper)"):
        done = call("figure", "skills", name, "--out", str(tmp_path), "--formats", "svg")
        assert done.exit_code == 0, done.output
    wrong = call("figure", "skills", "knwos")
    assert wrong.exit_code == 2 and "Did you mean 'knows'?" in wrong.output


def test_a_figure_of_no_skill_says_what_to_run() -> None:
    said, truth = np.zeros((1, 2), np.float32), np.ones((1, 2), np.int8)
    stored((record(), [Predictions("test", "full@1", ("a",), ("a",), said, truth)]))
    result = call("figure", "skills")
    assert result.exit_code == 3 and "harness run --model logistic" in result.output
