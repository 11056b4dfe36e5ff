"""`mlops up`: Dagster's web server and daemon on a project, until Ctrl-C."""
