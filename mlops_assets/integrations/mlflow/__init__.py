"""MLflow: runs, models and aliases mirrored to a server, and experiments imported from one.

The modules below import the client library, so they are loaded only where MLflow is used.
"""

from mlops_assets.settings import set_environment_defaults

# The library reads these when it is imported and when it is used.
set_environment_defaults(
    {
        "MLFLOW_DISABLE_TELEMETRY": "true",  # unless users want it
        # a server that is unreachable costs seconds, not four minutes
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # what commands print is theirs
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
)
