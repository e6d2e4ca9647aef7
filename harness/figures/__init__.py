"""Figures made from records and trained models, each with its numbers in a CSV file beside it."""
