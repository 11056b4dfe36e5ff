"""The events of steps: what Dagster shows of what was made."""
