"""``harness figure``: lazily imported, one line for every mistake, files where asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli import cli
from harness.plugins import load
from harness.records.committed import export
from tests.unit.figures.made import run, store

RECORD_KINDS = ("training", "robustness", "labels", "cooccurrence", "mechanisms")
KINDS = (*RECORD_KINDS, "dependence", "embeddings", "case", "skills")
HEAVY = "{'torch', 'datasets', 'torchmetrics', 'matplotlib', 'sklearn'}"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["figure", *arguments])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_explains_itself_with_examples(kind: str) -> None:
    result = call(kind, "--help")
    assert result.exit_code == 0 and f"Examples:\n    harness figure {kind}" in result.output
    summary = load().figures[kind].spec.summary
    assert summary in " ".join(call("--help").output.split())


@pytest.mark.parametrize("arguments", [["--help"], *([kind, "--help"] for kind in KINDS)])
def test_help_imports_nothing_heavy(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_PLUGINS", raising=False)
    code = (
        "import sys\nfrom harness.cli import main\n"
        f"try:\n    main({['figure', *arguments]!r})\nexcept SystemExit as end:\n"
        f"    heavy = {HEAVY} & set(sys.modules)\n"
        "    sys.exit(f'heavy: {heavy}' if heavy or end.code else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_drawing_from_records_imports_no_torch(tmp_path: Path) -> None:
    store(run("one"), run("two"))
    code = (
        "import sys\nfrom harness.cli import main\n"
        "try:\n    main(['figure', 'cooccurrence', 'one', '--dataset', 'fake', '--out', "
        f"{str(tmp_path)!r}])\nexcept SystemExit as end:\n"
        "    found = {'torch', 'datasets', 'matplotlib.pyplot'} & set(sys.modules)\n"
        "    sys.exit(str(found) if found else end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "fake-cooccurrence-one.svg").is_file()


def test_unknown_kind_is_suggested() -> None:
    result = call("robustnes")
    assert result.exit_code == 2 and "Did you mean 'robustness'" in result.output


def test_committed_records_give_the_same_files_as_the_runs(tmp_path: Path) -> None:
    found = store(run("one", 0), run("one", 1), run("two"))
    export(found.all(), found, tmp_path / "records")
    for kind in ("training", "labels"):
        for where, extra in (("a", []), ("b", ["--records", str(tmp_path / "records")])):
            out = ["--out", str(tmp_path / where), "--formats", "svg", *extra]
            result = call(kind, "one", "two", "--dataset", "fake", *out)
            assert result.exit_code == 0, result.output
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == [f"fake-{n}.{e}" for n in ("labels-f1", "training")
                     for e in ("csv", "svg")]  # fmt: skip
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_formats_and_json(tmp_path: Path) -> None:
    store(run())
    options = ["one", "--dataset", "fake", "--out", str(tmp_path), "--json"]
    result = call("labels", *options, "--formats", "pdf", "--metric", "ap")
    written = json.loads(result.output)["written"]
    assert [Path(name).name for name in written] == ["fake-labels-ap.pdf", "fake-labels-ap.csv"]
    wrong = call("labels", *options, "--formats", "svg,jpeg")
    assert wrong.exit_code == 2 and "'jpeg' is not one of svg, png, pdf" in wrong.output


KIND = """
from harness import hookimpl
from harness.figures.canvas import write_numbers
from harness.specs import FigureKind, FigureOption, FigureReport

def compute(asked):
    return {c.name: len(c.row.runs) * asked["times"] for c in asked.rows()}

@hookimpl
def harness_figures():
    return [FigureKind(
        NAME, "Count the runs of each MODEL.", compute,
        lambda counts, stem, formats: [write_numbers(stem, ("model", "runs"), counts.items())],
        stem=lambda asked, counts: f"{asked['dataset']}-counts",
        options=(FigureOption("times", "Factor.", 1, int, minimum=1),),
        report=lambda counts: FigureReport({"counts": counts}),
    )]
"""


def test_a_kind_of_a_plugin_is_a_command(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(KIND.replace("NAME", '"counts"'))
    plugin = ["--plugin", str(tmp_path / "mine.py")]
    store(run("one", 0), run("one", 1), run("two"))
    done = call("counts", "one", "two", "--dataset", "fake", "--times", "2", "--out", str(tmp_path),
                "--json", *plugin)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["counts"] == {"one": 4, "two": 2}
    assert (tmp_path / "fake-counts.csv").read_text() == "model,runs\none,4\ntwo,2\n"
    assert "Count the runs" in call("counts", "--help", *plugin).output
    wrong = call("counts", "one", "--dataset", "fake", "--times", "0", *plugin)
    assert wrong.exit_code == 2 and "x>=1" in wrong.output
    assert call("counts", "one", "--dataset", "fake").exit_code == 2


def test_a_kind_whose_name_is_taken_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(KIND.replace("NAME", '"labels"'))
    done = call("labels", "one", "--dataset", "fake", "--plugin", str(tmp_path / "mine.py"))
    assert done.exit_code == 2 and "'labels' is already taken by plugin 'harness.figures'" in (
        done.output
    )


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["labels", "oen", "--dataset", "fake"], 2, "Did you mean 'one'"),
        (["labels", "one", "--dataset", "fke"], 2, "Did you mean 'fake'? Known: fake."),
        (["labels", "one", "--dataset", "fake", "--dropout", "drop-t@1"], 3, "no runs of 'fake'"),
        (["labels", "one", "--dataset", "fake", "--protocol", "drop-t@1"], 2, "--dropout drop-t@1"),
        (["training", "one", "--dataset", "fake", "--metric", "f2"], 2, "validation metric 'f2'"),
        (["robustness", "one", "--dataset", "fake"], 3, "--dropout core@1"),
        (
            ["robustness", "one", "--dataset", "fake", "--suite", "cor@1"],
            2,
            "Did you mean 'core@1'",
        ),
        (["cooccurrence", "two", "--dataset", "fake"], 2, "model with runs on fake 'two'"),
    ],
)
def test_mistakes_end_in_one_line(arguments: list[str], code: int, text: str) -> None:
    store(run(), run(seed=1))
    result = call(*arguments)
    assert result.exit_code == code and text in result.output
    assert result.output.splitlines()[-1].startswith("Error: ")


def test_without_records_or_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = call("labels", "one", "--dataset", "fake")
    assert empty.exit_code == 3 and "make some with 'harness run'" in empty.output
    store(run())
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = call("labels", "one", "--dataset", "fake", "--out", str(tmp_path / "out"))
    assert result.exit_code == 2 and "pip install 'emotion-harness[plots]'" in result.output
    assert not (tmp_path / "out").exists()
