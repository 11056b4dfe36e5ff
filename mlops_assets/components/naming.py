"""Names that the components of a dataset and of its models must agree on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.datasets.quality import Check

if TYPE_CHECKING:
    from mlops_assets.registry import Registry

# metadata of `<model>/trained_model` and `<dataset>/landing`: its declaration
DECLARATION = "declaration"
# metadata beside it: the declared values of classes, as the keys of a JSON object are all texts
CLASS_VALUES = "mlops/class_values"
# metadata of a project: why datasets and models, by name, are not in it
LEFT_OUT = "mlops/left_out"
# last part of the keys of assets, and name of their sensor: what other catalogues have of records
REGISTRATION = "registration"
# last part of the key of the asset that maps of scenes in no area are materialisations of
MAPS = "maps"
# tag of a Dagster run: the request of the sensor that asked for it
RUN_KEY = "dagster/run_key"
# tag of a Dagster run: the training run that it continues
RESUME = "mlops/resume"
# tags of a Dagster run: what it works on, and who its steps act for
MODEL = "mlops/model"
DATASET = "mlops/dataset"
DATA_VERSION = "mlops/data_version"
USER = "mlops/user"
# tag of a Dagster run that makes a data version from others: the dataset of its partition
INPUT = "mlops/input"
# tags of a Dagster run that makes a map: the area, and the model version that it was launched for
AREA = "mlops/area"
MODEL_VERSION = "mlops/model_version"
# tag of a Dagster run: `true` if it trains with other parameters than the declared ones
EXPERIMENT = "mlops/experiment"

# tags of a Dagster run, as JSON: compute that differs from the declared one, tags of its trainings
COMPUTE = "mlops/compute"
RUN_TAGS = "mlops/run_tags"
# tag of a Dagster run: the first note on its training
NOTE = "mlops/note"
# tag of a Dagster run: a command waits for it, at whose terminal somebody sees an error at once
COMMAND = "mlops/command"

# a version is trained and recorded by itself: one that fails leaves the others of a backfill alone
ONE_RUN_A_VERSION = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)


def data_versions(dataset: str) -> dg.DynamicPartitionsDefinition:
    """Return the partitions of a dataset's versions.

    Dynamic partition names are instance-wide: hence the prefix.
    """
    return dg.DynamicPartitionsDefinition(name=f"{dataset}_versions")


def add_data_versions(instance: dg.DagsterInstance, registry: Registry, dataset: str) -> list[str]:
    """Make every data version of the registry known to a Dagster instance.

    Return those that were new to it.
    """
    name = data_versions(dataset).name
    known = set(instance.get_dynamic_partitions(name or ""))
    missing = [row.version for row in registry.data_versions(dataset) if row.version not in known]
    if missing:
        instance.add_dynamic_partitions(name or "", missing)
    return missing


def check_results(checks: Iterable[Check]) -> list[dg.AssetCheckResult]:
    """Translate the core's checks; what does not block is a warning."""
    return [
        dg.AssetCheckResult(
            check_name=check.name,
            passed=check.passed,
            severity=dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN,
            description=check.description,
            metadata=dict(check.values),
        )
        for check in checks
    ]


def requested_by(context: dg.AssetExecutionContext) -> str:
    """Return the request that a Dagster run serves.

    It is the request of a sensor, the same whichever daemon evaluates it, so that a second run for
    it trains nothing again. A re-execution is a request of its own.
    """
    run = context.run
    return run.run_id if run.root_run_id else run.tags.get(RUN_KEY, run.run_id)


def ancestors(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext,
) -> Sequence[str]:
    """Return the id of this Dagster run, then of the run it is a re-execution of, and so on."""
    found = [context.run.run_id]
    parent = context.run.parent_run_id
    while parent and parent not in found:
        found.append(parent)
        run = context.instance.get_run_by_id(parent)
        parent = run.parent_run_id if run else None
    return found


def tag_run(
    context: dg.AssetExecutionContext | dg.OpExecutionContext, user: str, tags: Mapping[str, str]
) -> None:
    """Add tags to a Dagster run, by which the list of runs can be filtered.

    A run launched from the asset graph may work on several models: their names are listed.

    Args:
        context: of a step of the run.
        user: the principal that its steps act for.
        tags: tag → value; what the run was launched with is replaced, as a run that is opened in
            the Launchpad again comes with its tags.
    """
    run_id = context.run.run_id
    run = context.instance.get_run_by_id(run_id)
    launched_with = run.tags if run else {}
    added = {USER: user, **tags}
    for tag in (MODEL, DATASET):
        listed = launched_with.get(tag, "").split(", ")
        if tag in added and listed != [""]:
            added[tag] = ", ".join(sorted({*listed, added[tag]}))
    context.instance.add_run_tags(run_id, added)
