"""Twins of a few samples; as a program, their content hashes and the BLAS kernel in use."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness import paths
from harness.data.locate import corpus_of
from harness.data.prepare import prepare
from harness.plugins import load
from harness_corpora.twins import m3ed, mosei

WRITTEN = MappingProxyType(
    {
        "mosei-aligned": (mosei, "MOSEI_ALIGNED"),
        "mosei-unaligned": (mosei, "MOSEI_UNALIGNED"),
        "m3ed": (m3ed, "M3ED"),
    }
)


def shrink(patch: Any, sizes: tuple[int, int, int]) -> None:
    """Give every twin these sizes.

    Args:
        patch: called with module, name of the plan, and the plan to put there.
        sizes: samples of train, valid, test.
    """
    for module, name in WRITTEN.values():
        patch(module, name, replace(getattr(module, name), sizes=sizes))


def content_hash(name: str, folder: Path, seed: int) -> str:
    """Write a twin, prepare it by its reader, and return the store's content hash.

    Args:
        name: of the data set, without ``-twin``.
        folder: for the files and the store.
        seed: of the twin.
    """
    corpus = corpus_of(load().dataset(f"{name}-twin"))
    with paths.using_home(str(folder / "home")):
        corpus.write_twin(folder / "files", seed, "default")
        return prepare(corpus, folder / "files", corpus.spec.name, twin={"seed": seed}).content_hash


def main(folder: str) -> None:
    """Print the content hash of each small twin, and the kernel that NumPy computed with."""
    from threadpoolctl import threadpool_info

    shrink(setattr, (6, 2, 3))
    hashes = {name: content_hash(name, Path(folder) / name, 1) for name in WRITTEN}
    kernels = [pool.get("architecture") for pool in threadpool_info() if pool["user_api"] == "blas"]
    print(json.dumps({"hashes": hashes, "kernels": kernels}))


if __name__ == "__main__":
    main(sys.argv[1])
