"""`mlops ci prepare`: what a branch needs of production, taken into use in its workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.cli.terminal.output import Module, console, open_store
from mlops_assets.names import Reference
from mlops_assets.settings import Settings, plan_file, production_settings

if TYPE_CHECKING:
    from mlops_assets.integrations.ci.production import Pinned
    from mlops_assets.models.specification import ModelSpecification
    from mlops_assets.orchestration.project import Project
    from mlops_assets.registry import DataVersion
    from mlops_assets.store import Store


def prepare(module: Module = None) -> None:
    """Take the pinned data, and the models to compare with, from production into use.

    Their files stay there and are only read. It runs in the workspace of a branch, by
    `mlops ci exec`.
    """
    from mlops_assets.errors import SettingsError
    from mlops_assets.integrations.ci.plan import read_plan
    from mlops_assets.integrations.ci.production import pinned, production_registry
    from mlops_assets.integrations.ci.workspaces import PreparedModel, read_marker
    from mlops_assets.orchestration.project import open_project

    settings, production = Settings.from_environment(), production_settings()
    plan = read_plan(plan_file())
    store = open_store()
    marker = read_marker(store.workspace)
    if marker is None:
        raise SettingsError(
            f"{settings.workspace} is not the workspace of a branch; run this by 'mlops ci exec'"
        )
    prepared = []
    with open_project(settings, module) as project, production_registry(production) as registry:
        for planned in plan.models:
            declared = project.model(planned.name)
            if declared.dataset != planned.reference.name:
                raise SettingsError(
                    f"ci.yaml: {planned.name} is trained on {declared.dataset}, not on"
                    f" {planned.data}"
                )
            found = pinned(production, registry, planned)
            data = _data(project, store, found)
            baseline = _baseline(project, store, declared, data, found)
            there = found.baseline.version if found.baseline else None
            prepared.append(
                PreparedModel(
                    model=planned.name,
                    data=f"{data.dataset}@{data.version}",
                    data_there=f"{found.data.dataset}@{found.data.version}",
                    digest=data.digest,
                    baseline=baseline,
                    baseline_there=there,
                )
            )
            console.print(
                f"{planned.name}: {planned.data} of production is {data.dataset}@{data.version}"
                f" here, compared with {there or 'nothing, as production has no version'}"
            )
    marker.model_copy(update={"models": tuple(prepared)}).write(store.workspace)


def _data(project: Project, store: Store, found: Pinned) -> DataVersion:
    """Take the pinned data version into use, and assess it, unless it was before."""
    from mlops_assets.cli.dataset.assess import assess_version
    from mlops_assets.orchestration.jobs import landing

    name = found.data.dataset
    for row in store.registry.data_versions(name):
        if row.digest == found.data.digest:
            return row
    result = project.launch(landing(name, {"use": found.data_record}))
    version = str(result.metadata(name, "landing")["data_version"].value)
    for line in assess_version(project, name, version).lines():
        console.print(line)
    return store.registry.data_version(Reference(name, version))


def _baseline(
    project: Project,
    store: Store,
    declared: ModelSpecification,
    data: DataVersion,
    found: Pinned,
) -> str | None:
    """Take the version of production into use as `production` here, without its gates.

    They are for what comes after it, and it has passed its own where it is.
    """
    from mlops_assets.components.events.reporting import DagsterReporter
    from mlops_assets.integrations.shared_models.use import ModelUse, use_model

    if found.baseline_record is None:
        return None
    request = ModelUse(
        found.baseline_record,
        declared.name,
        Reference(data.dataset, data.version),
        project.settings.user,
    )
    used = use_model(
        store,
        request,
        declared,
        lambda specification: DagsterReporter(store, specification, project.settings.dagster_home),
    )
    if store.registry.aliases(declared.name).get("production") != used.version:
        row = store.registry.model_version(Reference(declared.name, used.version))
        reason = f"it is {used.shared.reference} of production"
        store.registry.promote(row, [], "production", reason)
    return used.version
