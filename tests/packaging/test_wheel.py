"""The wheel: what it installs, that data files are inside, that it works without the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
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


@pytest.mark.full
def test_a_third_partys_wheel_runs_beside_ours_in_an_environment_of_its_own(
    wheel: Path, tmp_path: Path
) -> None:
    """Both wheels win over what the test environment has; dependencies come from behind them."""

    def call(*command: str | Path) -> str:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HARNESS"))}
        env["HARNESS_HOME"] = str(tmp_path / "home")
        done = subprocess.run(
            [*map(str, command)], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    source = tmp_path / "source"
    shutil.copytree(ROOT / "examples/wearables", source, ignore=IGNORED)
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "built")
    call(sys.executable, *build, source)
    (own,) = (tmp_path / "built").glob("*.whl")
    call(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env")
    python = tmp_path / "env/bin/python"
    offline = ("--no-index", "--no-deps")
    call(sys.executable, "-m", "pip", "--python", python, "install", *offline, wheel, own)
    (packages,) = (tmp_path / "env/lib").glob("python*/site-packages")
    (packages / "behind.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    where = "import harness, wearables; print(harness.__file__, wearables.__file__)"
    assert call(python, "-c", where).count(str(packages)) == 2
    harness = tmp_path / "env/bin/harness"
    few = ("--dataset", "wearable-feelings", "--set", "training.epochs=2")
    call(harness, "run", "--model", "wearable-fusion,misa", *few)
    call(harness, "leaderboard", "--dataset", "wearable-feelings")
    board = (tmp_path / "leaderboards/wearable-feelings.md").read_text("utf-8")
    assert "wearable-fusion" in board and "misa" in board
    assert "harness-wearables" in call(harness, "plugins")
