"""The history of runs: current activity, comparisons, reports."""
