"""Fuzzing of what reads foreign files: ``python -m tests.fuzz --minutes 30`` explores."""
