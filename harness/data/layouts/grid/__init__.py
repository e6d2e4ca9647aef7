"""Persons x segments: samples are indices into rows that a whole data set shares."""
