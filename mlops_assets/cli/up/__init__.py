"""`mlops up`: the hub and Dagster's daemon on a project, until Ctrl-C."""
