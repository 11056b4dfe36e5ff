"""Import of an experiment of an MLflow server: its runs with all their points, and ONNX models.

Aliases are listed, and never taken over: a model in production has passed the gates here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun

from mlops_assets.errors import ExportError, MlopsError
from mlops_assets.integrations.external.recording import OnnxMade, parity_samples, publish
from mlops_assets.integrations.mlflow import mapping, read_run
from mlops_assets.integrations.mlflow.client import all_runs, experiment_id, explained, open_client
from mlops_assets.integrations.mlflow.models import adapted, fetched, model_places
from mlops_assets.models.lifecycle import Reporter, complete
from mlops_assets.models.run_documents import run_documents
from mlops_assets.models.signature import data_for
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.registry import DataVersion, Run
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.runs import NO_FACTS, LoggedPoint
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store
from mlops_assets.text.secret_urls import redacted

_DESCRIPTION = (
    "Imported from MLflow ({}). Its ONNX file gives what the ONNX file in MLflow gives; whether"
    " that equals the model it was exported from was not checked, as that model is not known here."
)


@dataclass(frozen=True)
class ImportedRun:
    """The outcome of importing one run.

    Attributes:
        run_id: identifier here.
        mlflow_run: identifier in MLflow.
        outcome: `imported`, `updated`, `unchanged`, or `skipped`.
        points: number of points imported.
        left_out: number of points that are not finite, and were omitted.
        model_version: made of its ONNX model.
        detail: the reason that there is none, or that the run was skipped.
    """

    run_id: str
    mlflow_run: str
    outcome: str
    points: int = 0
    left_out: int = 0
    model_version: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class ImportedAlias:
    """An alias in MLflow's registry of a model that was imported; it was not taken over."""

    registered_model: str
    alias: str
    number: str
    model_version: str | None


@dataclass(frozen=True)
class ImportedExperiment:
    """The outcome of importing an experiment."""

    experiment: str
    model: str
    data: str
    deleted: int
    runs: list[ImportedRun] = field(default_factory=list)
    aliases: list[ImportedAlias] = field(default_factory=list)


def import_experiment(
    store: Store,
    tracking_uri: str,
    experiment: str,
    dataset: Reference,
    specification: ModelSpecification,
    reporter: Reporter,
) -> ImportedExperiment:
    """Import every run of an experiment.

    A run that was imported before is only brought up to date.

    Args:
        store: receives the runs and models.
        tracking_uri: of the server.
        experiment: its name.
        dataset: the data version that its runs were trained on.
        specification: the model here, as declared.
        reporter: receives the reports of the stages of each model.

    Raises:
        NotFound: there is no such experiment or data version.
        StorageError: the server cannot be reached, or refuses.
    """
    data = store.registry.data_version(dataset)
    model = specification.name
    client = open_client(tracking_uri)
    with explained(tracking_uri), store.registry.lock(f"mlflow-{model}"):
        number = experiment_id(client, experiment)
        pages = f"{redacted(tracking_uri)}/#/experiments/{number}/runs"
        found = list(all_runs(client, number))
        active = [there for there in found if there.info.lifecycle_stage == "active"]
        source = _Source(client, tracking_uri, pages)
        importer = _Importer(store, source, specification, data, reporter)
        runs = [importer.run(there) for there in active]
        aliases = _aliases(client, runs)
    return ImportedExperiment(
        experiment, model, f"{data.dataset}@{data.version}", len(found) - len(active), runs, aliases
    )


@dataclass(frozen=True)
class _Source:
    """The experiment that is imported.

    Attributes:
        client: of its server.
        tracking_uri: of its server.
        pages: URL of its runs in MLflow's pages.
    """

    client: MlflowClient
    tracking_uri: str
    pages: str


@dataclass(frozen=True)
class _Importer:
    """Imports the runs of one experiment, for the arguments of `import_experiment`."""

    store: Store
    source: _Source
    specification: ModelSpecification
    data: DataVersion
    reporter: Reporter

    def run(self, there: MlflowRun) -> ImportedRun:
        """Import one run, and its model."""
        registry = self.store.registry
        mlflow_run = there.info.run_id
        own = there.data.tags.get(mapping.RUN_ID)
        if own is not None and registry.runs(run_id=own):
            return ImportedRun(
                own, mlflow_run, "skipped", detail=f"it is the mirror of run {own[:8]}"
            )
        run = read_run.run_of(
            there, self.specification.name, self.data, f"{self.source.pages}/{mlflow_run}"
        )
        wanted = self.specification.model_dump_json(include={"task", "inputs", "bands"})
        state = read_run.state_of(there, self.data, wanted)
        before = next(iter(registry.runs(run_id=run.run_id)), None)
        if (
            before is not None
            and before.tags.get(read_run.STATE) == state
            and before.model == run.model
        ):
            return ImportedRun(
                run.run_id, mlflow_run, "unchanged", model_version=before.model_version
            )
        if before is not None and before.model_version is not None and not self._same(before, run):
            reason = (
                f"its model is {before.model}@{before.model_version} already, which stays as it is"
            )
            return ImportedRun(
                run.run_id, mlflow_run, "skipped", model_version=before.model_version, detail=reason
            )
        points, left_out = read_run.points_of(self.source.client, there)
        registry.put_run(run, points)
        version, detail = self._model(run, there)
        self._close(run, points, state)
        outcome = "imported" if before is None else "updated"
        return ImportedRun(run.run_id, mlflow_run, outcome, len(points), left_out, version, detail)

    def _close(self, run: Run, points: Sequence[LoggedPoint], state: str) -> None:
        """Record the imported state of a run, and publish its documents if it has ended."""
        registry = self.store.registry
        last = registry.run(run.run_id)
        last.finished = run.finished
        last.tags = {**run.tags, read_run.STATE: state}
        made = next(iter(registry.model_versions(run.model, run_id=run.run_id)), None)
        with publication(self.store.workspace, registry) as publishing:
            if last.status != "running":
                publishing.put_all(run_documents(last, points, made))
            registry.put_run(last, None, publishing.files)

    def _same(self, before: Run, run: Run) -> bool:
        return (before.model, before.data_digest) == (run.model, run.data_digest)

    def _model(self, run: Run, there: MlflowRun) -> tuple[str | None, str]:
        """Publish the ONNX model of a run.

        Returns:
            Its version, if there is one, and what failed, if anything did.
        """
        with scratch_folder("import") as scratch:
            for number, place in enumerate(model_places(self.source.client, there)):
                folder = scratch / str(number)
                folder.mkdir()
                try:
                    path = fetched(place, self.source.tracking_uri, folder)
                    if path is not None:
                        return self._published(run, place, path, folder)
                except MlopsError as error:
                    return None, f"its model {place} was not imported: {error}"
        return None, ""

    def _published(self, run: Run, place: str, path: Path, folder: Path) -> tuple[str | None, str]:
        store = self.store
        if run.status != "succeeded":
            raise ExportError("the run has not succeeded")
        origin = _DESCRIPTION.format(f"{place} of run {run.tags['mlflow.run_id']}")
        described = f"{self.specification.description}\n\n{origin}".strip()
        specification = self.specification.model_copy(update={"description": described})
        version = next(iter(store.registry.model_versions(run.model, run_id=run.run_id)), None)
        if version is None:
            data = data_for(store, specification, run.data_version, raw=True)
            X = parity_samples(store, specification, run.data_version)
            target = folder / "adapted.onnx"
            outputs = adapted(path, data.sample_shape, data.task, len(data.class_names), X, target)
            made = OnnxMade(target, outputs)
            version = publish(store, specification, run, made, {}, NO_FACTS)
        outcome = complete(store, specification, version, self.reporter)
        failed = [
            f"{stage.name} failed: {stage.message}" for stage in outcome.stages if not stage.passed
        ]
        return version.version, "; ".join([*failed, *outcome.notes])


def _aliases(client: MlflowClient, runs: Sequence[ImportedRun]) -> list[ImportedAlias]:
    """Return the aliases in MLflow's registry that are on models of these runs."""
    versions = {run.mlflow_run: run.model_version for run in runs if run.model_version is not None}
    names: Counter[str] = Counter()
    numbers: dict[tuple[str, str], str] = {}
    for mlflow_run in versions:
        for found in client.search_model_versions(f"run_id = '{mlflow_run}'"):
            names[found.name] += 1
            numbers[found.name, str(found.version)] = mlflow_run
    aliases = []
    for name in sorted(names):
        for alias, number in sorted(client.get_registered_model(name).aliases.items()):
            mlflow_run = numbers.get((name, str(number)), "")
            aliases.append(ImportedAlias(name, alias, str(number), versions.get(mlflow_run)))
    return aliases
