"""The record of a model, as anybody writes it: MLM v1.3 to v1.6, or the older `ml-model`.

It is read and checked by itself here; what it says of the ONNX file and of the data is compared in
`compare`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mlops_assets.choices import Task
from mlops_assets.integrations.mlm.scaling import BandScaling, norm, value_scaling
from mlops_assets.text.json_values import JsonObject

VERSIONS = "v1.3 to v1.6"
_EXTENSION = re.compile(r"/mlm(?:-extension)?/v(\d+)\.(\d+)[^/]*/schema\.json")
_TASKS: dict[str, Task] = {
    "classification": "classification",
    "scene-classification": "classification",
    "semantic-segmentation": "semantic-segmentation",
    "segmentation": "semantic-segmentation",
    "regression": "regression",
}
# this platform does these when it reads scenes; the last only changes the data type
_READ_SO = {("numpy.pad", "symmetric")}
UNSCALE = "gdal_translate"
# formulae by which the class of a sample is found from what the model returns
_DECISIONS = re.compile(r"argmax|softmax|^label$|^value$|^identity$", re.IGNORECASE)


class _Document(BaseModel):
    """A part of a record; fields that are not read are kept out."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Expression(_Document):
    """A Processing Expression; it is never evaluated."""

    format: str = ""
    expression: Any = None

    @property
    def text(self) -> str:
        """Its start, for messages."""
        return f"{self.format}: {str(self.expression)[:60]}"


def _as_list(value: object) -> object:
    return [value] if isinstance(value, dict) else (value or [])


def _name_of(value: object) -> object:
    """Return the name of a band or variable reference."""
    if not isinstance(value, dict):
        return value
    if value.get("expression") is not None:
        raise ValueError(
            f"{value.get('name')} is computed by an expression ({value.get('format')}), which is"
            " not evaluated; land it as a band of the dataset, and name that"
        )
    return value.get("name")


Expressions = Annotated[list[Expression], BeforeValidator(_as_list)]
Names = list[Annotated[str, BeforeValidator(_name_of)]]


class Structure(_Document):
    """Shape, meaning of the axes, and type of an array; -1 is any size."""

    shape: list[int]
    dim_order: list[str]
    data_type: str

    @model_validator(mode="after")
    def _one_name_an_axis(self) -> Self:
        if len(self.shape) != len(self.dim_order):
            raise ValueError(
                f"shape has {len(self.shape)} axes and dim_order {len(self.dim_order)}; name each"
            )
        return self


class ModelInput(_Document):
    """A Model Input Object."""

    name: str = ""
    input: Structure
    bands: Names = []
    variables: Names = Field(default=[], validate_default=True)
    value_scaling: Annotated[list[dict[str, Any] | None], BeforeValidator(_as_list)] = []
    norm_type: str | None = None
    norm_by_channel: bool | None = None
    norm_clip: list[float] | None = None
    statistics: Annotated[list[dict[str, Any]], BeforeValidator(_as_list)] = []
    resize_type: str | None = None
    pre_processing_function: Expressions = []

    @field_validator("variables")
    @classmethod
    def _names_what_it_takes(cls, variables: list[str], info: ValidationInfo) -> list[str]:
        # what is wrong with the bands is reported there
        names = info.data.get("bands", ["unknown"]) or variables
        if not names:
            raise ValueError(
                "neither bands nor variables are named; name those of the dataset, in the order"
                " that the model takes them"
            )
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} occurs twice; a model takes each band once here")
        return variables

    @field_validator("value_scaling")
    @classmethod
    def _known_scaling(cls, entries: list[dict[str, Any] | None]) -> list[dict[str, Any] | None]:
        value_scaling(entries)
        return entries

    @field_validator("pre_processing_function")
    @classmethod
    def _known_steps(cls, steps: list[Expression]) -> list[Expression]:
        for step in steps:
            if step.format != UNSCALE and not any(
                step.format == format_ and mode in str(step.expression)
                for format_, mode in _READ_SO
            ):
                raise ValueError(
                    f"{step.text!r} is not evaluated; put it into the ONNX graph, or do it to the"
                    " dataset, and leave it out of the record"
                )
        return steps

    @model_validator(mode="after")
    def _known_norm(self) -> Self:
        self.scaling()
        return self

    @property
    def names(self) -> list[str]:
        """The bands or variables that it takes, in order."""
        return self.bands or self.variables

    def scaling(self) -> tuple[BandScaling, ...]:
        """Return what a caller must apply: one for each band, one for all, or none."""
        if self.value_scaling:
            return value_scaling(self.value_scaling)
        if self.norm_type is None:
            return ()
        by_channel = self.norm_by_channel is not False
        return norm(self.norm_type, self.statistics, self.norm_clip or [], by_channel)


class RecordedClass(_Document):
    """A Class Object: a value, and the name of its class."""

    value: int
    name: str = ""
    title: str | None = None

    @property
    def names(self) -> list[str]:
        """What it may be called."""
        return [name for name in (self.title, self.name) if name]


class ModelOutput(_Document):
    """A Model Output Object."""

    name: str = ""
    result: Structure
    classes: list[RecordedClass] = Field(
        default=[],
        validation_alias=AliasChoices("classification:classes", "classification_classes"),
    )
    post_processing_function: Expressions = []
    unit: str = ""

    @field_validator("post_processing_function")
    @classmethod
    def _known_steps(cls, steps: list[Expression]) -> list[Expression]:
        for step in steps:
            if not _DECISIONS.search(str(step.expression)):
                raise ValueError(
                    f"{step.text!r} is not evaluated; put it into the ONNX graph, or leave it out"
                    " if the class with the largest score is the one"
                )
        return steps

    @property
    def gives_indices(self) -> bool:
        """True if it states that a class is the one at an index, and not that of a value.

        The records of this platform do.
        """
        return any(
            step.expression in ("label", "scores.argmax(axis=1)")
            for step in self.post_processing_function
        )


class _Properties(_Document):
    """The properties of an MLM Item, as far as they are read."""

    name: str = Field(alias="mlm:name", min_length=1)
    architecture: str = Field(alias="mlm:architecture", default="")
    tasks: list[str] = Field(alias="mlm:tasks", min_length=1)
    inputs: list[ModelInput] = Field(alias="mlm:input", min_length=1, max_length=1)
    outputs: list[ModelOutput] = Field(alias="mlm:output", min_length=1)
    hyperparameters: dict[str, Any] = Field(alias="mlm:hyperparameters", default={})
    apply_scale: bool | None = Field(alias="mlops:apply_scale", default=None)
    description: str | None = None
    license: str | None = None

    @field_validator("tasks")
    @classmethod
    def _known_task(cls, tasks: list[str]) -> list[str]:
        _task_of(tasks)
        return tasks


@dataclass(frozen=True)
class ModelRecord:
    """A record of a model.

    Attributes:
        name: of the model there.
        architecture: of the model; may be empty.
        task: of this platform, the first that the record has.
        tasks: all that it has.
        input: None if the record's extension does not state it.
        outputs: as above, empty.
        hyperparameters: of its training, as JSON values.
        apply_scale: whether it takes physical values; None if it does not state that.
        description: for people; None if there is none.
        license: SPDX identifier or `other`.
        assumed: what the record does not state, and is assumed.
    """

    name: str
    architecture: str
    task: Task
    tasks: list[Task]
    input: ModelInput | None
    outputs: list[ModelOutput]
    hyperparameters: JsonObject
    apply_scale: bool | None = None
    description: str | None = None
    license: str | None = None
    assumed: list[str] = field(default_factory=list)


def parse_record(document: JsonObject) -> tuple[ModelRecord | None, list[str]]:
    """Return a record, or all that is missing or invalid in it.

    Args:
        document: an Item, or its properties only.
    """
    properties = document.get("properties", document)
    if not isinstance(properties, dict):
        return None, ["properties: are missing"]
    extensions = document.get("stac_extensions")
    named = [str(uri) for uri in extensions] if isinstance(extensions, list) else []
    has_mlm = any(name.startswith("mlm:") for name in properties)
    if not has_mlm and any(name.startswith("ml-model:") for name in properties):
        return _of_ml_model(document, properties)
    problems = [
        f"stac_extensions: MLM v{found[1]}.{found[2]} is not read; write the record by {VERSIONS}"
        for uri in named
        if (found := _EXTENSION.search(uri)) and not (1, 3) <= (int(found[1]), int(found[2])) < (2,)
    ]
    try:
        read = _Properties.model_validate(properties)
    except ValidationError as error:
        return None, problems + [_problem(entry) for entry in error.errors(include_url=False)]
    if problems:
        return None, problems
    record = ModelRecord(
        name=read.name,
        architecture=read.architecture,
        task=_task_of(read.tasks)[0],
        tasks=_task_of(read.tasks),
        input=read.inputs[0],
        outputs=read.outputs,
        hyperparameters=read.hyperparameters,
        apply_scale=read.apply_scale,
        description=read.description,
        license=read.license,
    )
    return record, []


def _of_ml_model(
    document: JsonObject, properties: JsonObject
) -> tuple[ModelRecord | None, list[str]]:
    """Return a record by the extension `ml-model`, which states no inputs and outputs.

    https://github.com/stac-extensions/mlm/blob/main/docs/legacy/ml-model.md
    """
    prediction = properties.get("ml-model:prediction_type")
    problems = []
    try:
        tasks = _task_of([str(prediction)])
    except ValueError as error:
        problems.append(f"ml-model:prediction_type: {error}")
    name = document.get("id") or properties.get("title")
    if not isinstance(name, str):
        problems.append("id: is missing")
    if problems:
        return None, problems
    described, licensed = properties.get("description"), properties.get("license")
    return (
        ModelRecord(
            name=str(name),
            architecture=str(properties.get("ml-model:architecture") or ""),
            task=tasks[0],
            tasks=tasks,
            input=None,
            outputs=[],
            hyperparameters={},
            description=described if isinstance(described, str) else None,
            license=licensed if isinstance(licensed, str) else None,
            assumed=[
                "the record is of the deprecated extension ml-model, which states neither inputs"
                " nor outputs; it was converted to MLM"
            ],
        ),
        [],
    )


def _task_of(tasks: list[str]) -> list[Task]:
    """Return tasks as this platform names them.

    Raises:
        ValueError: none of them is a task of this platform.
    """
    known = list(dict.fromkeys(_TASKS[task] for task in tasks if task in _TASKS))
    if not known:
        raise ValueError(
            f"{', '.join(tasks)} is not a task of this platform; it evaluates {', '.join(_TASKS)}"
        )
    return known


def _problem(entry: Any) -> str:
    where = ".".join(str(part) for part in entry["loc"])
    if entry["type"] == "missing":
        return f"{where}: is missing"
    if entry["type"] == "too_long":
        return f"{where}: a model has one input here, and the record describes several"
    return f"{where}: {str(entry['msg']).removeprefix('Value error, ')}"
