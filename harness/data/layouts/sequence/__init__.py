"""Sequences: each sample has its own rows, [T_i, d] per modality."""
