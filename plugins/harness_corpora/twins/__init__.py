"""Twins: generated data in the authors' formats whose best possible score is known exactly."""

TWIN_VERSION = 2
"""Raised whenever the generating process or a calibration figure changes."""
