"""Twins: generated data in the authors' formats whose best possible score is known exactly."""

TWIN_VERSION = 1
"""Raised whenever the generating process or a calibration figure changes."""
