"""Formats: each writes every view. `harness.boards.builtin` registers them as a plugin would."""
