"""The wheel: what it installs, that data files are inside, that it works without the tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "harness": ROOT / "harness",
    "harness_ramer": ROOT / "plugins/harness_ramer",
    "harness_corpora": ROOT / "plugins/harness_corpora",
    "harness_baselines": ROOT / "baselines/harness_baselines",
}
# Folders that a build from a working tree would carry along or be misled by.
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist", ".*", "tests")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a clean copy, without network: no isolation, no dependencies."""
    source, out = tmp_path_factory.mktemp("source") / "tree", tmp_path_factory.mktemp("wheel")
    source.mkdir()
    for name in ("harness", "plugins", "baselines"):
        shutil.copytree(ROOT / name, source / name, ignore=IGNORED)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (built,) = out.glob("*.whl")
    return built


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
