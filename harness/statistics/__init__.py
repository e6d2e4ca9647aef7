"""Intervals, tests and ranks of measured figures. NumPy; SciPy on use; no torch."""
