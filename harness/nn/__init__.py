"""Blocks that several models share, each once."""
