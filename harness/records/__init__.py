"""The run record: schema, fingerprint, provenance, store, predictions."""
