"""The declaration of a service by a user: what serves a model, what is logged and monitored.

Only declarations and the rules that need no data; Dagster's docs have every description.
"""

from __future__ import annotations

from datetime import date
from typing import Literal, get_args

from pydantic import Field, model_validator

from mlops_assets.models.compute import Compute
from mlops_assets.strict import DeclaredAlias, DeclaredName, Strict

Engine = Literal["embedded", "kserve", "triton", "docker", "seldon"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
# of a service that declares no start of its days
DEFAULT_START = date(2026, 1, 1)


class RequestLog(Strict):
    """What is kept of requests."""

    sample: float = Field(
        default=1.0, ge=0, le=1, description="Share of the requests that are logged; 0 for none."
    )
    days: int = Field(default=90, ge=1, le=3660, description="Days that requests are kept for.")
    max_bytes: str = Field(
        default="2Gi",
        pattern=r"^\d+(\.\d+)?(Ki|Mi|Gi|Ti)?$",
        description="Size of a day's log, beyond which requests are dropped and counted.",
    )
    inputs: bool = Field(
        default=True,
        description=(
            "Keep inputs whole, up to 64 KiB a sample; else, and beyond, their statistics only."
        ),
    )
    url: str | None = Field(
        default=None,
        description=(
            "URL of an 'mlops serve' that KServe sends requests and answers to, as the cluster"
            " reaches it; none are sent if not given."
        ),
    )


class Limit(Strict):
    """Limits of a measure: beyond one there is a warning, beyond the other the rule fails.

    A number alone is the limit beyond which it fails.
    """

    warn: float | None = Field(default=None, ge=0, description="Limit of a warning.")
    error: float | None = Field(default=None, ge=0, description="Limit of a failure.")

    @model_validator(mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return {"error": value} if is_number else value

    @model_validator(mode="after")
    def _ordered(self) -> Limit:
        if self.warn is not None and self.error is not None and self.warn > self.error:
            raise ValueError("'warn' is above 'error'; write the smaller limit as 'warn'")
        return self


class Retraining(Strict):
    """When a model is trained again because of failed rules."""

    enabled: bool = Field(default=False, description="Retrain, once there is newer data.")
    days: int = Field(default=2, ge=1, le=366, description="Days on which a rule has failed …")
    of: int = Field(default=3, ge=1, le=366, description="… of this many last days.")
    cooldown_days: int = Field(
        default=7, ge=0, le=366, description="Days after a retraining without another one."
    )

    @model_validator(mode="after")
    def _possible(self) -> Retraining:
        if self.days > self.of:
            raise ValueError(f"a rule cannot fail on {self.days} days of {self.of}")
        return self


class Monitor(Strict):
    """Limits of the rules of monitoring, a day.

    Every limit is raised to what the test split of the model version has itself, as its gates have
    accepted that.
    """

    min_samples: int = Field(
        default=200, ge=1, description="Samples of a day below which no rule is decided."
    )
    max_invalid: Limit = Field(
        default=Limit(warn=0.01, error=0.05),
        description="Share of samples with missing or infinite values.",
    )
    max_outside: Limit = Field(
        default=Limit(warn=0.1, error=0.2),
        description="Share of samples, and of maps, outside the model's area of applicability.",
    )
    max_drift: Limit = Field(
        default=Limit(warn=0.1, error=0.25),
        description="Population stability index of the feature that has drifted most.",
    )
    max_separation: Limit = Field(
        default=Limit(warn=0.65, error=0.8),
        description="AUC of a classifier that separates the day from training samples.",
    )
    max_prediction_shift: Limit = Field(
        default=Limit(warn=0.1, error=0.25),
        description="Population stability index of the predictions.",
    )
    max_loss: Limit = Field(
        default=Limit(warn=0.05, error=0.1),
        description=(
            "Loss of the metric against the test split, beyond chance: live where there are labels,"
            " estimated where there are none."
        ),
    )


class ServiceSpecification(Strict):
    """A service as declared: one model, one engine."""

    name: DeclaredName = Field(
        description="Name of the service: a letter, then letters, digits and '_'."
    )
    description: str = Field(default="", description="What is served and for whom.")
    model: DeclaredName = Field(description="Name of the model.")
    alias: DeclaredAlias = Field(default="production", description="The version that is served.")
    engine: Engine = Field(
        default="embedded",
        description="'mlops serve', or the engine that files are written for.",
    )
    url: str = Field(
        default="http://127.0.0.1:8000",
        description="URL of the server, of the engines 'embedded' and 'docker'.",
    )
    out: str | None = Field(
        default=None,
        description=(
            "Folder that the engine's files are written to; 'deployments/<name>' in the workspace's"
            " cache if not given."
        ),
    )
    storage: str | None = Field(
        default=None,
        description="URL that KServe and Seldon read the model from, such as s3://BUCKET/FOLDER.",
    )
    secret: str | None = Field(
        default=None, description="Name of the Kubernetes Secret with credentials for 'storage'."
    )
    namespace: str | None = Field(default=None, description="Namespace of Kubernetes.")
    replicas: int = Field(default=1, ge=0, le=1000, description="Replicas on a cluster.")
    resources: Compute = Field(
        default=Compute(), description="What one replica may use on a cluster."
    )
    log: RequestLog = Field(
        default=RequestLog(), description="What is kept of requests, and for how long."
    )
    monitor: Monitor = Field(default=Monitor(), description="Limits of the rules of monitoring.")
    retrain: Retraining = Field(
        default=Retraining(), description="When the model is trained again."
    )
    start: date = Field(default=DEFAULT_START, description="First day that is monitored, UTC.")
