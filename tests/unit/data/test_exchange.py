"""`harness data export` and `import`: the way to plain arrays and back loses nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

import harness
from harness.cli import cli
from harness.data.exchange import _card, check_form
from harness.errors import UsageError
from harness.plugins import load
from harness.plugins import registry as plugins
from harness.plugins.cards import dataset_of_card

# Padding without lengths, lengths below the stored rows, a modality that is missing, columns with
# gaps, persons of whom some are unknown, a sample without labels.
PLUGIN = """
import numpy as np
import harness
from harness.data.corpus import Corpus, SplitArrays
from harness.specs import DatasetSpec, ModalitySpec, SourceFile

SPEC = DatasetSpec(
    name="odd", corpus=f"{__name__}:Odd", labels=("joy", "fear", "awe"), group_key="speaker",
    modalities=(ModalitySpec("eeg", "e", 3, 5), ModalitySpec("gaze", "g", 2, WIDEST)),
    personality_dim=2, aligned=False, splits=("train", "test"), redistribute=REDISTRIBUTE,
    mask_options=("ones", "nonzero"), files=(SourceFile("odd.txt", "any"),), licence="for us alone",
    summary="odd: in every way", citation="us",
)

class Odd(Corpus):
    reader_version = 7

    def read(self, root, *, repair=False):
        rng = np.random.default_rng(5)
        for name, n in (("train", 6), ("test", 3)):
            rows = [rng.normal(size=(1 + i % 4, 3)).astype(np.float32) for i in range(n)]
            gaze = [rng.normal(size=(2 * (i % 2), 2)).astype(np.float32) for i in range(n)]
            rows[0][-1] = 0.0
            yield SplitArrays(
                name, [f"{name}, {i}" for i in range(n)], [f"p{i // 2}" for i in range(n)],
                (rng.random((n, 3)) < 0.4).astype(np.uint8), {"eeg": rows, "gaze": gaze},
                {"gaze": np.array([i % 2 for i in range(n)])}, {"eeg:-inf": 2},
                {"party": ["AB", None, "", "B"][:n] + [None] * (n - 4), "year": [1990 + i for i in
                 range(n)], "share": [0.1 * i for i in range(n)]},
                rng.normal(size=(n, 2)).astype(np.float32), np.arange(n) % 3 > 0, {"seen": 4},
            )

@harness.hookimpl
def harness_datasets():
    return [SPEC]
"""


class Home:
    """An empty home with the data set's plugin."""

    def __init__(self, folder: Path, redistribute: bool = True, widest: int = 4) -> None:
        self.folder = folder
        folder.mkdir()
        self.plugin = folder.parent / f"odd_{widest}.py"
        text = PLUGIN.replace("REDISTRIBUTE", str(redistribute)).replace("WIDEST", str(widest))
        self.plugin.write_text(text)

    def data(self, *words: object) -> Result:
        roots = ["--home", str(self.folder / "home"), "--data-root", str(self.folder / "authors")]
        given = [*map(str, words), "--plugin", str(self.plugin), *roots]
        return CliRunner().invoke(cli, ["data", *given])

    def card(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(
            (self.folder / "home" / "stores" / "odd" / "card.json").read_text()
        )
        return found


@pytest.fixture
def origin(tmp_path: Path) -> Home:
    home = Home(tmp_path / "here")
    (home.folder / "authors").mkdir()
    (home.folder / "authors" / "odd.txt").write_text("x")
    return home


@pytest.mark.parametrize("form", ["npz", pytest.param("parquet", marks=pytest.mark.full)])
def test_the_way_back_is_exact(form: str, origin: Home, tmp_path: Path) -> None:
    arrays = tmp_path / "arrays"
    done = origin.data("export", "odd", "--format", form, "--to", arrays)
    assert done.exit_code == 0 and "licence: for us alone" in done.output, done.output
    there = Home(tmp_path / "there")
    done = there.data("import", arrays)
    assert done.exit_code == 0 and "odd: train 6, test 3" in done.output, done.output
    before, after = origin.card(), there.card()
    same = ("content_hash", "spec", "counts", "cleaned", "facts", "feature_sd", "reader_version")
    assert {k: before[k] for k in same} == {k: after[k] for k in same}
    assert before["cleaned"] == {"train": {"eeg:-inf": 2}, "test": {"eeg:-inf": 2}}
    # Without the authors' files the imported store is the data set.
    stats = there.data("stats", "odd", "--json")
    assert json.loads(stats.stdout)["content_hash"] == before["content_hash"]
    assert there.data("verify", "odd").exit_code == 0


@pytest.mark.parametrize("form", ["npz", pytest.param("parquet", marks=pytest.mark.full)])
def test_another_data_set_can_be_made_of_what_was_exported(
    form: str, origin: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    assert origin.data("export", "odd", "--format", form, "--to", "arrays").exit_code == 0
    name = f"odd-again-of-{form}"
    done = CliRunner().invoke(cli, ["new", "dataset", name, "--from", "arrays"])
    assert done.exit_code == 0, done.output
    found = harness.dataset(name, plugins=tmp_path / name, home=tmp_path / "home")
    plugins._load.cache_clear()
    assert found.content_hash == origin.card()["content_hash"]
    assert found.spec.summary.startswith("odd: in every way")
    assert (found.spec.licence, found.spec.group_key) == ("for us alone", "speaker")


@pytest.mark.parametrize("name", [*load().datasets, "mosi-5folds.1", "mosei-aligned-twin"])
def test_the_card_of_an_exported_folder_is_one_that_a_plugin_reads(name: str) -> None:
    spec = load().dataset(name)
    told = yaml.safe_load(_card(spec))
    again = dataset_of_card({**told, "corpus": "a:B"}, "card.yaml")
    assert {k: getattr(again, k) for k in told} == {k: getattr(spec, k) for k in told}
    assert {"name", "modalities", "labels", "summary"} <= told.keys()


def test_samples_that_may_not_be_passed_on_need_a_word(tmp_path: Path) -> None:
    home = Home(tmp_path / "here", redistribute=False)
    (home.folder / "authors").mkdir()
    (home.folder / "authors" / "odd.txt").write_text("x")
    done = home.data("export", "odd", "--format", "npz", "--to", tmp_path / "arrays")
    assert done.exit_code == 2 and "for us alone" in done.output and "--own-use" in done.output
    assert not (tmp_path / "arrays").exists()
    done = home.data("export", "odd", "--format", "npz", "--to", tmp_path / "arrays", "--own-use")
    assert done.exit_code == 0 and "may not be passed on" in done.output
    assert "MAY NOT BE PASSED ON" in (tmp_path / "arrays" / "README.md").read_text()
    assert "redistribute: false" in (tmp_path / "arrays" / "card.yaml").read_text()


@pytest.mark.full
def test_what_is_not_the_exported_data_is_refused_whole(origin: Home, tmp_path: Path) -> None:
    arrays = tmp_path / "arrays"
    assert origin.data("export", "odd", "--format", "npz", "--to", arrays).exit_code == 0
    done = origin.data("export", "odd", "--format", "npz", "--to", arrays)
    assert done.exit_code == 2 and "not empty" in done.output
    # The data set here allows longer sequences: other data by its content hash.
    wider = Home(tmp_path / "wider", widest=9)
    done = wider.data("import", arrays)
    assert done.exit_code == 2 and "expected the content" in done.output, done.output
    assert not (wider.folder / "home" / "stores" / "odd").exists()
    # A store of other data is kept.
    (wider.folder / "authors").mkdir()
    (wider.folder / "authors" / "odd.txt").write_text("x")
    assert wider.data("prepare", "odd").exit_code == 0
    held = wider.card()["content_hash"]
    done = wider.data("import", arrays)
    assert done.exit_code == 2 and "--force" in done.output
    assert wider.card()["content_hash"] == held
    # A file that was changed since.
    with np.load(arrays / "test.npz") as archive:
        changed = {**dict(archive), "labels": 1 - archive["labels"]}
    np.savez(arrays / "test.npz", **changed)
    done = Home(tmp_path / "there").data("import", arrays)
    assert done.exit_code == 2 and "test.npz" in done.output and "exported" in done.output
    (arrays / "prepared.json").unlink()
    done = origin.data("import", arrays)
    assert done.exit_code == 2 and "harness new dataset NAME --from" in done.output


def test_persons_x_segments_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="persons x segments"):
        check_form(load().dataset("memor-fine"), "npz", tmp_path / "arrays")
