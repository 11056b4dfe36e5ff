"""The history of runs: what is going on, comparisons, reports."""
