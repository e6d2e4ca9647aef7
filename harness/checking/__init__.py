"""The checks behind `harness check NAME`: short runs of a model on made data, by the engine.

`checks.CHECKS` holds them by name; `suite.check` makes them and gives a `report.Report`. They stand
on top of the checks that every run makes (`harness.conformance`).
"""
