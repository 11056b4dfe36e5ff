"""The component TrainingDataset.

It has the source, landing, training data and record of one dataset, with checks and sensors.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import dagster as dg
from pydantic import BaseModel, Field

from mlops_assets.components.events.commit_report import commit_metadata
from mlops_assets.components.events.presentation import (
    counts_markdown,
    figures_metadata,
    file_metadata,
    schema_metadata,
)
from mlops_assets.components.graph.freshness import Freshness
from mlops_assets.components.graph.kinds import layout_kind, workspace_kinds
from mlops_assets.components.graph.labels import Labels, declared
from mlops_assets.components.graph.retries import retried
from mlops_assets.components.landing_source import (
    LandingState,
    made_from,
    observation,
    source_asset,
    source_key,
)
from mlops_assets.components.naming import (
    CLASS_VALUES,
    DATA_VERSION,
    DATASET,
    DECLARATION,
    ONE_RUN_A_VERSION,
    check_results,
    data_versions,
    tag_run,
)
from mlops_assets.components.registration import registration_assets
from mlops_assets.components.scaffolding import TrainingDatasetScaffolder
from mlops_assets.components.sensors.new_data import new_data_sensor
from mlops_assets.components.sensors.new_version import assessment_sensor
from mlops_assets.components.sensors.notifications import queue_resources
from mlops_assets.datasets.quality import CHECKS
from mlops_assets.datasets.quality.checks import RESEMBLES_TARGET, TARGET_CHECK, CheckKind
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.errors import SpecificationError
from mlops_assets.names import Reference
from resources import StoreResource

if TYPE_CHECKING:
    from mlops_assets.datasets.commit.commit import Made
    from mlops_assets.store import Store

# Data version, in Dagster's sense, of whatever is committed: a version stays as it is when another
# lands, so that `training_data` of an older one is not out of date.
COMMITTED = dg.DataVersion("committed")
Declared = TypeVar("Declared", bound=DatasetSpecification)


class DvcCommit(dg.Config):
    """The launch config of an import from DVC; see `mlops import dvc`."""

    repository: str = Field(description="URL or folder of the Git repository.")
    commit: str = Field(description="Branch, tag or hash of the commit.")
    path: str | None = Field(
        default=None,
        description="Folder or file in it that is the landing; all that DVC tracks by default.",
    )
    remote: str | None = Field(
        default=None, description="DVC remote by name or URL; the repository's default if not set."
    )


class LandingConfig(dg.Config):
    """The launch config of a commit."""

    rehash: bool = Field(
        default=False,
        description="Read and store every file again, also those known by path, size and time.",
    )
    use: str | None = Field(
        default=None,
        description="URL of a data version's record in another workspace, to use it from there.",
    )
    dvc: DvcCommit | None = Field(
        default=None, description="Commit the data of a DVC repository instead of the landing."
    )


def _landing_of(commit: DvcCommit) -> "Made":
    from mlops_assets.integrations.dvc.landing import landing_of_revision

    return landing_of_revision(commit.repository, commit.commit, commit.path, commit.remote)


def _use(
    context: dg.AssetExecutionContext, opened: "Store", dataset: str, record: str
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    from mlops_assets.datasets.commit.use import use

    used = use(opened.workspace, opened.registry, dataset, record)
    found = commit_metadata(context, opened, used, "the other workspace has")
    return dg.MaterializeResult(data_version=COMMITTED, metadata={**found, "origin": record})


def located(specification: Declared, path: Path) -> Declared:
    """Return a declaration whose target area names its file wherever it is read.

    Args:
        specification: as declared.
        path: of the declaration, or the folder that it is in.
    """
    if specification.target_area is None:
        return specification
    beside = path if path.is_dir() else path.parent
    return specification.model_copy(
        update={"target_area": specification.target_area.beside(beside)}
    )


class TrainingDatasetAttributes(Labels, DatasetSpecification):
    """A dataset as declared, with what only Dagster's graph shows."""

    freshness: Freshness | None = Field(
        default=None,
        description="When new data is late, which its landing shows; never if not given.",
    )


@dg.scaffold_with(TrainingDatasetScaffolder)
class TrainingDataset(dg.Component):
    """Training data that lands in a folder and is committed into immutable, described versions.

    `dg scaffold defs mlops_assets.components.TrainingDataset NAME --layout LAYOUT` declares an
    example that you adapt; LAYOUT is table, image_folder, scenes_rasters, scenes_polygons or stac.
    """

    def __init__(
        self,
        specification: DatasetSpecification,
        labels: Labels | None = None,
        freshness: Freshness | None = None,
    ) -> None:
        self.specification = specification
        self.labels = labels or Labels()
        self.freshness = freshness

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Return the core's own model, so that errors in the YAML name file, line and key."""
        return TrainingDatasetAttributes

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """Return what Dagster's UI lists of the component."""
        return dg.ComponentTypeSpec(produces=["asset", "asset_check", "job", "sensor"])

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Make the component from checked attributes."""
        checked = TrainingDatasetAttributes.model_validate(attributes)
        specification = located(declared(checked, DatasetSpecification), context.path)
        return cls(specification, checked, checked.freshness)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the dataset's assets, checks, jobs and sensors."""
        name = self.specification.name
        landing = self._landing()
        job = dg.define_asset_job(
            f"{name}_landing",
            selection=[landing],
            tags={DATASET: name},
        )
        landed = dg.Definitions(
            assets=self.labels.labelled([source_asset(self.specification), landing]),
            jobs=[job],
            sensors=[new_data_sensor(self.specification, job.name)],
            resources=queue_resources(self.specification),
        )
        return dg.Definitions.merge(landed, self._assessment())

    def _assessment(self) -> dg.Definitions:
        """Return what is made of each data version: report and record, by job and sensor."""
        name = self.specification.name
        assets = [self._training_data(), self._record()]
        job = dg.define_asset_job(
            f"{name}_assessment",
            selection=assets,
            description=f"Assesses and records one version of {name}.",
            tags={DATASET: name},
        )
        registration = registration_assets(name, name, DATASET)
        return dg.Definitions(
            assets=self.labels.labelled([*assets, *registration]),
            jobs=[job],
            sensors=[assessment_sensor(self.specification, job.name)],
        )

    def _landing(self) -> dg.AssetsDefinition:
        specification = self.specification

        @dg.asset(
            key=[specification.name, "landing"],
            group_name=specification.name,
            description=(
                f"Commits the files in {specification.source.url} as the next data version."
            ),
            deps=[source_key(specification.name)],
            kinds=workspace_kinds(),
            freshness_policy=self.freshness.policy() if self.freshness else None,
            metadata={
                DECLARATION: dg.MetadataValue.json(specification.model_dump(mode="json")),
                CLASS_VALUES: dg.MetadataValue.json(list(specification.classes or {})),
            },
        )
        @retried
        def landing(
            context: dg.AssetExecutionContext, config: LandingConfig, store: StoreResource
        ) -> dg.MaterializeResult:  # type: ignore[type-arg]
            from mlops_assets.datasets.commit.commit import commit

            opened = store.open()
            tag_run(context, opened.user, {DATASET: specification.name})
            if config.use is not None and config.dvc is not None:
                raise SpecificationError("use and dvc: a landing has one of them; remove the other")
            if config.use is not None:
                return _use(context, opened, specification.name, config.use)
            made = None if config.dvc is None else _landing_of(config.dvc)
            committed = commit(
                opened.workspace, opened.registry, specification, config.rehash, made
            )
            if made is not None and made.origin is not None:
                found = commit_metadata(context, opened, committed, "the commit has")
                return dg.MaterializeResult(
                    data_version=COMMITTED, metadata={**found, "origin": made.origin.reference}
                )
            landed = committed.landed
            state = LandingState.of(landed.landing.url, landed.files, landed.scenes)
            context.log_event(observation(specification.name, state))
            return dg.MaterializeResult(
                data_version=COMMITTED,
                tags=made_from(specification.name, state),
                metadata=commit_metadata(context, opened, committed, "the landing holds"),
            )

        return landing

    def _committed_by(self) -> dg.AssetDep:
        """Return the dependency on the asset that commits the versions."""
        return dg.AssetDep([self.specification.name, "landing"])

    def _checks(self) -> Mapping[str, CheckKind]:
        """Return the checks of the training data: one more where a target area is declared."""
        if self.specification.target_area is None:
            return CHECKS
        return {**CHECKS, RESEMBLES_TARGET: TARGET_CHECK}

    def _training_data(self) -> dg.AssetsDefinition:
        specification = self.specification
        key = dg.AssetKey([specification.name, "training_data"])

        @dg.asset(
            key=key,
            group_name=specification.name,
            description=specification.description
            or f"Training data {specification.name}, one partition a data version.",
            deps=[self._committed_by()],
            partitions_def=data_versions(specification.name),
            backfill_policy=ONE_RUN_A_VERSION,
            kinds=self.labels.kinds_or({layout_kind(specification.source), *workspace_kinds()}),
            check_specs=[
                dg.AssetCheckSpec(
                    name,
                    asset=key,
                    blocking=kind.blocking,
                    description=kind.description,
                    partitions_def=data_versions(specification.name),
                )
                for name, kind in self._checks().items()
            ],
        )
        @retried
        def training_data(
            context: dg.AssetExecutionContext, store: StoreResource
        ) -> dg.MaterializeResult:  # type: ignore[type-arg]
            from mlops_assets.datasets.quality.assessment import assess
            from mlops_assets.datasets.quality.target.compare import compare_with_target
            from mlops_assets.datasets.versions.columns import columns
            from mlops_assets.datasets.versions.committed_dataset import CommittedDataset

            opened = store.open()
            reference = Reference(specification.name, context.partition_key)
            tag_run(
                context,
                opened.user,
                {DATASET: specification.name, DATA_VERSION: context.partition_key},
            )
            committed = CommittedDataset.open(opened.workspace, opened.registry, reference)
            described = committed.described_as(specification)
            quality = assess(opened.registry, committed, specification.quality)
            if specification.target_area is not None:
                quality = compare_with_target(
                    opened.registry, committed, specification.target_area, quality
                )
            return dg.MaterializeResult(
                data_version=dg.DataVersion(committed.row.digest),
                metadata={
                    "data_version": committed.row.version,
                    "digest": committed.row.digest,
                    **schema_metadata(columns(described), committed.row.samples),
                    **{f"{split}_samples": count for split, count in committed.row.counts.items()},
                    "class_counts": dg.MetadataValue.md(
                        counts_markdown(quality.counts, committed.document.input.counted)
                    ),
                    **figures_metadata(quality.figures),
                    "notes": dg.MetadataValue.json(committed.document.notes),
                    **file_metadata(opened.workspace, quality.files),
                },
                check_results=check_results(quality.checks),
            )

        return training_data

    def _record(self) -> dg.AssetsDefinition:
        specification = self.specification

        @dg.asset(
            key=[specification.name, "record"],
            group_name=specification.name,
            description="STAC Collection with Items, in the static catalogue.",
            deps=[[specification.name, "training_data"]],
            partitions_def=data_versions(specification.name),
            backfill_policy=ONE_RUN_A_VERSION,
            kinds={"stac", *workspace_kinds()},
        )
        @retried
        def record(
            context: dg.AssetExecutionContext,
            store: StoreResource,
        ) -> dg.MaterializeResult:  # type: ignore[type-arg]
            from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
            from mlops_assets.stac.datasets import write_dataset_record
            from mlops_assets.stac.description import changes, description

            opened = store.open()
            reference = Reference(specification.name, context.partition_key)
            tag_run(
                context,
                opened.user,
                {DATASET: specification.name, DATA_VERSION: context.partition_key},
            )
            committed = CommittedDataset.open(opened.workspace, opened.registry, reference)
            before = description(opened.workspace, opened.registry, committed.row)
            described = committed.described_as(specification)
            files = write_dataset_record(opened.workspace, opened.registry, described)
            changed = changes(before, description(opened.workspace, opened.registry, committed.row))
            for change in changed:
                context.log.info(f"the record of {committed.reference} has changed: {change}")
            return dg.MaterializeResult(
                data_version=dg.DataVersion(committed.row.digest),
                metadata={
                    "data_version": committed.row.version,
                    "changed": dg.MetadataValue.json(changed),
                    **file_metadata(opened.workspace, files[:1]),
                },
            )

        return record
