"""The audit: arithmetic finds the known cases and no others; the committed page is current."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from harness.boards.audit import audit, implied_f1, weighted_f1_bound
from harness.boards.deviations import Deviations, TableFacts, read_deviations
from harness.boards.reported import Reported, ReportedRow, read_reported
from harness.cli import cli
from harness.errors import DataFormatError
from harness.plugins import resource
from harness.protocols.metrics import singlelabel_metrics

PUBLISHED = resource("harness_baselines:published.yaml")
ABLATION = "ramer-ablation-mosei-aligned"


def table(*rows: tuple[str, list[float]], metrics: str = "precision recall micro_f1") -> Reported:
    names = tuple(metrics.split())
    made = []
    for name, values in rows:
        figures = dict(zip(names, values, strict=True))
        made.append(ReportedRow(name, figures, figures, False))
    return Reported("a paper", names, tuple(made), ())


def cases(check: str) -> set[tuple[str, str]]:
    tables = read_reported(PUBLISHED)
    known = read_deviations(PUBLISHED.with_name("deviations.yaml"))
    return {(f.table, f.row) for f in audit(tables, known) if f.check == check}


def test_the_known_cases_and_no_others() -> None:
    assert cases("f1-identity") == {
        ("mosei-aligned", "hhmpn"),
        *((ABLATION, r) for r in ("w/o-Lsc", "w/o-S", "w/o-codec", "w/o-Xbeta", "w/o-Xgamma",
                                  "w/o-Xbeta-Xgamma", "order-vtaC")),
    }  # fmt: skip
    assert cases("f1-rounding") == {(ABLATION, r) for r in ("w/o-C", "w/o-Lscl", "order-tavC")}
    assert cases("weighted-bound") == {("memor-fine", "tailor")}
    assert cases("identical-rows") == {
        (t, r) for t in ("memor-primary", "memor-fine") for r in ("dialoguegcn", "dialoguecrn")
    }
    assert cases("below-constant") == {
        ("mosei-aligned", "cc"), ("mosei-unaligned", "cc"), ("mosei-unaligned", "misa"),
    }  # fmt: skip
    assert cases("same-model") == {("mosei-aligned", "ramer"), (ABLATION, "full")}


def test_figures_selected_on_test_say_so() -> None:
    tables = read_reported(PUBLISHED)
    saying = {n for n, t in tables.items() if any("selected on the test set" in x for x in t.notes)}
    assert saying == {"memor-primary", "memor-fine"}


def test_every_printed_model_is_described() -> None:
    known = read_deviations(PUBLISHED.with_name("deviations.yaml"))
    tables = read_reported(PUBLISHED)
    assert {r.name for n, t in tables.items() if n != ABLATION for r in t.rows} == set(known.models)
    assert set(known.tables) <= set(tables)
    described = " ".join(d.what for d in known.models["ramer"])
    assert all(point in described for point in ("shuffle", "no classifier", "personality", "eq. 3"))


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_what_is_right_and_rounded_is_never_found(p: int, r: int) -> None:
    for shift in (-0.00049, 0.0, 0.00049):
        true_p, true_r = p / 1000 + shift, r / 1000 - shift
        f1 = round(2 * true_p * true_r / (true_p + true_r), 3)
        printed = table(("one", [round(true_p, 3), round(true_r, 3), f1]))
        assert audit({"t": printed}, Deviations({}, {})) == []


@given(st.integers(0, 10_000))
def test_no_single_label_answers_reach_beyond_the_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, labels = int(rng.integers(1, 40)), ("a", "b", "c", "d")
    truth = np.eye(4, dtype=np.uint8)[rng.choice(4, n, p=rng.dirichlet(np.ones(4)))]
    answers = np.where(
        rng.random((n, 1)) < rng.random(), truth, np.eye(4, dtype=np.uint8)[rng.integers(0, 4, n)]
    )
    found = singlelabel_metrics(truth, answers, None, labels)
    assert found["weighted_f1"] <= weighted_f1_bound(found["accuracy"]) + 1e-12


def test_the_bound_is_only_for_single_label_tables() -> None:
    made = table(("one", [0.303, 0.49]), metrics="micro_f1 weighted_f1")
    facts = {"t": TableFacts("singlelabel")}
    assert [f.check for f in audit({"t": made}, Deviations({}, facts))] == ["weighted-bound"]
    assert audit({"t": made}, Deviations({}, {})) == []
    edge = table(("one", [0.303, 0.466]), metrics="micro_f1 weighted_f1")
    assert audit({"t": edge}, Deviations({}, facts)) == []


def test_implied_f1_lies_within_its_bounds() -> None:
    implied, low, high = implied_f1(0.602, 0.496)
    assert low < implied < high and implied == pytest.approx(0.5439, abs=1e-4)
    assert implied_f1(0.0, 0.0)[0] == 0.0


def test_the_committed_page_is_current(tmp_path: Path) -> None:
    page = tmp_path / "audit.md"
    done = CliRunner().invoke(cli, ["audit", "--write", str(page)])
    assert done.exit_code == 0, done.output
    committed = Path(__file__).parents[3] / "docs" / "audit.md"
    assert page.read_text() == committed.read_text(), "harness audit --write docs/audit.md"


def test_rows_as_text_and_json() -> None:
    text = CliRunner().invoke(cli, ["audit", "--wide"]).output
    (line,) = [x for x in text.splitlines() if "hhmpn" in x and "2PR/(P+R)" in x]
    assert "0.5439" in line and "compat: select=per_metric_val" in text
    assert "contradictions in" in text.splitlines()[-1]
    rows = json.loads(CliRunner().invoke(cli, ["audit", "--json"]).output)
    carat = next(r for r in rows if (r["table"], r["row"]) == ("m3ed", "carat"))
    assert carat["p_and_r_swapped"] and not carat["findings"] and carat["deviations"]


@pytest.mark.parametrize(
    "text",
    ["[1]", "models: {a: [{what: x}]}", "models: {}\ntables: {t: {label_kind: other}}", "a: {"],
)
def test_a_malformed_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "deviations.yaml"
    path.write_text(text)
    with pytest.raises(DataFormatError, match=r"deviations\.yaml"):
        read_deviations(path)


def test_every_printed_model_and_rival_says_which_split_chose_it() -> None:
    known = read_deviations(PUBLISHED.with_name("deviations.yaml"))
    tables = read_reported(PUBLISHED)
    rows = {
        row.name for name, table in tables.items() if "ablation" not in name for row in table.rows
    }
    rivals = {"GCNet", "MMIN", "IMDer", "MoMKE", "LDDU"}
    assert rows <= set(known.selection) and rivals <= set(known.selection)
    for name, selection in known.selection.items():
        assert all((selection.model, selection.threshold, selection.missing, selection.source)), (
            name
        )
    assert known.selection["MoMKE"].model.startswith("test")
    assert "train.py 352" in known.selection["LDDU"].source
