"""diag@1: generated data sets that measure one skill each, with exact observers."""
