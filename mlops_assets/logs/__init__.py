"""Logs of servers, daemons and runs: as lines for people, or as one JSON object a line.

No secret is in either. What a record belongs to, such as a run or a request, is in its context.
"""

from mlops_assets.logs.configure import configure_logs, json_handler, logs_json
from mlops_assets.logs.context import add_log_fields, log_fields
from mlops_assets.logs.json_lines import JsonLines

__all__ = [
    "JsonLines",
    "add_log_fields",
    "configure_logs",
    "json_handler",
    "log_fields",
    "logs_json",
]
