"""Versioned protocols: what a sample is, who is missing, what counts."""
