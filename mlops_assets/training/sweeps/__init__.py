"""Sweeps: a trainer run many times with other parameters, the best proposed as `candidate`.

A sweep has no state of its own: its trials are runs with the tags `sweep` and `trial`, and what to
try next is decided from them. What imports Optuna here is loaded only when it is needed.
"""
