"""Twins: generated data in the authors' formats whose best possible score is known exactly."""

TWIN_VERSION = 3
"""MOSEI's and M3ED's; raised whenever a generating process or a calibration figure changes."""

MEMOR_TWIN_VERSION = 4
"""MEmoR's, likewise."""
