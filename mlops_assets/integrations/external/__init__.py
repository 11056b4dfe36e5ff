"""External runs, in a notebook or on a cluster.

Recorded here, with their models, through the same stages.

How a caller reaches the platform (this process, HTTP) and how Dagster hears of it are not decided
here.
"""
