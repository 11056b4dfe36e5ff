"""What pages and routes show of runs: tables, records, curves, logs, comparisons."""
