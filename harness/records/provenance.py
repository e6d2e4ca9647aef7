"""What a run ran on: packages, interpreter, machine in general terms. No host, user or path."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = (
    "emotion-harness",
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "torchmetrics",
    "datasets",
    "pyarrow",
    "safetensors",
)


def package_versions() -> dict[str, str]:
    """Return the versions of the packages a result depends on, where installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit(root: Path | None = None) -> str | None:
    """Return the git commit the harness runs from, ``+dirty`` with local changes.

    None where it is an installed package or git is not there.
    """
    root = root or Path(__file__).resolve().parents[2]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None

    def ask(*words: str) -> str | None:
        done = subprocess.run(
            [git, "-C", str(root), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else None

    head = ask("rev-parse", "HEAD")
    if head is None:
        return None
    return f"{head}+dirty" if ask("status", "--porcelain", "--untracked-files=no") else head


def processor() -> str | None:
    """Return the name of the processor; None where the system does not tell."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or None


def blas_kernels() -> list[str]:
    """Return the loaded BLAS libraries and the kernels they chose, as ``openblas 0.3 SkylakeX``.

    Equal versions give other last bits on other kernels.
    """
    from threadpoolctl import threadpool_info

    found = []
    for library in threadpool_info():
        if library["user_api"] == "blas":
            parts = (library["internal_api"], library["version"], library.get("architecture"))
            found.append(" ".join(str(part) for part in parts if part))
    return sorted(set(found))


def collect(**facts: Any) -> dict[str, Any]:
    """Return the provenance of this process, with further ``facts`` (threads, device name)."""
    return {
        "packages": package_versions(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "blas": blas_kernels(),
        "cpu_count": os.cpu_count(),
        "commit": commit(),
        **facts,
    }


def merge_plugins(facts: dict[str, Any], answers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return ``facts`` with what plugins added under ``plugins``."""
    return {**facts, "plugins": dict(answers)} if answers else facts


def now() -> str:
    """Return the UTC time, ISO 8601 to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
