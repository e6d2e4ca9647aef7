"""What holds for every test: no network, own folders, one thread, no state left behind."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

from harness import paths

# A busy machine must not fail a test, and a failure must come back on the next run.
settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.load_profile("suite")
# Steps this small only get slower with two threads, by far where the cores are busy.
torch.set_num_threads(1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Under ``-n``, give each file to one worker, in the suite's order.

    Fixtures are then made once, tests that follow from one another stay together, and the longest
    files, which come first, do not end the run alone.
    """
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that would leave the machine; local sockets stay open."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            raise AssertionError(f"a test tried to connect to {address}")
        connect(self, address)

    def refuse(host: Any, *args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"a test tried to look up {host}")

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test an empty HARNESS_HOME and HARNESS_DATA; return their parent."""
    root = tmp_path_factory.mktemp("harness")
    monkeypatch.setenv("HARNESS_JOBS", "1")
    monkeypatch.setenv("HARNESS_HOME", str(root / "home"))
    monkeypatch.setenv("HARNESS_DATA", str(root / "data"))
    for name in ("HARNESS_PLUGINS", "HARNESS_STRICT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(paths, "_roots", {})
    return root


@pytest.fixture(autouse=True)
def no_state_left_behind() -> Iterator[None]:
    """Put random states and torch's global switches back after every test."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    grad = torch.is_grad_enabled()
    yield
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002
    torch.set_rng_state(cpu)
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
    torch.set_grad_enabled(grad)
