"""Artefacts of runs: record and schema, request, code digest, provenance, store, predictions."""
