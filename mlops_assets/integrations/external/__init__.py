"""External runs, made in a notebook or on a cluster.

They are recorded here, and their models pass through the same stages.

How a caller reaches the platform (this process, HTTP) and how Dagster hears of it are not decided
here.
"""
