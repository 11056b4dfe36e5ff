"""The record of a run as its page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from socket import gethostname

from mlops_assets.errors import IntegrityError, MlopsError
from mlops_assets.hub.views.runs.table import Cell, cell
from mlops_assets.models.run_documents import run_columns
from mlops_assets.paths import object_key, run_document_key, run_log_key, run_points_key
from mlops_assets.registry import Run
from mlops_assets.registry.files.verified_read import unmeasured_classes
from mlops_assets.runs.comparison import flat
from mlops_assets.runs.environment import recorded_environment
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject
from mlops_assets.training.provenance import process_alive

MAX_VALUE = 2_000  # characters of a parameter
MAX_PARAMETERS = 2_000
MAX_NOTES = 500  # newest
MAX_ERROR = 20_000  # characters: the end


@dataclass(frozen=True)
class Note:
    """A note of a user."""

    text: str
    noted: datetime
    noted_by: str


@dataclass(frozen=True)
class KeptCheckpoint:
    """A state that the run can be resumed from; `size` in bytes."""

    step: int
    size: int
    created: datetime


@dataclass(frozen=True)
class RunTag:
    """A tag of a run; `removable` if a user has set it."""

    name: str
    value: str
    removable: bool


@dataclass(frozen=True)
class RunRecord:
    """All that is recorded of a run, but for its points and its output.

    Attributes:
        run_id: of the run.
        model, dataset, data_version, data_digest: what was trained on what.
        status: `running`, `succeeded`, `failed`, `canceled` or `pruned`.
        model_version: that it has made.
        source: `platform`, `external`, `mlflow` or `import`.
        trainer: that it has executed.
        seed: of its random numbers.
        parameters: with dotted names.
        metrics: last values; those that are not finite are text.
        tags: by name.
        notes: oldest first.
        started, finished: when.
        seconds: how long it took.
        attempts: how often it was started.
        created_by: who has started it.
        phases: name → seconds.
        usage: what it took, by name.
        hardware: with dotted names.
        host: name of the machine.
        code_version: commit, or hash of the script.
        changes: key of the object with what was not committed; None if there was nothing.
        environment: package → version; None if it was not recorded.
        environment_problem: why the environment cannot be shown; empty if it can.
        error: that it ended with, its last lines.
        orchestration_run: id of the Dagster run.
        checkpoints: newest first.
        unmeasured: classes that its model version has no metric of.
        has_points: whether it has logged anything.
        has_log: whether its output is kept.
        has_documents: whether its `run.json` is published.
        alive: whether its process is running; None if it has ended, or that is not known here.
    """

    run_id: str
    model: str
    dataset: str
    data_version: str
    data_digest: str
    status: str
    model_version: str | None
    source: str
    trainer: str
    seed: int
    parameters: dict[str, Cell]
    metrics: dict[str, Cell]
    tags: list[RunTag]
    notes: list[Note]
    started: datetime
    finished: datetime | None
    seconds: float | None
    attempts: int
    created_by: str | None
    phases: dict[str, Cell]
    usage: dict[str, Cell]
    hardware: dict[str, Cell]
    host: str
    code_version: str
    changes: str | None
    environment: dict[str, str] | None
    environment_problem: str
    error: str | None
    orchestration_run: str | None
    checkpoints: list[KeptCheckpoint]
    unmeasured: list[str]
    has_points: bool
    has_log: bool
    has_documents: bool
    alive: bool | None


def run_record(store: Store, run_id: str) -> RunRecord:
    """Return what is recorded of a run.

    Args:
        store: has the run.
        run_id: its id, or the beginning of it.

    Raises:
        NotFound: there is no such run that the principal may see.
    """
    registry = store.registry
    run = registry.run(run_id)
    keys = run_document_key(run.run_id), run_log_key(run.run_id), run_points_key(run.run_id)
    published = {file.path for file in registry.files_at(*keys)}
    environment, problem = _environment(store, run)
    checkpoints = registry.checkpoints(run.run_id)
    return RunRecord(
        run_id=run.run_id,
        model=run.model,
        dataset=run.dataset,
        data_version=run.data_version,
        data_digest=run.data_digest,
        status=run.status,
        model_version=run.model_version,
        source=run.source,
        trainer=run.trainer,
        seed=run.seed,
        parameters=_cells(flat(run.parameters)),
        metrics=_cells(run.metrics),
        tags=_tags(run),
        notes=[
            Note(note.text, note.noted, note.noted_by)
            for note in registry.notes(run.run_id)[-MAX_NOTES:]
        ],
        started=run.started,
        finished=run.finished,
        seconds=run.seconds,
        attempts=run.attempts,
        created_by=run.created_by,
        phases=_cells(dict(run.phases)),
        usage=_cells(dict(run.usage)),
        hardware=_cells(flat(run.hardware)),
        host=run.host,
        code_version=run.code_version,
        changes=object_key(run.code["diff"]) if run.code.get("diff") else None,
        environment=environment,
        environment_problem=problem,
        error=None if run.error is None else run.error[-MAX_ERROR:],
        orchestration_run=run.orchestration_run,
        checkpoints=[KeptCheckpoint(row.step, row.size, row.created) for row in checkpoints],
        unmeasured=_unmeasured(store, run),
        has_points=registry.next_seq(run.run_id) > 0,
        has_log=run_log_key(run.run_id) in published,
        has_documents=run_document_key(run.run_id) in published,
        alive=_alive(run),
    )


def run_document(store: Store, run_id: str) -> JsonObject:
    """Return the columns of a run as its `run.json` has them, whether it has ended or not.

    Args:
        store: has the run.
        run_id: its id, or the beginning of it.

    Raises:
        NotFound: there is no such run that the principal may see.
    """
    return run_columns(store.registry.run(run_id))


def _cells(found: JsonObject) -> dict[str, Cell]:
    named = list(found.items())
    return {name: cell(value, MAX_VALUE) for name, value in named[:MAX_PARAMETERS]}


def _tags(run: Run) -> list[RunTag]:
    set_by_users = run.user_tags or {}
    return [
        RunTag(name, str(value), name in set_by_users)
        for name, value in sorted(run.all_tags.items())
    ]


def _environment(store: Store, run: Run) -> tuple[dict[str, str] | None, str]:
    try:
        return recorded_environment(store, run), ""
    # a damaged or missing file must not hide the rest of the record
    except MlopsError as error:
        return None, str(error)


def _unmeasured(store: Store, run: Run) -> list[str]:
    if run.model_version is None:
        return []
    try:
        return list(
            unmeasured_classes(store.workspace, store.registry, run.model, run.model_version)
        )
    except IntegrityError:
        return []  # the page of the model version says so


def _alive(run: Run) -> bool | None:
    known = run.status == "running" and run.source == "platform"
    return process_alive(run.host, run.pid) if known and run.host == gethostname() else None
