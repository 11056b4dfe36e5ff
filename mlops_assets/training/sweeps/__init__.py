"""Sweeps: a trainer run many times with other parameters, the best proposed as `candidate`.

A sweep has no state of its own: its trials are runs with the tags `sweep` and `trial`, and the next
parameters are decided from them. Modules that import Optuna are loaded only when they are needed.
"""
