"""Suites of dropout protocols: `members` is the only definition of what a suite holds."""

from harness.protocols.dropout.suites import SUITES, ids, is_builtin, members, register

__all__ = ["SUITES", "ids", "is_builtin", "members", "register"]
