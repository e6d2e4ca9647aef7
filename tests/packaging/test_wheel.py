"""The wheel: what it installs, that data files are inside, that it works without the tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import IGNORED, built, environment

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "harness": ROOT / "harness",
    "harness_ramer": ROOT / "plugins/harness_ramer",
    "harness_corpora": ROOT / "plugins/harness_corpora",
    "harness_baselines": ROOT / "baselines/harness_baselines",
}


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    return zipfile.ZipFile(wheel).namelist()


def test_top_level_names(names: list[str]) -> None:
    tops = {n.split("/")[0] for n in names if ".dist-info/" not in n}
    assert tops == set(PACKAGES)


def test_every_source_and_data_file_is_inside(names: list[str]) -> None:
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"{package}/{path.relative_to(folder).as_posix()}" in names


def test_what_is_read_at_run_time_is_inside(names: list[str]) -> None:
    assert {
        "harness/records/record.schema.json",
        "harness_baselines/published.yaml",
        "harness_baselines/deviations.yaml",
        "harness_baselines/carat.yaml",
        "harness_baselines/mms2s/model.py",
        "harness_corpora/data/m3ed_labels.npz",
        "harness_corpora/data/mosi_utterance.npz",
        "harness_corpora/memor/reader.py",
        "harness_corpora/twins/memor.py",
        "harness_ramer/ramer.yaml",
        "harness_ramer/ramer-public.yaml",
    } <= set(names)


def test_nothing_of_the_tests_and_no_foreign_data(names: list[str]) -> None:
    assert not [n for n in names if n.endswith((".arff", ".pt", ".pkl", ".safetensors", ".pyc"))]
    assert not [n for n in names if "test" in Path(n).name and n.endswith(".py")]


def test_licence_notice_and_entry_points(wheel: Path, names: list[str]) -> None:
    info = next(n.split("/")[0] for n in names if ".dist-info/" in n)
    assert {f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE"} <= set(names)
    points = zipfile.ZipFile(wheel).read(f"{info}/entry_points.txt").decode()
    assert "harness = harness.cli:main" in points
    for name in ("harness_ramer", "harness_corpora", "harness_baselines"):
        assert name in points


def test_installed_wheel_imports_outside_the_tree(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import harness, harness_ramer, harness_corpora, harness_baselines\n"
        "assert all(m.__file__.startswith(sys.argv[1]) for m in "
        "(harness, harness_ramer, harness_corpora, harness_baselines))\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.full
def test_a_third_partys_wheel_runs_beside_ours_in_an_environment_of_its_own(
    wheel: Path, tmp_path: Path
) -> None:
    """Both wheels win over what the test environment has; dependencies come from behind them."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "examples/wearables", source, ignore=IGNORED)
    built(source, tmp_path / "built", "--wheel")
    (own,) = (tmp_path / "built").glob("*.whl")
    env = environment(tmp_path, wheel, own)
    where = "import harness, wearables; print(harness.__file__, wearables.__file__)"
    assert env.call("python", "-c", where).count(str(env.packages)) == 2
    few = ("--dataset", "wearable-feelings", "--set", "training.epochs=2")
    env.call("harness", "run", "--model", "wearable-fusion,misa", *few)
    env.call("harness", "leaderboard", "--dataset", "wearable-feelings")
    board = (tmp_path / "work/leaderboards/wearable-feelings.md").read_text("utf-8")
    assert "wearable-fusion" in board and "misa" in board
    assert "harness-wearables" in env.call("harness", "plugins")
