"""`external_run`: record a run of this process, and its model, as if the platform had trained it.

For notebooks and jobs of a cluster. It reaches workspace and registry itself, or a server by HTTP.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from mlops_assets.errors import SettingsError, SpecificationError
from mlops_assets.integrations.external.external_run import ExternalRun
from mlops_assets.integrations.external.origin import calling_file, origin_of
from mlops_assets.names import Reference
from mlops_assets.settings import Settings


def external_run(
    model: str,
    data: str,
    parameters: Mapping[str, Any] | None = None,
    seed: int = 0,
    *,
    run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    gpus: int = 0,
    module: str | None = None,
    url: str | None = None,
    token: str | Callable[[], str] | None = None,
    **declared: Any,
) -> AbstractContextManager[ExternalRun]:
    """Record a run of this process.

        with external_run("crop_cnn", "fields@v2", {"epochs": 30}, seed=0, task="classification") as
        run:
            X, y = run.data.arrays("train")
            run.log({"loss": loss}, step)
            run.model(model)

    When the block is left, the model is published, exported to ONNX, proved equal, measured on the
    test split, recorded and compared with its gates, and Dagster is told; `run.outcome` says what
    came of it.

    Args:
        model: its name. As the project declares it, if it does.
        data: `dataset@version`, `dataset@tag`, or the newest version of `dataset`.
        parameters: what it is trained with, as JSON values.
        seed: what random numbers were seeded with; nothing is seeded here.
        run_id: a UUID; with that of a run that was interrupted, it continues.
        tags: what the run is labelled with.
        gpus: GPUs it uses, of which utilisation and energy are recorded.
        module: definitions of the project, e.g. `my_project.definitions`; those of the current
            folder if not given.
        url: address of a server that `mlops hub` runs; none if workspace and registry are reached
            from here.
        token: a bearer token that the server accepts, or a function that gives one for each
            request, for tokens that expire before the run ends; `MLOPS_API_TOKEN` if not given.
        declared: attributes as in YAML, of a model that the project does not declare: at least
            `task`; `inputs`, `bands`, `scaling`, `gates`, `parity`, `title`, `description`.

    Raises:
        NotFound: there is no such data version.
        SpecificationError: the model does not suit the data or is declared otherwise, or a
            parameter is not a valid JSON value.
        ParityError: on leaving; the model is published, but not proved, and goes no further.
    """
    frame, reference, settings = (
        inspect.currentframe(),
        Reference.parse(data),
        Settings.from_environment(),
    )
    origin = origin_of(calling_file(frame.f_back if frame else None), settings.user)
    values = _json_values(parameters or {})
    if url is not None:
        from mlops_assets.integrations.external.http_backend import run_there

        token = token or settings.api_token
        if not token:
            raise SettingsError(f"{url} asks for a token: give token=…, or set MLOPS_API_TOKEN")
        return run_there(
            url, token, model, data, values, seed, origin, run_id, tags or {}, gpus, declared
        )
    from mlops_assets.components.project.launch import models_of_project
    from mlops_assets.components.reporting import DagsterReporter
    from mlops_assets.integrations.external.recording import specification_for
    from mlops_assets.integrations.external.registry_backend import run_here
    from mlops_assets.store import open_store

    store = open_store(settings)
    specification = specification_for(
        models_of_project(module).get(model), model, reference.name, declared
    )
    reporter = DagsterReporter(store, settings.dagster_home)
    return run_here(
        store, specification, reference.what, values, seed, origin, reporter, run_id, tags, gpus
    )


def _json_values(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as they are recorded.

    Raises:
        SpecificationError: one is not a valid JSON value.
    """
    for name, value in parameters.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise SpecificationError(
                f"parameter {name!r} cannot be recorded: {error}; give numbers, texts, lists and"
                " dictionaries, e.g. float(value) of a NumPy scalar"
            ) from error
    return dict(parameters)
