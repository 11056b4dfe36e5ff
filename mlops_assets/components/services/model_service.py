"""The component ModelService: a model version in use, deployed again when its alias moves."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import dagster as dg
from pydantic import BaseModel, Field, model_validator

from mlops_assets.components.graph.kinds import registry_kinds
from mlops_assets.components.graph.labels import Labels, declared
from mlops_assets.components.graph.retries import retried
from mlops_assets.components.naming import (
    DATA_VERSION,
    DATASET,
    DECLARATION,
    MODEL,
    MODEL_VERSION,
    tag_run,
)
from mlops_assets.components.scaffolding import ModelServiceScaffolder
from mlops_assets.components.sensors.retrain import retrain_sensor
from mlops_assets.components.services.deploy_sensor import deploy_sensor
from mlops_assets.components.services.deployment_checks import deployment_checks
from mlops_assets.components.services.monitoring_assets import monitoring_assets
from mlops_assets.components.services.results import deployment_code_version, deployment_result
from mlops_assets.errors import ExportError
from mlops_assets.serving.specification import Engine, ServiceSpecification
from mlops_assets.strict import refusing
from mlops_assets.text.secret_urls import redacted
from resources import StoreResource

if TYPE_CHECKING:
    from mlops_assets.store import Store

DEPLOYMENT = "deployment"
DEPLOYMENT_JOB = "{service}_deployment"
# engine → the kind that Dagster's UI has an icon for
_KINDS: dict[Engine, str] = {"embedded": "onnx", "kserve": "kubernetes", "seldon": "kubernetes"}


class ModelServiceAttributes(Labels, ServiceSpecification):
    """A service as declared, checked for its engine too."""

    @model_validator(mode="after")
    def _fits_the_engine(self) -> Self:
        for key, url in (("url", self.url), ("log.url", self.log.url)):
            if url is not None and not _is_server(url):
                raise ValueError(
                    f"{key}: {redacted(url)!r} is not the URL of a server; write e.g. http://127.0.0.1:8000,"
                    " without credentials"
                )
        if self.engine in ("kserve", "seldon"):
            from mlops_assets.integrations.model_export.kserve import ObjectStorage, require_usable

            if self.storage is None:
                raise ValueError(
                    f"storage: {self.engine} reads the model from there; declare e.g. 'storage:"
                    " s3://BUCKET/FOLDER'"
                )
            with refusing(ExportError):
                require_usable(
                    ObjectStorage(self.storage, secret=self.secret, namespace=self.namespace)
                )
        return self


class DeploymentConfig(dg.Config):
    """The model version to deploy."""

    version: str | None = Field(
        default=None,
        description="Model version or alias; what the declared alias names now if not given.",
    )
    undeploy: bool = Field(default=False, description="Serve nothing any more.")
    user: str | None = Field(
        default=None, description="Who deploys; the process's user if not given."
    )
    reason: str | None = Field(default=None, description="Why, for the history.")


@dg.scaffold_with(ModelServiceScaffolder)
class ModelService(dg.Component):
    """A model version in use: its deployment, and how it does there, day by day.

    `dg scaffold defs mlops_assets.components.ModelService NAME --model MODEL` declares an example
    that you adapt.
    """

    def __init__(self, specification: ServiceSpecification, labels: Labels | None = None) -> None:
        self.specification = specification
        self.labels = labels or Labels()

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Return the core's own model, so that errors in the YAML name file, line and key."""
        return ModelServiceAttributes

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """Return what Dagster's UI lists of the component."""
        return dg.ComponentTypeSpec(produces=["asset", "asset_check", "job", "sensor"])

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Make the component from checked attributes."""
        checked = ModelServiceAttributes.model_validate(attributes)
        return cls(declared(checked, ServiceSpecification), checked)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the service's deployment with its checks, job and sensor, and its monitoring."""
        specification = self.specification
        deployment = self._deployment()
        checks = deployment_checks(specification, deployment.key)
        job = dg.define_asset_job(
            DEPLOYMENT_JOB.format(service=specification.name),
            selection=dg.AssetSelection.assets(deployment),
            description=f"Deploys {specification.model} in {specification.name}.",
            tags={MODEL: specification.model},
        )
        retrain = retrain_sensor(specification, f"{specification.model}_lifecycle")
        own = dg.Definitions(
            assets=self.labels.labelled([deployment]),
            asset_checks=checks,
            jobs=[job],
            sensors=[
                deploy_sensor(specification, job.name, deployment.key),
                *([retrain] if retrain else []),
            ],
        )
        return dg.Definitions.merge(own, monitoring_assets(specification, self.labels))

    def _deployment(self) -> dg.AssetsDefinition:
        specification = self.specification
        model, engine = specification.model, specification.engine

        @dg.asset(
            key=[model, DEPLOYMENT],
            group_name=model,
            deps=[[model, "production"]],
            description=specification.description
            or (
                f"The version of {model} in use by {engine}. Each materialisation is a deployment,"
                " a rollback or an end: who, when, why."
            ),
            code_version=deployment_code_version(specification),
            kinds=self.labels.kinds_or({_KINDS.get(engine, engine), *registry_kinds()}),
            metadata={DECLARATION: dg.MetadataValue.json(specification.model_dump(mode="json"))},
        )
        @retried
        def deployment(
            context: dg.AssetExecutionContext, config: DeploymentConfig, store: StoreResource
        ) -> dg.MaterializeResult[Any]:
            from mlops_assets.integrations.deployment.deploy import deploy, undeploy
            from mlops_assets.integrations.deployment.standing import version_to_deploy

            opened = _acting(store.open(), config.user)
            if config.undeploy:
                made = undeploy(opened, specification, config.reason)
            else:
                row = version_to_deploy(opened.registry, specification, config.version)
                chosen = config.version is not None
                made = deploy(opened, specification, row, config.reason, chosen)
            tags = {
                MODEL: model,
                MODEL_VERSION: made.row.version,
                DATASET: made.row.dataset,
                DATA_VERSION: made.row.data_version,
            }
            tag_run(context, opened.user, tags)
            return deployment_result(made)

        return deployment


def _acting(store: "Store", user: str | None) -> "Store":
    """Return the store for whoever has launched the run, with the roles of this process."""
    if not user:
        return store
    return store.acting(replace(store.registry.principal, name=user))


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    hosted = bool(parts.hostname) and "@" not in parts.netloc and port != 0
    return parts.scheme in ("http", "https") and hosted and not parts.query and not parts.fragment
