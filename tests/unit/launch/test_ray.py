"""The launcher ``ray``: its options. Runs on a cluster are in `test_clusters.py`."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.launch.ray import make


@pytest.mark.parametrize("option", ["gpus=-1", "gpus=1.5", "gpus=half", "cpus=0", "jobs=x"])
def test_values_that_do_not_fit_are_refused(option: str) -> None:
    key, _, value = option.partition("=")
    with pytest.raises(UsageError, match=option):
        make({key: value})
