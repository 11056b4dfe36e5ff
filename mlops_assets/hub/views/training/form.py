"""The form that starts a training of a model: its data, parameters and compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from pydantic import JsonValue

from mlops_assets.datasets.quality.published import checks_of, published_report
from mlops_assets.errors import Forbidden, NotFound
from mlops_assets.hub.views.training.fields import FormField, fields_of
from mlops_assets.models.compute import Compute
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.principals import Role
from mlops_assets.registry import DataVersion
from mlops_assets.registry.search.run_search import search_runs
from mlops_assets.store import Store
from mlops_assets.training.experiment import declared_values, recorded_values
from mlops_assets.training.sweeps.settings import SweepSettings
from mlops_assets.training.trainers import load_trainer

# runs that a duration is derived from
MAX_EARLIER = 20


@dataclass(frozen=True)
class DataChoice:
    """A data version to train on.

    Attributes:
        version: of the dataset.
        tags: of the version.
        created: when it was committed.
        samples: number of samples.
        size: bytes.
        visibility: who may see it.
    """

    version: str
    tags: list[str]
    created: datetime
    samples: int
    size: int
    visibility: str


@dataclass(frozen=True)
class Quality:
    """The state of the quality report of a data version.

    Attributes:
        state: `passed`, `warning`, `failed`, or `not assessed`.
        findings: of each check that has not passed.
    """

    state: str
    findings: list[str]


@dataclass(frozen=True)
class EarlierRuns:
    """How long earlier runs of a model took, in seconds.

    Attributes:
        count: number of the newest runs that succeeded, 20 at most.
        median: of them.
        shortest: of them.
        longest: of them.
    """

    count: int
    median: float
    shortest: float
    longest: float


@dataclass(frozen=True)
class TrainingForm:
    """What a training of a model can be started with.

    Attributes:
        model: name of the model.
        title: one line for people.
        description: of the model.
        dataset: it is trained on.
        task: of the model.
        trainer: function that trains it.
        job: of Dagster, for one run.
        sweep_job: of Dagster, for a sweep.
        parameters: of the trainer.
        further: whether it takes parameters beyond those.
        seed: that the model declares.
        compute: what the training step may use.
        search: settings of a sweep, besides its space.
        data: versions of the dataset, newest first.
        selected: the version that is trained on unless another one is chosen; None if there is
            none.
        quality: of that version; None if there is none.
        source: run that the values are of; None if they are the defaults.
        values: parameter → value of that run, where it differs from the default.
        source_seed: seed of that run, or the declared one.
        earlier: how long earlier runs took; None if none succeeded.
        refused: why the user may not start a training; empty if they may.
    """

    model: str
    title: str
    description: str
    dataset: str
    task: str
    trainer: str
    job: str
    sweep_job: str
    parameters: list[FormField]
    further: bool
    seed: int
    compute: list[FormField]
    search: list[FormField]
    data: list[DataChoice]
    selected: str | None
    quality: Quality | None
    source: str | None
    values: dict[str, JsonValue]
    source_seed: int
    earlier: EarlierRuns | None
    refused: str


def training_form(
    store: Store, declared: ModelSpecification, data: str | None = None, source: str | None = None
) -> TrainingForm:
    """Return the form of a model.

    Args:
        store: has data and runs, and the user.
        declared: the model.
        data: version or tag to train on, also with its dataset as `NAME@VERSION`; that of the run,
            or the newest, if None.
        source: run whose values the form begins with, by the start of its id.

    Raises:
        NotFound: there is no such data version or run, or it is not of this model.
        TrainerError: the trainer cannot be loaded, or refuses the declared parameters.
    """
    trainer = load_trainer(declared.trainer)
    parameters = fields_of(trainer.params_type, declared_values(declared), declared.params)
    compute = fields_of(Compute, recorded_values(declared.compute.model_dump(mode="json")), {})
    settings = {name: info.default for name, info in SweepSettings.model_fields.items()}
    search = fields_of(SweepSettings, settings, {})
    run = None if source is None else store.registry.run(source)
    if run is not None and run.model != declared.name:
        raise NotFound(f"run {run.run_id[:8]} is of {run.model}, not of {declared.name}")
    wanted = _within(declared.dataset, data) or (run.data_version if run else None)
    rows = store.registry.data_versions(declared.dataset)[::-1]
    row = store.registry.data_version(Reference(declared.dataset, wanted)) if rows else None
    defaults = {field.name: field.default for field in parameters}
    used = {} if run is None else recorded_values(run.parameters)
    tags = store.registry.tags(declared.dataset)
    return TrainingForm(
        model=declared.name,
        title=declared.title or declared.name,
        description=declared.description,
        dataset=declared.dataset,
        task=declared.task,
        trainer=declared.trainer,
        job=f"{declared.name}_lifecycle",
        sweep_job=f"{declared.name}_sweep",
        parameters=parameters,
        further=trainer.params_type.model_config.get("extra") == "allow",
        seed=declared.seed,
        compute=compute,
        search=[field for field in search if field.name != "parameters"],
        data=[_choice(each, tags) for each in rows],
        selected=row.version if row else None,
        quality=_quality(store, row) if row else None,
        source=run.run_id if run else None,
        values={
            name: value
            for name, value in used.items()
            if name not in defaults or defaults[name] != value
        },
        source_seed=run.seed if run else declared.seed,
        earlier=_earlier(store, declared.name),
        refused=_refused(store),
    )


def quality_of(store: Store, dataset: str, version: str) -> Quality:
    """Return the state of the quality report of a data version.

    Raises:
        NotFound: there is no such version.
    """
    return _quality(store, store.registry.data_version(Reference(dataset, version)))


def _within(dataset: str, data: str | None) -> str | None:
    if not data:
        return None
    name, at, what = data.partition("@")
    if at and name != dataset:
        raise NotFound(f"{data} is not a version of {dataset}, on which this model is trained")
    return what if at else name


def _quality(store: Store, row: DataVersion) -> Quality:
    report = published_report(store.workspace, store.registry, row)
    if report is None:
        return Quality("not assessed", [])
    failed = [check for check in checks_of(report, None, None) if not check.passed]
    findings = [f"{check.name}: {check.description}" for check in failed]
    if not failed:
        return Quality("passed", [])
    return Quality("failed" if any(check.blocking for check in failed) else "warning", findings)


def _choice(row: DataVersion, tags: Mapping[str, str]) -> DataChoice:
    named = sorted(tag for tag, version in tags.items() if version == row.version)
    return DataChoice(row.version, named, row.created, row.samples, row.size, row.visibility)


def _earlier(store: Store, model: str) -> EarlierRuns | None:
    runs = search_runs(store.registry, model, "status = 'succeeded'", limit=MAX_EARLIER)
    seconds = sorted(run.seconds for run in runs if run.seconds is not None)
    if not seconds:
        return None
    return EarlierRuns(len(seconds), median(seconds), seconds[0], seconds[-1])


def _refused(store: Store) -> str:
    try:
        store.registry.principal.require(Role.SCIENTIST, "start a training")
    except Forbidden as error:
        return str(error)
    return ""
