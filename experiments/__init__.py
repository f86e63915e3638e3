"""Runs that can be compared, and the way of the best one into the registry.

`tracking` (runs) and `registry` (models) are the only users of MLflow in the project, `run` wraps one
training in an MLflow run, and `promote` takes its exported model through `gate` to the alias `champion`.
"""
