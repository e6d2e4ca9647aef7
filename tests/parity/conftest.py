from __future__ import annotations

import pytest

from tests.parity.golden import Golden, golden_files


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise ``golden`` over the files of the module's ``GOLDEN_MODEL``."""
    if "golden" not in metafunc.fixturenames:
        return
    module = metafunc.module
    files = golden_files(module.GOLDEN_MODEL, getattr(module, "GOLDEN_PATTERN", "*.safetensors"))
    metafunc.parametrize("golden", files, ids=[f.stem for f in files], indirect=True)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden.read(request.param)
