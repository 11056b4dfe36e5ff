"""The client of an MLflow server, with errors that have a remedy.

Credentials are the client's own business: MLFLOW_TRACKING_USERNAME and _PASSWORD, or
MLFLOW_TRACKING_TOKEN.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException

from mlops_assets.errors import NotFound, StorageError
from mlops_assets.text.secret_urls import redacted

_PAGE = 1000  # runs in one answer
_DENIED = {"UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED"}


def open_client(tracking_uri: str) -> MlflowClient:
    """Return a client; no request is sent yet."""
    with explained(tracking_uri):
        return MlflowClient(tracking_uri, registry_uri=tracking_uri)


@contextmanager
def explained(tracking_uri: str) -> Iterator[None]:
    """Turn an error of a server into a StorageError with a remedy.

    Raises:
        StorageError: the server is unreachable, refuses the credentials, or refuses a request.
    """
    try:
        yield
    except (MlflowException, requests.RequestException) as error:
        lines = str(error).replace(tracking_uri, redacted(tracking_uri)).strip().splitlines()
        reason = lines[0][:500] if lines else type(error).__name__
        raise StorageError(
            f"MLflow at {redacted(tracking_uri)}: {reason}; {_remedy(error)}"
        ) from error


def is_missing(error: MlflowException) -> bool:
    """Return whether an error means that something does not exist."""
    return bool(error.error_code == "RESOURCE_DOES_NOT_EXIST")


def experiment_id(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment.

    Raises:
        NotFound: there is none, or it is deleted; the message names existing ones.
    """
    found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        some = ", ".join(
            sorted(experiment.name for experiment in client.search_experiments(max_results=20))
        )
        deleted = (
            "is deleted there; restore it" if found else f"is not there; there is {some or 'none'}"
        )
        raise NotFound(f"experiment {name!r} of MLflow {deleted}")
    return str(found.experiment_id)


def all_runs(client: MlflowClient, experiment: str, where: str = "") -> Iterator[Run]:
    """Yield the runs of an experiment, oldest first, deleted ones too.

    Args:
        client: of the server.
        experiment: its id.
        where: a filter as MLflow writes it.
    """
    token = None
    while True:
        page = client.search_runs(
            [experiment], where, ViewType.ALL, _PAGE, ["attributes.start_time ASC"], token
        )
        yield from page
        token = page.token
        if not token:
            return


def _remedy(error: Exception) -> str:
    code = getattr(error, "error_code", "")
    response = getattr(error, "response", None)
    if code in _DENIED or getattr(response, "status_code", None) in (401, 403):
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    return "check the tracking URI and whether the server runs, and try again"
