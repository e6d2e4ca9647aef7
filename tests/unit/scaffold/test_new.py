"""`harness new`: what it writes works at once, and nothing is half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness.plugins import load, registry
from harness.scaffold.samples import write_sample
from tests.unit.scaffold.made import call, made

ROOT = Path(__file__).parents[3]


def own_tests(project: Path, tmp_path: Path) -> list[Callable[[Path], None]]:
    """Return the functions of the project's own test file."""
    (file,) = (project / "tests").glob("test_*.py")
    spec = util.spec_from_file_location(f"own_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [x for name, x in vars(module).items() if name.startswith("test_")]


def sample(folder: Path, **changes: Any) -> Path:
    """Write the sample of a new data set as a folder of one archive."""
    folder.mkdir()
    with (folder / "all.npz").open("wb") as file:
        write_sample(file, "s")
    with np.load(folder / "all.npz") as archive:
        arrays = {**dict(archive), **changes}
    np.savez(folder / "all.npz", **{k: v for k, v in arrays.items() if v is not None})
    return folder


def test_a_new_model_is_short_listed_and_passes_its_own_test(tmp_path: Path) -> None:
    project = made("model", "fresh-fusion")
    assert len((project / "fresh_fusion/model.py").read_text().splitlines()) < 60
    listed = call("list", "models", "--json", "--plugin", str(project))
    rows = {row["name"]: row for row in json.loads(listed.stdout)["models"]}
    assert rows["fresh-fusion"]["plugin"] == "fresh-fusion"
    (own,) = own_tests(project, tmp_path)
    own(tmp_path / "home")
    # Its project's folder is a model to Python, too; the record knows what it was made with.
    (run,) = harness.run(project, "mosi", overrides={"training.epochs": 1}, home=tmp_path / "home")
    assert run.request["plugins"] == ["fresh-fusion"]


def test_a_new_data_set_is_listed_and_passes_its_own_tests(tmp_path: Path) -> None:
    project = made("dataset", "fresh-data")
    listed = call("list", "datasets", "--json", "--plugin", str(project))
    rows = {row["name"]: row for row in json.loads(listed.stdout)["datasets"]}
    assert rows["fresh-data"]["protocol"] == "fresh-data@1"
    assert not load((str(project),)).dataset("fresh-data").redistribute
    groups, run = own_tests(project, tmp_path)
    groups(tmp_path / "home")
    run(tmp_path / "home")


def test_archive_and_tables_of_one_content_make_the_same_data_set(tmp_path: Path) -> None:
    arrays = sample(tmp_path / "arrays")
    with np.load(arrays / "all.npz") as archive:
        data = dict(archive)
    for suffix in ("csv", "parquet"):
        write_tables(data, tmp_path / suffix, suffix)
    found = {}
    for name in ("arrays", "csv", "parquet"):
        project = made("dataset", f"set-of-{name}", "--from", name)
        assert not list(project.rglob("reader.py"))
        spec = harness.dataset(f"set-of-{name}", plugins=project).spec
        assert [(m.name, m.key, m.dim, m.max_length) for m in spec.modalities] == [
            ("audio", "a", 4, 6), ("text", "t", 8, 6)
        ] or name == "arrays"  # fmt: skip
        splits = harness.dataset(f"set-of-{name}", plugins=project)
        # The split follows from the name of the data set, hence the whole of it is compared.
        whole = {
            i: (g, tuple(row), tuple(float(f.sum()) for f in rows))
            for split in splits
            for a in [splits[split].numpy()]
            for i, g, row, *rows in zip(
                a.ids, a.groups, a.labels.tolist(), a.features["text"], a.features["audio"],
                strict=True,
            )
        }  # fmt: skip
        found[name] = whole
        groups = [set(splits[s].groups) for s in splits]
        assert sum(map(len, groups)) == len(set.union(*groups)) == 60
    assert found["csv"] == found["parquet"]
    assert found["arrays"].keys() == found["csv"].keys()
    for key, (group, labels, sums) in found["arrays"].items():
        assert found["csv"][key][:2] == (group, labels)
        assert found["csv"][key][2] == pytest.approx(sums, abs=1e-4)


def write_tables(data: dict[str, Any], folder: Path, suffix: str) -> None:
    import pandas as pd

    folder.mkdir()
    labels = {str(n): data["labels"][:, k] for k, n in enumerate(data["label_names"])}
    tables = {"samples": pd.DataFrame({"id": data["ids"], "group": data["groups"], **labels})}
    for m in ("text", "audio"):
        rows = [
            {"id": i, **{f"f{k}": value for k, value in enumerate(data[m][n, t].tolist())}}
            for n, i in enumerate(data["ids"])
            for t in range(data["lengths"][n])
        ]
        tables[m] = pd.DataFrame(rows)
    for name, table in tables.items():
        if suffix == "csv":
            table.to_csv(folder / f"{name}.csv", index=False)
        else:
            table.to_parquet(folder / f"{name}.parquet")


def test_archives_a_split_with_class_names_and_a_missing_modality(tmp_path: Path) -> None:
    folder = tmp_path / "moods"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split, n in {"train": 12, "valid": 4, "test": 6}.items():
        np.savez(
            folder / f"{split}.npz",
            ids=[f"{split}{i}" for i in range(n)],
            groups=[f"{split}-{i // 2}" for i in range(n)],
            labels=["calm", "glad"] * (n // 2),
            eeg=rng.normal(size=(n, 5, 3)),
            eeg_lengths=[0, 5, *[3] * (n - 2)],
            gaze=rng.normal(size=(n, 2)),
        )
    made("dataset", "moods", "--from", "moods", "--into", str(tmp_path / "made"))
    data = harness.dataset("moods", plugins=tmp_path / "made" / "moods")
    assert data.spec.label_kind == "singlelabel" and data.spec.labels == ("calm", "glad")
    assert [len(data[s]) for s in data] == [12, 4, 6]
    assert [m.max_length for m in data.spec.modalities] == [5, 1] and not data.spec.aligned
    train = data["train"].numpy()
    assert train.natural[:2].tolist() == [[False, True], [True, True]]
    assert train.masks["eeg"].sum(1).tolist() == [0, 5, *[3] * 10]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("My-Model", "small letters"), ("1st", "begins with a letter"), ("a--b", "single dashes"),
        ("a" * 41, "at most 40"), ("class", "reserved"), ("misa", "`harness list`"),
        ("json", "module 'json'"), ("harness-ramer", "module 'harness_ramer'"),
        ("../up", "small letters"), ("ünder", "small letters"),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_used_is_refused_with_the_rule(name: str, says: str) -> None:
    done = call("new", "model", name)
    assert done.exit_code == 2 and says in " ".join(done.output.split())
    assert not [*Path().iterdir()]


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    done = call("new", "model", "mine")
    assert done.exit_code == 2 and "already" in done.output
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes.txt"]


FAULTY = {
    "no folder": (None, "there is no such folder"),
    "empty": ({}, "files of one kind"),
    "no groups": ({"groups": None}, "groups: expected an array"),
    "rows": ({"audio": np.zeros((3, 6, 4))}, "audio: expected 180 rows"),
    "words": ({"audio": np.full((180, 2), "x")}, "audio: expected a modality, numbers"),
    "twice": ({"ids": ["s"] * 180}, "ids: expected each id once, found 's' 180 times"),
    "label": ({"labels": np.full((180, 3), 2)}, "labels[0, 0]: expected 0 or 1, found 2."),
    "words as labels": ({"labels": np.full((180, 3), "x")}, "labels: expected 0 and 1"),
    "class": (
        {"labels": ["joy"] * 179 + ["joi"], "label_names": ["joy", "fear"]},
        "labels[179]: expected one of joy, fear, found joi",
    ),
    "array": ({"label_names": None, "labels_names": ["a"]}, "did you mean 'label_names'?"),
    "names": ({"label_names": ["a", "b"]}, "label_names: expected 3 different names"),
    "splits": ({"splits": ["dev"] * 180}, "splits: expected train, valid, test"),
    "no modality": ({"audio": None, "text": None}, "at least one modality"),
}


@pytest.mark.parametrize("case", FAULTY)
def test_arrays_that_are_not_as_documented_are_named_and_nothing_is_written(
    case: str, tmp_path: Path
) -> None:
    changes, says = FAULTY[case]
    if changes:
        sample(tmp_path / "arrays", **changes)
    elif changes is not None:
        (tmp_path / "arrays").mkdir()
    done = call("new", "dataset", "faulty", "--from", "arrays")
    assert done.exit_code == 2 and says in done.output and "Traceback" not in done.output
    assert {p.name for p in tmp_path.iterdir()} <= {"arrays"}


# What an exported folder says of itself, beyond the arrays: its words, and fields of other types.
TOLD = {
    "summary": "Moods: a 'study'", "licence": "for us alone", "citation": "Us, 2026",
    "origin": "our lab", "labelling": "by hand", "label_order": "the file's", "group_key": "person",
    "notes": ["one: two"], "published_marginals": [0.5, 0.5, 0.5], "redistribute": True,
    "preset": "paper", "version": 3,
}  # fmt: skip


def told(folder: Path, **values: Any) -> None:
    (folder / "card.yaml").write_text(json.dumps(values))


def test_what_a_folder_says_of_itself_is_the_card_of_its_data_set(tmp_path: Path) -> None:
    told(sample(tmp_path / "arrays"), **TOLD)
    project = made("dataset", "told-data", "--from", "arrays")
    spec = load((str(project),)).dataset("told-data")
    found = {key: list(v) if isinstance(v := getattr(spec, key), tuple) else v for key in TOLD}
    assert found == TOLD
    text = (project / "told_data/told-data.yaml").read_text()
    assert not [line for key in TOLD for line in text.splitlines() if line.startswith(f"# {key}:")]


def test_samples_may_be_passed_on_only_where_the_card_says_so(tmp_path: Path) -> None:
    sample(tmp_path / "arrays")
    project = made("dataset", "wild-data", "--from", "arrays")
    words = ("wild-data", "--plugin", "wild-data", "--home", "home")
    stats = call("data", "stats", *words)
    assert "licence: not stated\nredistribute: no" in stats.output
    export = ("data", "export", *words, "--format", "npz", "--to", "out")
    refused = call(*export)
    assert refused.exit_code == 2 and "redistribute: no; licence: not stated" in refused.output
    assert call(*export, "--own-use").exit_code == 0
    assert "MAY NOT BE PASSED ON" in Path("out/README.md").read_text()
    card = project / "wild_data/wild-data.yaml"
    card.write_text(card.read_text().replace("# redistribute: true", "redistribute: true"))
    registry._load.cache_clear()
    assert call("data", "export", *words, "--format", "npz", "--to", "open").exit_code == 0
    text = Path("open/README.md").read_text()
    assert "says that samples may be passed on; it states no licence" in text
    assert "under the licence" not in text


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"colour": "red"}, "arrays/card.yaml: unknown key 'colour'"),
        ({"licence": 3}, "arrays/card.yaml: licence: expected text, found 3"),
        ({"labels": ["joy", "anger", "joy"]}, "labels: expected joy, anger, joy"),
        ({"default_mask": "ones"}, "default_mask='ones' is not among ['length']"),
        ({"splits": ["train", "test"]}, "split 'valid' is none of train, test"),
    ],
)
def test_a_card_that_its_plugin_could_not_read_is_not_written(
    values: dict[str, Any], says: str, tmp_path: Path
) -> None:
    told(sample(tmp_path / "arrays"), **values)
    done = call("new", "dataset", "faulty", "--from", "arrays")
    assert done.exit_code == 2 and says in done.output and "Traceback" not in done.output
    assert {p.name for p in tmp_path.iterdir()} == {"arrays"}


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_features_that_are_not_finite_are_said_with_their_sample(
    value: float, tmp_path: Path
) -> None:
    audio = np.ones((180, 6, 4), np.float32)
    audio[[7, 30], :, 2] = value
    sample(tmp_path / "arrays", audio=audio)
    done = call("new", "dataset", "gappy", "--from", "arrays")
    assert done.exit_code == 0 and "note: all.npz: gappy, split" in done.output, done.output
    assert "audio, sample 's-0" in done.output and "data prepare gappy --repair" in done.output
    _, _, tried = done.output.partition("Try it:\n")
    assert tried.strip().startswith("harness data prepare --plugin gappy gappy --repair\n")
    refused = call("data", "prepare", "gappy", "--plugin", "gappy", "--home", "home")
    said = refused.output.strip().removeprefix("Error: ")
    assert refused.exit_code == 2 and f"note: {said}" in done.output.splitlines()
    repaired = call("data", "prepare", "gappy", "--plugin", "gappy", "--home", "home", "--repair")
    assert repaired.exit_code == 0, repaired.output


def test_what_preparing_the_arrays_would_note_is_said(tmp_path: Path) -> None:
    groups = [f"g{i % 60}" for i in range(180)]
    parts = ["train"] * 60 + ["valid"] * 60 + ["test"] * 60
    sample(tmp_path / "arrays", groups=groups, splits=parts)
    done = call("new", "dataset", "shared", "--from", "arrays")
    assert done.exit_code == 0 and "note: 60 groups (group) are in train and in" in done.output


def test_a_class_of_one_sample_that_is_spelt_like_another_is_said(tmp_path: Path) -> None:
    labels = [("joy", "fear", "anger")[i % 3] for i in range(180)]
    labels[4] = "faer"
    sample(tmp_path / "arrays", labels=labels, label_names=None)
    done = call("new", "dataset", "typed", "--from", "arrays")
    assert done.exit_code == 0, done.output
    assert "label 'faer' has one sample, 's-004'; is it meant as 'fear'?" in done.output


def test_from_is_for_data_sets_alone() -> None:
    done = call("new", "model", "plain", "--from", "arrays")
    assert done.exit_code == 2 and "--from" in done.output and not Path("plain").exists()


def test_a_folder_that_is_no_plugin_project_is_named(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    bare = call("list", "--plugin", "bare")
    assert bare.exit_code == 2 and "without a pyproject.toml" in bare.output
    (tmp_path / "bare/pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert "no [project.entry-points.harness]" in call("list", "--plugin", "bare").output
    (tmp_path / "bare/pyproject.toml").write_text(
        "[project.entry-points.harness]\nbare = 'nowhere_at_all'\n"
    )
    missing = call("list", "--plugin", "bare")
    assert missing.exit_code == 2 and "nowhere_at_all" in missing.output


def test_a_project_whose_package_was_imported_from_elsewhere_is_refused(tmp_path: Path) -> None:
    first = made("model", "twice-made")
    call("list", "--plugin", str(first))
    (tmp_path / "other").mkdir()
    project = tmp_path / "other" / "twice-made"
    first.rename(tmp_path / "moved")
    done = call("new", "model", "twice-made", "--into", "other")
    assert done.exit_code == 2 and "module 'twice_made'" in done.output
    (tmp_path / "moved").rename(project)
    refused = call("list", "--plugin", str(project))
    assert refused.exit_code == 2 and "was imported from" in refused.output


@pytest.mark.full
def test_what_is_written_is_clean_for_ruff_and_mypy_and_its_tests_pass_alone(
    tmp_path: Path,
) -> None:
    kinds = ("model", "dataset", "metric", "dropout", "figure")
    projects = [made(kind, f"clean-{kind}") for kind in kinds]
    sample(tmp_path / "arrays")
    projects.append(made("dataset", "clean-arrays", "--from", "arrays"))
    roots = os.pathsep.join(str(ROOT / p) for p in (".", "plugins", "baselines"))
    env = {**os.environ, "PYTHONPATH": roots, "MYPYPATH": roots}
    packages = [str(p / p.name.replace("-", "_")) for p in projects]
    commands = [
        ["mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), *packages],
        *(["ruff", *what, p.name] for p in projects for what in (["check"], ["format", "--check"])),
        *(
            ["pytest", "-q", "-p", "no:cacheprovider", "--rootdir", p.name, p.name]
            for p in projects
        ),
    ]
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
