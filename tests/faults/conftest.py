from __future__ import annotations

from tests.unit.data.conftest import roots as roots
