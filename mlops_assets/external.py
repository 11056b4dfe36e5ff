"""`external_run` and `log_predictions`: runs and predictions of anyone's code, recorded.

For notebooks and jobs of a cluster. A run reaches workspace and registry itself, or a server by
HTTP; predictions reach the workspace.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING

from mlops_assets.errors import SettingsError, SpecificationError
from mlops_assets.integrations.external.external_run import ExternalRun
from mlops_assets.integrations.external.origin import calling_file, origin_of
from mlops_assets.integrations.external.recording import ExternalRunRequest, specification_for
from mlops_assets.names import Reference
from mlops_assets.settings import Settings
from mlops_assets.text.json_values import JsonObject

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def external_run(
    model: str,
    data: str,
    parameters: Mapping[str, object] | None = None,
    seed: int = 0,
    *,
    run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    gpus: int = 0,
    module: str | None = None,
    url: str | None = None,
    token: str | Callable[[], str] | None = None,
    **declared: object,
) -> AbstractContextManager[ExternalRun]:
    """Record a run of this process.

        with external_run("crop_cnn", "fields@v2", {"epochs": 30}, task="classification") as run:
            X, y = run.data.arrays("train")
            run.log({"loss": loss}, step)
            run.model(model)

    When the block is left, the model is published, exported to ONNX, compared with its export,
    evaluated on the test split, recorded and checked against its gates, and each stage is reported
    to Dagster; `run.outcome` has the outcome.

    Args:
        model: its name. As the project declares it, if it does.
        data: `dataset@version`, `dataset@tag`, or the newest version of `dataset`.
        parameters: of the training, as JSON values.
        seed: of the random numbers; nothing is seeded here.
        run_id: a UUID; with that of a run that was interrupted, it continues.
        tags: labels of the run.
        gpus: number of GPUs it uses, whose utilisation and energy are recorded.
        module: definitions of the project, e.g. `my_project.definitions`; those of the current
            folder if not given.
        url: address of a server that `mlops hub` runs; none if workspace and registry can be
            reached directly.
        token: a bearer token that the server accepts, or a function that returns one for each
            request, for tokens that expire before the run ends; `MLOPS_API_TOKEN` if not given.
        declared: attributes as in YAML, of a model that the project does not declare: at least
            `task`; `inputs`, `bands`, `scaling`, `gates`, `parity`, `title`, `description`.

    Returns:
        A context manager around the training, which yields the run.

    Raises:
        NotFound: there is no such data version.
        SettingsError: the server's URL or token is missing or refused.
        SpecificationError: the model does not suit the data or is declared otherwise, or a
            parameter is not a valid JSON value.
        TrainerError: on leaving; there is no model, or it cannot be published.
        ParityError: on leaving; the model is published, but its ONNX file differs from it, and it
            goes no further.
    """
    reference = Reference.parse(data)
    settings = Settings.from_environment()
    frame = inspect.currentframe()
    origin = origin_of(calling_file(frame.f_back if frame else None), settings.user)
    values = _json_values(parameters or {})
    request = ExternalRunRequest(
        model, reference, values, seed, origin, run_id, tags or {}, declared
    )
    if url is not None:
        from mlops_assets.integrations.external.http_backend import record_over_http

        token = token or settings.api_token
        if not token:
            raise SettingsError(f"{url} requires a token: give token=…, or set MLOPS_API_TOKEN")
        return record_over_http(url, token, request, gpus)
    from mlops_assets.components.events.reporting import DagsterReporter
    from mlops_assets.components.project.definitions import models_of_project
    from mlops_assets.integrations.external.registry_backend import record_in_registry
    from mlops_assets.store import open_store

    store = open_store(settings)
    specification = specification_for(
        models_of_project(module).get(model), model, reference.name, declared
    )
    reporter = DagsterReporter(store, specification, settings.dagster_home)
    return record_in_registry(store, specification, request, reporter, gpus)


def log_predictions(
    model: str,
    version: str,
    inputs: ArrayLike,
    outputs: Mapping[str, ArrayLike],
    ids: Sequence[str],
    times: datetime | Sequence[datetime] | None = None,
) -> int:
    """Log predictions of a model version that were made in other code, so that they are monitored.

        outputs = session.run(None, {"input": X})
        log_predictions("crop_cnn", "production", X, {"scores": outputs[0]}, ids)

    Predictions that are logged again with the same ids are there once.

    Args:
        model: its name.
        version: of the model, or an alias.
        inputs: as the ONNX file takes them, raw, (n, *shape of a sample).
        outputs: as the ONNX file names them: `label` (n,), class indices, and `scores`
            (n, classes), or one of both; `value` (n,) for regression. Windows have their pixels
            behind these axes.
        ids: of the predictions, (n,), by which labels are added later; each once.
        times: when they were made, with a time zone; now if not given.

    Returns:
        The number of predictions.

    Raises:
        Forbidden: the user is not a scientist.
        NotFound: there is no such model version.
        SpecificationError: ids, inputs or outputs do not suit the model version.
        StorageError: the workspace cannot be written.
    """
    from mlops_assets.serving.request_log.client import log_samples
    from mlops_assets.store import open_store

    store = open_store(Settings.from_environment())
    return log_samples(store, Reference(model, version), inputs, outputs, ids, times)


def _json_values(parameters: Mapping[str, object]) -> JsonObject:
    """Return parameters as they are recorded.

    Raises:
        SpecificationError: one is not a valid JSON value.
    """
    values: JsonObject = {}
    for name, value in parameters.items():
        try:
            values[name] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise SpecificationError(
                f"parameter {name!r} cannot be recorded: {error}; give numbers, texts, lists and"
                " dictionaries, e.g. float(value) of a NumPy scalar"
            ) from error
    return values
