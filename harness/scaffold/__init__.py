"""`harness new`: projects of plugins that work at once, from the templates beside this module."""

from harness.scaffold.names import Names, named
from harness.scaffold.projects import KINDS, trial, write

__all__ = ["KINDS", "Names", "named", "trial", "write"]
