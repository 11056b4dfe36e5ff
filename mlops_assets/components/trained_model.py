"""The component TrainedModel.

It takes one model from training to production, with checks, job and sensor.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import dagster as dg
from pydantic import BaseModel, Field, ValidationInfo, field_validator

from mlops_assets.components.approval import approval
from mlops_assets.components.events.model_results import (
    COMPARED,
    GATES,
    MAX_OUTSIDE,
    PARITY,
    PORTABLE,
    Result,
    promotion_result,
    trained_result,
)
from mlops_assets.components.graph.code_references import code_reference
from mlops_assets.components.graph.kinds import (
    framework_kind,
    registry_kinds,
    workspace_kinds,
)
from mlops_assets.components.graph.labels import Labels, declared
from mlops_assets.components.graph.pods import kubernetes_tags
from mlops_assets.components.graph.retries import retried
from mlops_assets.components.naming import (
    DATA_VERSION,
    DATASET,
    DECLARATION,
    MAPS,
    MODEL,
    ONE_RUN_A_VERSION,
    ancestors,
    data_versions,
    tag_run,
)
from mlops_assets.components.registration import registration_assets
from mlops_assets.components.run_config import pool_of, run_config_type
from mlops_assets.components.scaffolding import TrainedModelScaffolder
from mlops_assets.components.sensors.new_version import new_version_sensor
from mlops_assets.components.sweeping import sweep_job
from mlops_assets.components.training_step import (
    continued,
    experiment_tag,
    later_steps_loading,
    requested_training,
    trained_before,
)
from mlops_assets.errors import MlopsError, TrainerError
from mlops_assets.models.parameters import document
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.strict import refusing
from mlops_assets.text.printable import printable
from mlops_assets.training.provenance import source_digest
from mlops_assets.training.trainers import load_trainer
from resources import MlflowMirror, StoreResource

if TYPE_CHECKING:
    from mlops_assets.registry import ModelVersion
    from mlops_assets.store import Store


class TrainedModelAttributes(Labels, ModelSpecification):
    """A model as declared, checked against its trainer too."""

    @field_validator("trainer")
    @classmethod
    def _trainer_loads(cls, trainer: str) -> str:
        with refusing(TrainerError):
            load_trainer(trainer)
        return trainer

    @field_validator("params")
    @classmethod
    def _params_fit(cls, params: dict[str, object], info: ValidationInfo) -> dict[str, object]:
        with refusing(TrainerError):
            # otherwise the error of the trainer is enough
            if "trainer" in info.data:
                load_trainer(info.data["trainer"]).parameters(params)
        return params


class PromotionConfig(dg.Config):
    """The model version to promote."""

    version: str | None = Field(
        default=None,
        description="Model version or alias; this run's own or the newest if not given.",
    )
    alias: str = Field(default="production", description="Alias to move.")
    rollback: bool = Field(
        default=False, description="Go back to the version that was in production before."
    )
    user: str | None = Field(
        default=None, description="Who promotes; the process's user if not given."
    )
    reason: str | None = Field(default=None, description="Why, for the history.")


@dataclass(frozen=True)
class _StageAsset:
    """The asset of a stage of a model version after training.

    Attributes:
        name: last part of its key.
        stage: name of the stage in `mlops_assets.models.lifecycle`.
        kind: the kind that Dagster's UI displays.
        description: its description there.
    """

    name: str
    stage: str
    kind: str
    description: str


@dg.scaffold_with(TrainedModelScaffolder)
class TrainedModel(dg.Component):
    """A model trained on each version of a dataset, exported, measured, recorded and promoted.

    `dg scaffold defs mlops_assets.components.TrainedModel NAME --layout LAYOUT --dataset DATASET`
    declares an example that you adapt; LAYOUT is table, image_folder, scenes_rasters,
    scenes_polygons or stac.
    """

    def __init__(self, specification: ModelSpecification, labels: Labels | None = None) -> None:
        self.specification = specification
        self.labels = labels or Labels()

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Return the core's own model, so that errors in the YAML name file, line and key."""
        return TrainedModelAttributes

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """Return what Dagster's UI lists of the component."""
        return dg.ComponentTypeSpec(produces=["asset", "asset_check", "job", "sensor"])

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Make the component from checked attributes."""
        checked = TrainedModelAttributes.model_validate(attributes)
        return cls(declared(checked, ModelSpecification), checked)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the model's assets, checks, lifecycle job and sensor."""
        name = self.specification.name
        dataset = self.specification.dataset
        assets = [
            self._trained_model(),
            self._onnx_model(),
            self._applicability(),
            self._evaluation(),
            self._record(),
            self._production(),
        ]
        # what is to be approved first is promoted by its approval
        promotes = self.specification.auto_promote and not self.specification.approval.protects(
            "production"
        )
        lifecycle = dg.AssetSelection.assets(
            [dataset, "training_data"], [dataset, "record"]
        ) | dg.AssetSelection.assets(*(assets if promotes else assets[:-1]))
        job = dg.define_asset_job(
            f"{name}_lifecycle",
            selection=lifecycle,
            description=(
                f"Trains, exports, evaluates and records {name} on one version of {dataset}."
            ),
            tags={MODEL: name, DATASET: dataset},
        )
        sensors = (
            [new_version_sensor(self.specification, job.name)]
            if self.specification.auto_train
            else []
        )
        registration = registration_assets(name, dataset, MODEL)
        own = dg.Definitions(
            assets=[*self.labels.labelled([*assets, *registration]), self._maps()],
            jobs=[job, sweep_job(self.specification)],
            sensors=sensors,
        )
        return dg.Definitions.merge(own, approval(self.specification))

    def _maps(self) -> dg.AssetSpec:
        """Return the asset whose materialisations are the maps of scenes that are in no area."""
        name = self.specification.name
        return dg.AssetSpec(
            [name, MAPS],
            group_name=name,
            deps=[[name, "production"]],
            description="Maps of scenes in no area, by 'mlops predict' and the job 'predict'.",
            kinds={"raster", *workspace_kinds()},
            owners=self.labels.owners,
            tags=self.labels.tags,
        )

    def _tags(self, data_version: str) -> dict[str, str]:
        """Return the tags of a run with a step of the model."""
        return {
            MODEL: self.specification.name,
            DATASET: self.specification.dataset,
            DATA_VERSION: data_version,
        }

    def _version(self, store: "Store", context: dg.AssetExecutionContext) -> "ModelVersion":
        from mlops_assets.models.lifecycle import version_for

        return version_for(
            store.registry, self.specification.name, context.partition_key, ancestors(context)
        )

    def _trained_model(self) -> dg.AssetsDefinition:
        specification = self.specification
        trainer = load_trainer(specification.trainer)
        config_type = run_config_type(specification, trainer)
        about = {"model": specification.name, "dataset": specification.dataset}

        @dg.asset(
            key=[specification.name, "trained_model"],
            group_name=specification.name,
            deps=[[specification.dataset, "training_data"]],
            partitions_def=data_versions(specification.dataset),
            backfill_policy=ONE_RUN_A_VERSION,
            description=specification.description
            or f"Model {specification.name}, trained on one data version.",
            code_version=source_digest(trainer.file.parent)[:12],
            op_tags=kubernetes_tags(specification.compute, about, per_run=True),
            pool=pool_of(specification.compute),
            kinds=self.labels.kinds_or({framework_kind(trainer), *workspace_kinds()}),
            metadata={
                DECLARATION: dg.MetadataValue.json(specification.model_dump(mode="json")),
                **code_reference(trainer, "trainer"),
            },
        )
        @retried
        def trained_model(
            context: dg.AssetExecutionContext,
            config: config_type,  # type: ignore[valid-type]
            store: StoreResource,
            mlflow: MlflowMirror,
        ) -> dg.MaterializeResult:  # type: ignore[type-arg]
            from mlops_assets.training.experiment import departures
            from mlops_assets.training.process.run_progress import followed
            from mlops_assets.training.process.supervisor import train_supervised

            parameters = config.model_dump()  # type: ignore[attr-defined]
            seed = parameters.pop("seed")
            opened = store.open()
            typed = document(trainer.parameters(parameters))
            found = departures(specification, trainer.name, typed, seed)
            tags = self._tags(context.partition_key) | experiment_tag(context, bool(found))
            tag_run(context, opened.user, tags)
            asked = requested_training(context, specification, parameters, seed)
            request = continued(context, opened, asked)
            message = (
                f"training {specification.name} on {specification.dataset}@{context.partition_key}"
            )
            departing = "".join(f"; {name} {departure}" for name, departure in found.items())
            run = f"{'continuing ' if request != asked else ''}run {request.run_id}"
            context.log.info(printable(f"{message}, {run}{departing}"))
            try:
                with (
                    followed(
                        opened.registry, request.run_id, message, parameters, context.log.info
                    ),
                    later_steps_loading(trainer),
                ):
                    row = trained_before(opened, request) or train_supervised(opened, request)
            except MlopsError:
                mlflow.run(opened, request.run_id)
                raise
            context.add_asset_metadata(mlflow.run(opened, request.run_id))
            return trained_result(opened, specification, row)

        return trained_model

    def _onnx_model(self) -> dg.AssetsDefinition:
        stage = _StageAsset(
            name="onnx_model",
            stage="export",
            kind="onnx",
            description="The model as ONNX, proved equal to the trained one on real samples.",
        )
        parity = "The ONNX model gives what the trained model gives."
        portable = "Other software can run the ONNX file as it is."
        return self._stage(
            stage,
            ["trained_model"],
            self._check(stage, PARITY, parity),
            self._check(stage, PORTABLE, portable, blocking=False),
        )

    def _applicability(self) -> dg.AssetsDefinition:
        stage = _StageAsset(
            name="applicability",
            stage="applicability",
            kind="parquet",
            description=(
                "What the model has seen: reference points and threshold of the dissimilarity"
                " index, by which maps show where the model applies."
            ),
        )
        described = (
            "The target area, else the test split, is in the area of applicability, as far as the"
            " gates ask."
        )
        check = self._check(stage, MAX_OUTSIDE, described, blocking=False)
        return self._stage(stage, ["onnx_model"], check)

    def _evaluation(self) -> dg.AssetsDefinition:
        stage = _StageAsset(
            name="evaluation",
            stage="evaluate",
            kind="onnx",
            description="Metrics of the ONNX model on the test split.",
        )
        return self._stage(stage, ["onnx_model"])

    def _record(self) -> dg.AssetsDefinition:
        stage = _StageAsset(
            name="record",
            stage="record",
            kind="stac",
            description=(
                "STAC Item with the MLM extension, in the static catalogue; states whether the"
                " gates pass."
            ),
        )
        described = {GATES: "The model version has what floors and ceilings demand."}
        if any(gate.not_worse_than for gate in self.specification.gates):
            described[COMPARED] = (
                "It is not worse than what is in production, beyond chance, on the newest test"
                " data. A warning is that this cannot be told yet, which stops promotion, too."
            )
        checks = [self._check(stage, name, text) for name, text in described.items()]
        return self._stage(stage, ["evaluation", "applicability"], *checks)

    def _check(
        self, stage: "_StageAsset", name: str, description: str, blocking: bool = True
    ) -> dg.AssetCheckSpec:
        return dg.AssetCheckSpec(
            name,
            asset=[self.specification.name, stage.name],
            blocking=blocking,
            description=description,
            partitions_def=data_versions(self.specification.dataset),
        )

    def _stage(
        self, stage: "_StageAsset", upstream: Sequence[str], *checks: dg.AssetCheckSpec
    ) -> dg.AssetsDefinition:
        """Return the asset of a stage, downstream of other assets of the model."""
        specification = self.specification

        @dg.asset(
            key=[specification.name, stage.name],
            group_name=specification.name,
            deps=[[specification.name, name] for name in upstream],
            partitions_def=data_versions(specification.dataset),
            backfill_policy=ONE_RUN_A_VERSION,
            description=stage.description,
            check_specs=checks,
            kinds={stage.kind, *workspace_kinds()},
        )
        @retried
        def result(
            context: dg.AssetExecutionContext, store: StoreResource, mlflow: MlflowMirror
        ) -> Iterator[Result | dg.AssetCheckResult]:
            from mlops_assets.components.events.reporting import stage_events

            opened = store.open()
            tag_run(context, opened.user, self._tags(context.partition_key))
            row = self._version(opened, context)
            for event in stage_events(stage.stage, opened, specification, row):
                # after it, nothing about the run changes
                if stage.name == "record":
                    context.add_asset_metadata(mlflow.run(opened, row.run_id))
                yield event

        return result

    def _production(self) -> dg.AssetsDefinition:
        specification = self.specification

        @dg.asset(
            key=[specification.name, "production"],
            group_name=specification.name,
            deps=[[specification.name, "record"]],
            description=(
                "The model version in use. Each materialisation is a promotion: who, when, past"
                " which gates."
            ),
            kinds=registry_kinds(),
        )
        def production(
            context: dg.AssetExecutionContext,
            config: PromotionConfig,
            store: StoreResource,
            mlflow: MlflowMirror,
        ) -> dg.MaterializeResult:  # type: ignore[type-arg]
            from mlops_assets.models.promotion import promote, rollback

            opened = store.open()
            if config.user:
                opened = opened.acting(replace(opened.registry.principal, name=config.user))
            if config.rollback:
                moved = rollback(opened, specification.name, specification.approval, config.reason)
            else:
                row = _to_promote(opened, specification, config.version, ancestors(context))
                moved = promote(
                    opened,
                    row,
                    specification.gates,
                    config.alias,
                    specification.approval,
                    config.reason,
                )
            row = opened.registry.model_version(Reference(specification.name, moved.version))
            tag_run(context, opened.user, self._tags(row.data_version))
            context.add_asset_metadata(mlflow.aliases(opened, specification.name))
            return promotion_result(row, moved)

        return production


def _to_promote(
    store: "Store",
    specification: ModelSpecification,
    version: str | None,
    orchestration_runs: Sequence[str],
) -> "ModelVersion":
    if version is None:
        own = [
            r
            for run in orchestration_runs
            for r in store.registry.runs(specification.name, orchestration_run=run)
        ]
        version = next((run.model_version for run in own if run.model_version), None)
    return store.registry.model_version(
        Reference.parse(f"{specification.name}@{version}" if version else specification.name)
    )
