"""The declaration of a model by a user, as strict pydantic models.

Dagster's docs have every description.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, ValidationInfo, field_validator, model_validator

from mlops_assets.choices import Task
from mlops_assets.datasets.loading.scaling import DeclaredScaling, methods_of
from mlops_assets.datasets.specification.description import Provider
from mlops_assets.errors import NameRefused, SpecificationError
from mlops_assets.models.compute import Compute
from mlops_assets.models.frameworks.architectures import CLASS
from mlops_assets.models.parameters import written
from mlops_assets.names import check_function, check_label, check_name
from mlops_assets.strict import Strict, refusing

CALIBRATION_METRICS = ("ece", "brier")
CLASS_METRICS = (
    *("accuracy", "balanced_accuracy", "macro_f1", "kappa", "mean_iou"),
    *CALIBRATION_METRICS,
)
SINGLE_CLASS_METRICS = ("precision", "recall", "f1", "iou")
NUMBER_METRICS = ("rmse", "mae", "r2", "bias")
# the share of the target area, else of the test split, outside the area of applicability
OUTSIDE = "outside"
# whatever the task; all but the last are of the ONNX file
CEILING_METRICS = ("size_mb", "latency_ms", "batch_latency_ms", OUTSIDE)
SMALLER_IS_BETTER = {"rmse", "mae", *CALIBRATION_METRICS}
# best at zero, on either side
SIGNED = {"bias"}
# by which versions are compared where no gate names another
MAIN_METRIC: dict[Task, str] = {
    "classification": "accuracy",
    "semantic-segmentation": "mean_iou",
    "regression": "rmse",
}
# stands where a declared model names its trainer, for models that the project does not declare
EXTERNAL_TRAINER = "mlops_assets.external:external_run"


def is_minimised(metric: str) -> bool:
    """Return whether a smaller `magnitude` of a metric is better."""
    return metric in SMALLER_IS_BETTER or metric in SIGNED


def magnitude(metric: str, value: float) -> float:
    """Return the value of a metric as versions are compared by it, without the sign of a bias."""
    return abs(value) if metric in SIGNED else value


def class_metric(metric: str) -> tuple[str, str] | None:
    """Return measure and class of a metric of one class, such as `recall.wheat`, else None."""
    measure, _, name = metric.partition(".")
    return (measure, name) if measure in SINGLE_CLASS_METRICS and name else None


class Gate(Strict):
    """A rule a model version must pass to be promoted."""

    metric: str = Field(
        description=(
            "Metric on the test split, e.g. accuracy, macro_f1, recall.wheat, ece, brier, rmse; or"
            " of the ONNX file: size_mb, latency_ms (one sample), batch_latency_ms; or outside, the"
            " share of the target area, else of the test split, outside the area of applicability."
        )
    )
    slice: dict[str, Annotated[str, Field(coerce_numbers_to_str=True)]] | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        exclude_if=lambda own: own is None,
        description=(
            "The part of the test split that the metric is of, e.g. {region: north}: a value of the"
            " group column, or of scene, file, season or year."
        ),
    )
    min: FiniteFloat | None = Field(default=None, description="The metric must be at least this.")
    max: FiniteFloat | None = Field(default=None, description="The metric must be at most this.")
    not_worse_than: Literal["production", "previous", "candidate"] | None = Field(
        default=None,
        description=(
            "The metric must not be worse than that of this alias, if it is set, both measured on"
            " the newest data version, beyond chance."
        ),
    )
    tolerance: FiniteFloat = Field(
        default=0.0,
        ge=0,
        description=(
            "How much worse is still accepted: the non-inferiority margin. With 0 the version must"
            " be better beyond chance."
        ),
    )

    @property
    def subject(self) -> str:
        """The metric, with the slice that it is of."""
        of = "".join(f" of {name}={value}" for name, value in (self.slice or {}).items())
        return self.metric + of

    @model_validator(mode="after")
    def _has_a_rule(self) -> Gate:
        names = CLASS_METRICS + NUMBER_METRICS + CEILING_METRICS
        if self.metric not in names and not class_metric(self.metric):
            raise ValueError(
                f"metric {self.metric!r} is unknown; use one of {', '.join(names)}, or of a class"
                f" {', '.join(SINGLE_CLASS_METRICS)}, such as recall.wheat"
            )
        if self.min is None and self.max is None and self.not_worse_than is None:
            raise ValueError(f"the gate on {self.metric!r} needs 'min', 'max' or 'not_worse_than'")
        if self.metric in CEILING_METRICS and (
            self.max is None or self.min is not None or self.not_worse_than
        ):
            raise ValueError(f"the gate on {self.metric!r} takes 'max' only")
        return self

    @model_validator(mode="after")
    def _slice_has_the_metric(self) -> Gate:
        if self.slice is None:
            return self
        if self.not_worse_than is not None:
            raise ValueError(f"the gate on {self.subject}: a slice takes 'min' and 'max' only")
        if class_metric(self.metric) or self.metric in CALIBRATION_METRICS + CEILING_METRICS:
            names = (name for name in CLASS_METRICS if name not in CALIBRATION_METRICS)
            raise ValueError(
                f"the gate on {self.subject}: a slice has no {self.metric}; it has"
                f" {', '.join([*names, *NUMBER_METRICS])}"
            )
        return self


class Parity(Strict):
    """The required closeness of the ONNX model to the trained one."""

    tolerance: float = Field(
        default=1e-3, gt=0, description="Largest difference of an output, relative to its spread."
    )
    agreement: float = Field(
        default=0.999, ge=0, le=1, description="Least share of samples with the same class."
    )
    samples: int = Field(
        default=512, ge=1, description="At most so many samples of the test split are compared."
    )


class Approval(Strict):
    """The approval that a version needs before a protected alias moves to it."""

    required: bool = Field(
        default=False,
        description="Protected aliases move only to versions whose approval stands.",
    )
    own_work: bool = Field(
        default=True, description="Whoever has trained a version may approve it, too."
    )
    aliases: list[str] = Field(
        default=["production"], min_length=1, description="The protected aliases."
    )

    @field_validator("aliases")
    @classmethod
    def _aliases(cls, aliases: list[str]) -> list[str]:
        for alias in aliases:
            with refusing(NameRefused):
                check_label(alias, "alias")
            if alias == "previous":
                raise ValueError("'previous' is what was in production; protect 'production'")
        return aliases

    def protects(self, alias: str) -> bool:
        """Return whether an alias moves only to approved versions."""
        return self.required and alias in self.aliases


class CardText(Strict):
    """What people should know of a model and no measurement states; it is in the model card."""

    intended_use: list[str] = Field(
        default=[], description="What the model is for: users, decisions, places and times."
    )
    misuse: list[str] = Field(default=[], description="What it must not be used for.")
    limitations: list[str] = Field(
        default=[], description="What is known of where and when it fails."
    )
    annex_iv: bool = Field(
        default=False,
        description=(
            "Order the card by the headings of Annex IV of the EU AI Act; no claim of compliance."
        ),
    )


class ModelSpecification(Strict):
    """A model as declared."""

    name: str = Field(description="Name of the model: a letter, then letters, digits and '_'.")
    title: str | None = Field(default=None, description="One line for people.")
    description: str = Field(
        default="", description="What the model is for and what it is not for."
    )
    license: str | None = Field(
        default=None,
        exclude_if=lambda own: own is None,
        description="Licence of the model: SPDX identifier, or 'other'.",
    )
    providers: list[Provider] = Field(
        default=[],
        exclude_if=lambda own: not own,
        description="Who made, licenses or hosts the model.",
    )
    doi: str | None = Field(
        default=None, exclude_if=lambda own: own is None, description="DOI of the model."
    )
    citation: str | None = Field(
        default=None, exclude_if=lambda own: own is None, description="How to cite the model."
    )
    keywords: list[str] = Field(
        default=[],
        exclude_if=lambda own: not own,
        description="What catalogues find it by, besides framework, task and its data's keywords.",
    )
    pretrained: str | None = Field(
        default=None,
        exclude_if=lambda own: own is None,
        description="What its weights were pre-trained on, if they were: a name or URL.",
    )
    card: CardText = Field(
        default=CardText(),
        exclude_if=lambda own: own == CardText(),
        description="What its card states beside what was measured.",
    )
    dataset: str = Field(description="Name of the dataset it is trained on.")
    task: Task = Field(description="classification, semantic-segmentation or regression.")
    trainer: str = Field(description="The trainer function as 'package.module:function'.")
    params: dict[str, object] = Field(
        default={}, description="Parameters of the trainer; a run can set others."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the run; a run can set another.")
    architectures: list[str] = Field(
        default=[],
        exclude_if=lambda named: not named,
        description=(
            "Classes that models are rebuilt from, as 'package.module:Class', besides those of the"
            " framework, of this package, and of the trainer's package; models that are sent over"
            " HTTP may name no others."
        ),
    )
    inputs: Literal["row", "pixel", "patch", "window", "image"] | None = Field(
        default=None,
        description=(
            "How a sample is shaped; as the dataset reads it if not given. 'pixel' is a patch's"
            " centre."
        ),
    )
    bands: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Names of the bands or features it takes, in this order; all if not given.",
    )
    scaling: DeclaredScaling = Field(
        default="none",
        description=(
            "How they are scaled before it sees them, with figures of the training split: none,"
            " standardize, minmax, or NAME: METHOD for each ('*' is any other), where a method may"
            " also be figures of one's own: {minimum, maximum} or {mean, stddev}."
        ),
    )
    compute: Compute = Field(default=Compute(), description="What one training step may use.")
    gates: list[Gate] = Field(
        default=[], description="Rules to pass for promotion; none means none."
    )
    approval: Approval = Field(
        default=Approval(),
        exclude_if=lambda own: own == Approval(),
        description="Whether promotion needs an approver's decision, and whose.",
    )
    parity: Parity = Field(
        default=Parity(), description="How near the ONNX model must come to the trained one."
    )
    auto_train: bool = Field(default=False, description="Train on every new data version.")
    auto_promote: bool = Field(
        default=False,
        description=(
            "Promote after training if the gates pass; after approval where that is required."
        ),
    )

    @field_validator("name", "dataset")
    @classmethod
    def _name(cls, name: str) -> str:
        with refusing(NameRefused):
            return check_name(name)

    @field_validator("architectures")
    @classmethod
    def _classes(cls, named: list[str]) -> list[str]:
        for name in named:
            if not CLASS.fullmatch(name):
                raise ValueError(
                    f"{name!r} is not the name of a class; write it as 'package.module:Class'"
                )
        return named

    @field_validator("params")
    @classmethod
    def _params(cls, params: dict[str, object]) -> dict[str, object]:
        return {name: written(value) for name, value in params.items()}

    @field_validator("bands")
    @classmethod
    def _each_once(cls, bands: list[str] | None) -> list[str] | None:
        if bands and len(set(bands)) < len(bands):
            raise ValueError("bands: a name occurs twice; take each band once")
        return bands

    @field_validator("scaling")
    @classmethod
    def _scales_what_it_takes(
        cls, scaling: DeclaredScaling, info: ValidationInfo
    ) -> DeclaredScaling:
        bands = info.data.get("bands")
        with refusing(SpecificationError):
            if bands:
                methods_of(scaling, bands)
        return scaling

    @field_validator("trainer")
    @classmethod
    def _trainer(cls, trainer: str) -> str:
        with refusing(NameRefused):
            return check_function(trainer, "trainer")

    @field_validator("gates")
    @classmethod
    def _metrics_fit_task(cls, gates: list[Gate], info: ValidationInfo) -> list[Gate]:
        task = info.data.get("task")
        known = NUMBER_METRICS if task == "regression" else CLASS_METRICS
        for gate in gates:
            of_a_class = task != "regression" and class_metric(gate.metric)
            if task and gate.metric not in (*known, *CEILING_METRICS) and not of_a_class:
                raise ValueError(
                    f"task {task!r} has no metric {gate.metric!r}; it has {', '.join(known)}"
                )
        return gates
