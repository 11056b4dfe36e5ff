"""The component ProcessedDataset.

It has the processing, training data and record of a dataset that is made from other datasets.
"""

from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from pydantic import BaseModel, ValidationInfo, field_validator

from mlops_assets.components.events.commit_report import commit_metadata
from mlops_assets.components.graph.code_references import code_reference
from mlops_assets.components.graph.kinds import workspace_kinds
from mlops_assets.components.graph.labels import Labels, declared
from mlops_assets.components.graph.pods import kubernetes_tags
from mlops_assets.components.graph.retries import retried
from mlops_assets.components.naming import (
    DATASET,
    DECLARATION,
    INPUT,
    ONE_RUN_A_VERSION,
    data_versions,
    tag_run,
)
from mlops_assets.components.run_config import parameters_type, pool_of
from mlops_assets.components.scaffolding import ProcessedDatasetScaffolder
from mlops_assets.components.sensors.new_input import new_input_sensor
from mlops_assets.components.training_dataset import TrainingDataset, located
from mlops_assets.errors import ProcessingError
from mlops_assets.processing.function import load_processing
from mlops_assets.processing.specification import ProcessedDatasetSpecification
from mlops_assets.strict import refusing
from mlops_assets.training.provenance import source_digest
from resources import StoreResource

if TYPE_CHECKING:
    from dagster._core.definitions.metadata import RawMetadataValue

    from mlops_assets.datasets.versions.version_document import Processing


class ProcessedDatasetAttributes(Labels, ProcessedDatasetSpecification):
    """A processed dataset as declared, checked against its function too."""

    @field_validator("function")
    @classmethod
    def _function_loads(cls, function: str) -> str:
        with refusing(ProcessingError):
            load_processing(function)
        return function

    @field_validator("params")
    @classmethod
    def _params_fit(cls, params: dict[str, object], info: ValidationInfo) -> dict[str, object]:
        with refusing(ProcessingError):
            # otherwise the error of the function is enough
            if "function" in info.data:
                load_processing(info.data["function"]).parameters(params)
        return params


@dg.scaffold_with(ProcessedDatasetScaffolder)
class ProcessedDataset(TrainingDataset):
    """Training data that a function makes from versions of other datasets."""

    specification: ProcessedDatasetSpecification

    def __init__(
        self, specification: ProcessedDatasetSpecification, labels: Labels | None = None
    ) -> None:
        super().__init__(specification, labels)

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Return the core's own model, so that errors in the YAML name file, line and key."""
        return ProcessedDatasetAttributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Make the component from checked attributes."""
        checked = ProcessedDatasetAttributes.model_validate(attributes)
        specification = located(declared(checked, ProcessedDatasetSpecification), context.path)
        return cls(specification, checked)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the dataset's assets, checks, jobs and sensors."""
        specification = self.specification
        processed = self._processed()
        job = dg.define_asset_job(
            f"{specification.name}_processing",
            selection=[processed],
            description=f"Makes {specification.name} of one version of {specification.inputs[0]}.",
            tags={DATASET: specification.name, INPUT: specification.input_references[0].name},
        )
        sensors = [new_input_sensor(specification, job.name)] if specification.auto_process else []
        return dg.Definitions.merge(
            self._assessment(),
            dg.Definitions(assets=self.labels.labelled([processed]), jobs=[job], sensors=sensors),
        )

    def _committed_by(self) -> dg.AssetDep:
        # its partitions are versions of the input, which are not those of this dataset; a version
        # stays as it is whatever is processed later, so that it is out of date by none of them
        return dg.AssetDep(
            [self.specification.name, "processed"],
            partition_mapping=dg.SpecificPartitionsPartitionMapping([]),
        )

    def _inputs(self) -> list[dg.AssetDep]:
        """Return the dependencies on the inputs: the same version of the first, others as named."""
        first, *others = self.specification.input_references
        return [
            dg.AssetDep([first.name, "training_data"]),
            *(
                dg.AssetDep(
                    [other.name, "training_data"],
                    partition_mapping=(
                        dg.AllPartitionMapping() if other.what else dg.LastPartitionMapping()
                    ),
                )
                for other in others
            ),
        ]

    def _processed(self) -> dg.AssetsDefinition:
        specification = self.specification
        function = load_processing(specification.function)
        config_type: Any = parameters_type(specification.name, function, specification.params)

        @dg.asset(
            key=[specification.name, "processed"],
            group_name=specification.name,
            description=(
                f"Makes the next data version by {specification.function} from"
                f" {', '.join(specification.inputs)}."
            ),
            deps=self._inputs(),
            partitions_def=data_versions(specification.input_references[0].name),
            backfill_policy=ONE_RUN_A_VERSION,
            code_version=source_digest(function.file.parent)[:12],
            op_tags=kubernetes_tags(specification.compute, {"dataset": specification.name}),
            pool=pool_of(specification.compute),
            kinds={"python", *workspace_kinds()},
            metadata={
                DECLARATION: dg.MetadataValue.json(specification.model_dump(mode="json")),
                **code_reference(function, "function"),
            },
        )
        @retried
        def processed(
            context: dg.AssetExecutionContext, config: config_type, store: StoreResource
        ) -> dg.MaterializeResult:  # type: ignore[type-arg]
            from mlops_assets.datasets.recall.ancestry import processing_of
            from mlops_assets.processing.produce import ProcessingJob, produce

            opened = store.open()
            tag_run(context, opened.user, {DATASET: specification.name})
            job = ProcessingJob(specification, context.partition_key, config.model_dump())
            committed = produce(opened, job)
            row = committed.version
            return dg.MaterializeResult(
                data_version=dg.DataVersion(row.digest),
                metadata={
                    **commit_metadata(
                        context, opened, committed, "the same inputs, code and files are"
                    ),
                    **_processing_metadata(processing_of(opened.workspace, opened.registry, row)),
                },
            )

        return processed


def _processing_metadata(processing: "Processing | None") -> dict[str, "RawMetadataValue"]:
    """Return what a data version was made from and how."""
    if processing is None:
        return {}
    return {
        "inputs": dg.MetadataValue.json([given.model_dump() for given in processing.inputs]),
        "function": processing.function,
        "code_version": processing.code_version,
        "parameters": dg.MetadataValue.json(processing.parameters),
    }
