"""MMS2S (Zhang et al., EMNLP 2020): emotions as a set, generated one after another."""
