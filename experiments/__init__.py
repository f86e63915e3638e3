"""Runs that can be compared, and the way of the best one into the registry.

`tracking` is the only user of MLflow in the project, `run` wraps one training in an MLflow run, and
`promote` takes its exported model through the gate to the alias `champion`.
"""
