"""The last look at what a pickle made: not nested too deeply, nothing begun and not ended."""

from __future__ import annotations

import collections
import types
from pickle import UnpicklingError
from typing import Any

import numpy as np

from harness.data.safe.allowed import Allowed, Pending
from harness.data.safe.held import Held, HeldError

# Deeper nesting than any data file has; what walks over the result may recurse.
MAX_DEPTH = 64

_CONTAINERS = (list, tuple, dict, set, frozenset, collections.deque, types.SimpleNamespace)
_PLAIN = frozenset((str, bytes, int, float, bool, complex, type(None)))


def whole(root: Any) -> Any:
    """Return the object unless it is nested too deeply or holds what was begun and not ended.

    Raises:
        UnpicklingError: it is or does.
        HeldError: large data on disk is in it that is no array's.
    """
    level, seen = [root], {id(root)}
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for container in level:
            if isinstance(container, dict):
                parts: Any = container.values()
            elif isinstance(container, types.SimpleNamespace):
                parts = vars(container).values()
            elif isinstance(container, np.ndarray):
                parts = container.flat if container.dtype.hasobject else ()
            elif isinstance(container, _CONTAINERS):
                parts = container
            elif type(container) in (Pending, Allowed):
                raise UnpicklingError("it ends in the middle of an object")
            elif type(container) is Held:
                raise HeldError
            else:
                continue
            for part in parts:
                if type(part) in _PLAIN or id(part) in seen:
                    continue
                if isinstance(part, np.ndarray) and not part.dtype.hasobject:
                    continue
                seen.add(id(part))
                below.append(part)
        if not below:
            return root
        level = below
    raise UnpicklingError("it is nested too deeply")
