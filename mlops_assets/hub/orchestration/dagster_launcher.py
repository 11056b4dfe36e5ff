"""The launcher of a hub with Dagster: runs of the project's jobs, in the queue of its instance.

They get what the commands `mlops train`, `mlops sweep`, `mlops run resume` and `mlops dataset
commit` give theirs, and act for the user who has asked for them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import PARTITION_NAME_TAG
from pydantic import JsonValue, ValidationError

from mlops_assets.components.naming import (
    COMPUTE,
    DATASET,
    INPUT,
    MODEL,
    NOTE,
    RESUME,
    RUN_TAGS,
    add_data_versions,
)
from mlops_assets.components.project.definitions import DeclaredModels
from mlops_assets.components.project.failures import failure_messages
from mlops_assets.components.project.storage_failures import database_required
from mlops_assets.errors import Conflict, NotFound, SpecificationError
from mlops_assets.hub.orchestration.assessment import assess_once_committed
from mlops_assets.hub.orchestration.launcher import (
    Launched,
    LaunchedState,
    Sweep,
    TrainingRequest,
)
from mlops_assets.identity.delegation import delegate
from mlops_assets.models.compute import Compute
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference, check_name
from mlops_assets.orchestration.code_locations import CodeLocations
from mlops_assets.orchestration.results import RUN_FAILURES, run_failure
from mlops_assets.orchestration.stop import cancel_run, stop_run
from mlops_assets.orchestration.submission import Submission, daemon_notice, submit
from mlops_assets.principals import Role
from mlops_assets.registry import Run
from mlops_assets.registry.runs.remarks import check_tag_name
from mlops_assets.store import Store
from mlops_assets.strict import listed_problems
from mlops_assets.training.provenance import process_alive
from mlops_assets.training.sweeps.settings import settings_of
from mlops_assets.training.sweeps.trials import SWEEP, TRIAL
from mlops_assets.training.trainers import load_trainer
from resources.store import ACTS_FOR

_FAILURES = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION}


@dataclass(frozen=True)
class DagsterLauncher:
    """Launches runs by a Dagster instance, for the principal of a store.

    Attributes:
        locations: serve the jobs of the project.
        models: that the project declares.
        key: signs who a run acts for.
    """

    locations: CodeLocations
    models: DeclaredModels
    key: bytes

    @property
    def instance(self) -> dg.DagsterInstance:
        """The Dagster instance."""
        return self.locations.instance

    @database_required()
    def train(self, store: Store, request: TrainingRequest) -> Launched:
        """Launch a training, or a sweep.

        Raises:
            Forbidden: the principal may not train.
            NotFound: the model is not declared, or there is no such data version.
            SpecificationError: a parameter or resource is not valid.
            OrchestratorUnavailable: Dagster is out of reach.
        """
        store.registry.principal.require(Role.SCIENTIST, "start run")
        declared = self._declared(request.model)
        if request.data.name != declared.dataset:
            raise SpecificationError(
                f"{declared.name} is trained on versions of {declared.dataset}, not of"
                f" {request.data.name}"
            )
        data = store.registry.data_version(request.data)
        tags = _tags(declared, request)
        add_data_versions(self.instance, store.registry, declared.dataset)
        if request.sweep is not None:
            op, config = _sweep(declared, data.version, request, request.sweep)
            job = f"{declared.name}_sweep"
        else:
            op, config = f"{declared.name}__trained_model", _training(declared, request)
            job = f"{declared.name}_lifecycle"
        ops = {op: {"config": config}} if config else {}
        return self._submit(store, Submission(job, data.version, ops, tags))

    @database_required()
    def commit(self, store: Store, dataset: str) -> Launched:
        """Launch the commit of what has landed of a dataset, and then its assessment.

        A dataset that is made from others is made from the newest version of its first input.

        Raises:
            Forbidden: the principal may not commit.
            NotFound: the dataset is not declared.
            Conflict: it is being committed.
            OrchestratorUnavailable: Dagster is out of reach.
        """
        store.registry.principal.require(Role.SCIENTIST, "commit data")
        check_name(dataset, "dataset name")
        partition = None
        try:
            job = self.locations.job(f"{dataset}_landing").job.name
        except NotFound:
            job, partition = self._processing(store, dataset)
        under_way = self._under_way(job_name=job)
        if under_way is not None:
            raise Conflict(
                f"{dataset} is being committed by Dagster's run {under_way[:8]}; wait for its end"
            )
        launched = self._submit(store, Submission(job, partition, tags={DATASET: dataset}))
        assess_once_committed(
            self.instance,
            launched.orchestration_run,
            lambda version: self._submit(store, Submission(f"{dataset}_assessment", version)),
        )
        return launched

    @database_required()
    def resume(self, store: Store, run: Run) -> Launched:
        """Launch the continuation of a run that failed or was stopped.

        Raises:
            Forbidden: the principal may not train.
            Conflict: it is running, has succeeded, has kept no checkpoint, or is external.
            NotFound: its model is no longer declared.
            OrchestratorUnavailable: Dagster is out of reach.
        """
        store.registry.principal.require(Role.SCIENTIST, "resume run")
        name = run.run_id[:8]
        if run.source != "platform":
            raise Conflict(f"run {name} is external; start its own script again to resume it")
        if run.status == "running" and process_alive(run.host, run.pid):
            raise Conflict(f"run {name} is still running on {run.host}; stop it before it resumes")
        if run.status == "succeeded" or not store.registry.checkpoints(run.run_id):
            why = "has succeeded" if run.status == "succeeded" else "has kept no checkpoint"
            raise Conflict(f"run {name} {why}; start a new one of {run.model}@{run.data_version}")
        under_way = self._under_way(tags={RESUME: run.run_id})
        if under_way is not None:
            raise Conflict(f"run {name} is being resumed already, by Dagster's run {under_way[:8]}")
        declared = self._declared(run.model)
        add_data_versions(self.instance, store.registry, declared.dataset)
        config = {**run.parameters, "seed": run.seed}
        return self._submit(
            store,
            Submission(
                f"{declared.name}_lifecycle",
                run.data_version,
                {f"{declared.name}__trained_model": {"config": config}},
                {RESUME: run.run_id},
            ),
        )

    @database_required()
    def stop(self, store: Store, run: Run) -> None:
        """Stop a run that is under way, so that it can be resumed; of a sweep, all trials.

        Raises:
            Forbidden: the principal may not.
            Conflict: it is not under way, or only another machine can stop it.
        """
        store.registry.principal.require(Role.SCIENTIST, "stop run")
        stop_run(self.instance, store, run)

    @database_required()
    def cancel(self, store: Store, orchestration_run: str) -> None:
        """Cancel a run of Dagster that was launched, whether it has begun or not.

        Raises:
            Forbidden: the principal may not.
            NotFound: there is no such run.
            Conflict: it has ended, or only another machine can stop it.
        """
        store.registry.principal.require(Role.SCIENTIST, "stop run")
        cancel_run(self.instance, self._visible(store, orchestration_run))

    @database_required()
    def state(self, store: Store, orchestration_run: str) -> LaunchedState:
        """Return what became of a run that was launched.

        Raises:
            Forbidden: the principal may not read.
            NotFound: there is no such run.
        """
        run = self._visible(store, orchestration_run)
        trainings = store.registry.runs(orchestration_run=run.run_id)
        notice = ""
        if run.status in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED):
            notice = daemon_notice(self.instance)
        return LaunchedState(
            status=run.status.value,
            errors=self._errors(run) if run.is_failure else [],
            runs=[training.run_id for training in trainings],
            job=run.job_name,
            model=run.tags.get(MODEL),
            dataset=_dataset_of(run),
            partition=run.tags.get(PARTITION_NAME_TAG),
            notice=notice,
        )

    def _declared(self, model: str) -> ModelSpecification:
        declared = self.models.get(model)
        if declared is None:
            raise NotFound(
                f"the project of this hub does not declare the model {model!r}; it declares"
                f" {', '.join(sorted(self.models.models)) or 'none'}"
            )
        return declared

    def _submit(self, store: Store, submission: Submission) -> Launched:
        statement = delegate(store.registry.principal, submission.run_id, self.key)
        tags = {ACTS_FOR: statement, **submission.tags}
        submit(self.locations, replace(submission, tags=tags))
        return Launched(submission.run_id, daemon_notice(self.instance))

    def _processing(self, store: Store, dataset: str) -> tuple[str, str]:
        """Return the job that makes a dataset from others, and the input's newest version."""
        try:
            served = self.locations.job(f"{dataset}_processing")
        except NotFound as error:
            raise NotFound(
                f"the project of this hub does not declare the dataset {dataset!r}"
            ) from error
        named = served.job.tags.get(INPUT)
        first = store.registry.data_version(Reference(str(named)))
        add_data_versions(self.instance, store.registry, first.dataset)
        return served.job.name, first.version

    def _under_way(
        self, job_name: str | None = None, tags: Mapping[str, str] | None = None
    ) -> str | None:
        """Return the id of a run that waits or is in progress; None if there is none."""
        wanted = dg.RunsFilter(job_name=job_name, tags=tags, statuses=NOT_FINISHED_STATUSES)
        return next((run.run_id for run in self.instance.get_runs(wanted, limit=1)), None)

    def _visible(self, store: Store, orchestration_run: str) -> dg.DagsterRun:
        """Return a run of Dagster, unless it is about data that the principal may not see."""
        store.registry.principal.require(Role.VIEWER, "read runs")
        missing = f"Dagster has no run {orchestration_run!r}"
        run = self.instance.get_run_by_id(orchestration_run)
        if run is None:
            raise NotFound(missing)
        dataset = _dataset_of(run)
        version = run.tags.get(PARTITION_NAME_TAG)
        if dataset is not None and "," not in dataset and version is not None:
            try:
                store.registry.data_version(Reference(dataset, version))
            except NotFound as error:
                raise NotFound(missing) from error
        return run

    def _errors(self, run: dg.DagsterRun) -> list[str]:
        """Return the reasons of a failure, one line each."""
        entries = self.instance.all_logs(run.run_id, of_type=_FAILURES)
        events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]
        found = [line for text in failure_messages(events) for line in text.splitlines()[:1]]
        if not found:
            entries = self.instance.all_logs(run.run_id, of_type=RUN_FAILURES)
            events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]
            found = list(filter(None, [run_failure(events)]))
        return list(dict.fromkeys(found))


def _dataset_of(run: dg.DagsterRun) -> str | None:
    """Return the dataset of a run's partition, else the one that it makes; None if neither."""
    return run.tags.get(INPUT, run.tags.get(DATASET))


def _training(declared: ModelSpecification, request: TrainingRequest) -> dict[str, JsonValue]:
    """Return the run config of a training, checked by its trainer."""
    load_trainer(declared.trainer).parameters({**declared.params, **request.parameters})
    seed = {} if request.seed is None else {"seed": request.seed}
    return {**request.parameters, **seed}


def _sweep(
    declared: ModelSpecification, data_version: str, request: TrainingRequest, sweep: Sweep
) -> tuple[str, dict[str, JsonValue]]:
    """Return the op of a sweep and its run config, checked.

    Its trials have the declared seed.
    """
    from mlops_assets.training.sweeps.plan import plan_sweep

    place = "the sweep"
    settings = settings_of(_sweep_values(sweep, request.parameters), place)
    plan = plan_sweep(declared, data_version, settings, None, place)
    config = settings.model_dump(mode="json", exclude_unset=True) | {"name": plan.name}
    return f"{declared.name}__sweep", config


def _sweep_values(sweep: Sweep, fixed: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a sweep as in a file of `mlops sweep`."""
    # a value that looks like a range is not one
    same: dict[str, JsonValue] = {
        name: {"choices": [value]} if isinstance(value, dict) else value
        for name, value in fixed.items()
    }
    values: dict[str, JsonValue] = {
        "parameters": {**same, **sweep.space},
        "trials": sweep.trials,
        "parallel": sweep.parallel,
        "seed": sweep.seed,
        "method": sweep.method,
        "metric": sweep.metric,
        "direction": sweep.direction,
        "prune": sweep.prune,
        "timeout": sweep.timeout,
    }
    return {name: value for name, value in values.items() if value is not None}


def _tags(declared: ModelSpecification, request: TrainingRequest) -> dict[str, str]:
    """Return the tags of a Dagster run with what its training reads from them."""
    tags = {}
    if request.compute:
        try:
            Compute.model_validate({**declared.compute.model_dump(), **request.compute})
        except ValidationError as error:
            reasons = listed_problems(error, "all of it", error.error_count())
            raise SpecificationError(f"the compute of {declared.name}: {reasons}") from error
        tags[COMPUTE] = json.dumps(dict(request.compute), sort_keys=True)
    for name in request.tags:
        check_tag_name(name)
        if name in (SWEEP, TRIAL):
            raise SpecificationError(f"the tag {name!r} is set by sweeps; take another name")
    if request.note:
        tags[NOTE] = request.note
    if request.tags:
        tags[RUN_TAGS] = json.dumps(dict(request.tags), sort_keys=True, ensure_ascii=False)
    return tags
