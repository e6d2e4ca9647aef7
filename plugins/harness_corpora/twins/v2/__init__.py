"""Recipe v2 of the twins of MOSEI and M3ED: built and tested, not in use yet (`docs/twins.md`)."""
