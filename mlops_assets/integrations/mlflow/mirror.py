"""Runs mirrored to an MLflow server: created once, brought up to date later, never doubled.

Names and values are mapped in `mapping`; models and aliases are mirrored by `register`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun

from mlops_assets.errors import SignatureRefused, StorageError
from mlops_assets.integrations.mlflow import mapping
from mlops_assets.integrations.mlflow.client import all_runs, explained, open_client
from mlops_assets.integrations.mlflow.register import mirror_aliases, register_version
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.registry.store import now
from mlops_assets.store import Store
from mlops_assets.text.secret_urls import redacted

# of one batch, at most
_METRICS = 1000
_OTHERS = 100


@dataclass(frozen=True)
class Mirrored:
    """The outcome of mirroring one run to the server.

    Attributes:
        run_id: of the registry.
        model: of the run.
        outcome: `skipped` and `deleted` have the reason in `detail`.
        url: of the run in MLflow's own pages.
        detail: the reason, for people.
    """

    run_id: str
    model: str
    outcome: Literal["created", "updated", "unchanged", "skipped", "deleted"]
    url: str = ""
    detail: str = ""


def mirror_run(store: Store, tracking_uri: str, run_id: str) -> Mirrored:
    """Mirror one run that has ended.

    It sends parameters, tags, metrics with their series, and the model once it is recorded.

    Args:
        store: has the run.
        tracking_uri: of the server.
        run_id: the run. One that is mirrored already is brought up to date; if nothing has changed,
            nothing is sent.

    Raises:
        NotFound: there is no such run.
        StorageError: the server cannot be reached, or refuses.
    """
    run = store.registry.run(run_id)
    client = open_client(tracking_uri)
    if (why := _not_mirrored(run)) is not None:
        return Mirrored(run.run_id, run.model, "skipped", detail=why)
    with explained(tracking_uri), store.registry.lock(f"mlflow-{run.model}"):
        experiment = _experiment(client, run.model)
        found = list(all_runs(client, experiment, f"tags.`{mapping.RUN_ID}` = '{run.run_id}'"))
        return _Mirror(store, client, tracking_uri, experiment).run(run, found)


def sync(
    store: Store, tracking_uri: str, model: str | None = None
) -> tuple[list[Mirrored], list[str]]:
    """Mirror every run that the server lacks or has in an older state, then the aliases.

    Args:
        store: has the runs.
        tracking_uri: of the server.
        model: only the runs of this model; all if None.

    Returns:
        The outcome of each run, and a line for each alias that could not be set.

    Raises:
        StorageError: the server cannot be reached, or refuses; what was mirrored before stays.
    """
    by_model: dict[str, list[Run]] = defaultdict(list)
    for run in store.registry.runs(model):
        by_model[run.model].append(run)
    client = open_client(tracking_uri)
    outcomes: list[Mirrored] = []
    problems: list[str] = []
    for name, runs in by_model.items():
        with explained(tracking_uri), store.registry.lock(f"mlflow-{name}"):
            experiment = _experiment(client, name)
            there: dict[str, list[MlflowRun]] = defaultdict(list)
            for found in all_runs(client, experiment):
                there[found.data.tags.get(mapping.RUN_ID, "")].append(found)
            mirror = _Mirror(store, client, tracking_uri, experiment)
            for run in runs:
                why = _not_mirrored(run)
                skipped = Mirrored(run.run_id, name, "skipped", detail=why or "")
                outcomes.append(skipped if why else mirror.run(run, there[run.run_id]))
            problems += mirror_aliases(store, client, name)
    return outcomes, problems


def sync_aliases(store: Store, tracking_uri: str, model: str) -> list[str]:
    """Set the aliases of a model on the server as they are here.

    Return a line for each that could not be.

    Raises:
        StorageError: the server cannot be reached, or refuses.
    """
    client = open_client(tracking_uri)
    with explained(tracking_uri), store.registry.lock(f"mlflow-{model}"):
        return mirror_aliases(store, client, model)


def _not_mirrored(run: Run) -> str | None:
    """Return why a run is not mirrored, if so."""
    if run.source == "mlflow":
        return "it was imported from MLflow"
    if run.status == "running":
        return "it is still running; it is mirrored once it has ended"
    return None


def _experiment(client: MlflowClient, model: str) -> str:
    """Return the id of a model's experiment, making it if it is missing."""
    found = client.get_experiment_by_name(model)
    if found is None:
        return str(client.create_experiment(model))
    if found.lifecycle_stage != "active":
        raise StorageError(
            f"experiment {model!r} is deleted in MLflow; restore it, or remove it for good"
        )
    return str(found.experiment_id)


class _Mirror:
    """The mirror of one model's runs in its experiment."""

    def __init__(
        self, store: Store, client: MlflowClient, tracking_uri: str, experiment: str
    ) -> None:
        self._store = store
        self._client = client
        self._experiment = experiment
        self._pages = f"{redacted(tracking_uri)}/#/experiments/{experiment}/runs"

    def run(self, run: Run, found: Sequence[MlflowRun]) -> Mirrored:
        """Mirror a run, given all that the server has under its id."""
        row = next(iter(self._store.registry.model_versions(run.model, run_id=run.run_id)), None)
        state = mapping.state(run, row)
        mine = [
            other for other in found if other.data.tags.get(mapping.ATTEMPT) == mapping.attempt(run)
        ]
        for other in found:
            if other not in mine and other.info.lifecycle_stage == "active":
                # of an attempt that is no more; it can be restored there
                self._client.delete_run(other.info.run_id)
        there = mine[0] if mine else None
        if there is not None and there.info.lifecycle_stage != "active":
            return Mirrored(
                run.run_id, run.model, "deleted", detail="it was deleted in MLflow, and stays so"
            )
        if there is not None and there.data.tags.get(mapping.MIRRORED) == state:
            return self._outcome(run, there, "unchanged")
        mirrored = there or self._create(run)
        self._describe(run, row, mirrored)
        outcome: Literal["created", "updated"] = "updated" if there else "created"
        if row is not None and row.stage == "recorded":
            try:
                register_version(
                    self._store, self._client, row, self._experiment, mirrored.info.run_id
                )
            except SignatureRefused as error:
                # without the tag, so that the next time it is tried again
                detail = f"without its model: {error}"
                return self._outcome(run, mirrored, outcome, detail)
        # last: all of the rest is there
        self._client.set_tag(mirrored.info.run_id, mapping.MIRRORED, state)
        return self._outcome(run, mirrored, outcome)

    def _outcome(
        self,
        run: Run,
        there: MlflowRun,
        outcome: Literal["created", "updated", "unchanged"],
        detail: str = "",
    ) -> Mirrored:
        url = f"{self._pages}/{there.info.run_id}"
        return Mirrored(run.run_id, run.model, outcome, url, detail)

    def _create(self, run: Run) -> MlflowRun:
        made = self._client.create_run(
            self._experiment,
            mapping.milliseconds(run.started),
            mapping.run_tags(run),
            run.model_version or run.run_id,
        )
        if run.dataset:
            source = json.dumps(
                {"dataset": run.dataset, "version": run.data_version, "digest": run.data_digest}
            )
            dataset = Dataset(
                f"{run.dataset}@{run.data_version}", run.data_digest[:36], "mlops", source
            )
            context = [InputTag("mlflow.data.context", "training")]
            self._client.log_inputs(made.info.run_id, [DatasetInput(dataset, context)])
        return made

    def _describe(self, run: Run, row: ModelVersion | None, there: MlflowRun) -> None:
        """Send the parameters, tags and metrics that the server lacks, and how the run ended."""
        client = self._client
        mlflow_run = there.info.run_id
        names = mapping.allowed_names(run.parameters)
        texts = {
            names[name]: mapping.parameter_text(value) for name, value in run.parameters.items()
        }
        parameters = [
            Param(name, text) for name, text in texts.items() if name not in there.data.params
        ]
        tags = [
            RunTag(*tag)
            for tag in mapping.run_tags(run).items()
            if there.data.tags.get(tag[0]) != tag[1]
        ]
        for start in range(0, len(parameters), _OTHERS):
            client.log_batch(mlflow_run, params=parameters[start : start + _OTHERS])
        for start in range(0, len(tags), _OTHERS):
            client.log_batch(mlflow_run, tags=tags[start : start + _OTHERS])
        points = self._store.registry.points(run.run_id)
        names = mapping.allowed_names({name for _, name, *_ in points})
        if there.data.tags.get(mapping.POINTS) != str(len(points)):
            for start in range(0, len(points), _METRICS):
                batch = points[start : start + _METRICS]
                series = [
                    Metric(names[name], value, round(at * 1000), step)
                    for _, name, step, value, at in batch
                ]
                client.log_batch(mlflow_run, metrics=series)
            client.set_tag(mlflow_run, mapping.POINTS, str(len(points)))
        final = mapping.final_metrics(run, row, names)
        at = mapping.milliseconds(now())
        allowed = mapping.allowed_names(final)
        once = [
            Metric(allowed[name], value, at, 0)
            for name, value in final.items()
            if there.data.metrics.get(allowed[name]) != value
        ]
        for start in range(0, len(once), _METRICS):
            client.log_batch(mlflow_run, metrics=once[start : start + _METRICS])
        if run.model_version is not None and there.info.run_name != run.model_version:
            client.update_run(mlflow_run, name=run.model_version)
        ended = mapping.milliseconds(run.finished) if run.finished else None
        client.set_terminated(mlflow_run, mapping.STATES[run.status], ended)
