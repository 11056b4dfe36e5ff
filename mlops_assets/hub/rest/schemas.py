"""Request and response documents of the HTTP API, validated by pydantic.

They are also the schemas of `/api/v1/openapi.json`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, FiniteFloat, JsonValue

from mlops_assets.models.lifecycle import Outcome
from mlops_assets.strict import Strict

MAX_POINTS = 20_000  # a request
Text = Annotated[str, Field(min_length=1, max_length=255)]
Number = Annotated[int, Field(ge=0, lt=2**31)]
Step = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Code(Strict):
    """The code of a run.

    Attributes:
        version: commit of its repository, or a hash of the script.
        changes: uncommitted changes, as a patch.
    """

    version: Text = "unknown"
    changes: str | None = Field(default=None, max_length=1 << 20)


class RunStart(Strict):
    """A run that starts, or continues.

    Attributes:
        run_id: UUID in lower case; the server assigns one if it is not given.
        model: name of the model.
        data: `dataset` or `dataset@version`; the newest version if none is given.
        parameters: hyperparameters.
        seed: random seed.
        tags: name → value.
        declared: attributes of the model as in YAML, if the project does not declare it.
        trainer: name of the script or notebook.
        code: its code.
        environment: Python's version and installed packages.
        hardware: processors, memory, GPUs.
        host: name of the machine.
        pid: id of the process.
        created_by: author of the run; used with the shared token only.
    """

    run_id: Text | None = None
    model: Text
    data: Text
    parameters: dict[Text, JsonValue] = Field(default={})
    seed: Number = 0
    tags: dict[Text, Text] = Field(default={})
    declared: dict[str, JsonValue] = Field(default={})
    trainer: Text = "elsewhere"
    code: Code = Code()
    environment: dict[str, JsonValue] = Field(default={})
    hardware: dict[str, JsonValue] = Field(default={})
    host: Text = "unknown"
    pid: Number = 0
    created_by: Text = "unknown"


class RunPoints(Strict):
    """Points of a run.

    Attributes:
        points: for each point its number within the run, metric, step, value, and time in seconds
            since the epoch.
    """

    points: Annotated[
        list[tuple[Number, Text, Step, FiniteFloat, FiniteFloat]], Field(max_length=MAX_POINTS)
    ]


class RunFinish(Strict):
    """The end of a run.

    Attributes:
        status: `succeeded` if there is a model to publish.
        error: message of a failure.
        framework: framework of the uploaded native artefact; None for an ONNX file.
        points: number of points that the run has logged in all, none of which may be missing.
        phases: name → seconds.
        usage: resources used, name → number.
        seconds: duration of the run.
    """

    status: Literal["succeeded", "failed", "canceled"]
    error: str | None = Field(default=None, max_length=1 << 20)
    framework: Text | None = None
    points: Number | None = None
    phases: dict[Text, FiniteFloat] = Field(default={})
    usage: dict[Text, FiniteFloat] = Field(default={})
    seconds: FiniteFloat | None = None


class PointsReceived(BaseModel):
    """The number of points in a request, those that were already recorded included."""

    received: int


class FileReceived(BaseModel):
    """A file as the server has received it; `size` in bytes."""

    name: str
    size: int
    sha256: str


class PublicationFailure(BaseModel):
    """The error that ended a publication: name of its kind, and message."""

    error: str
    message: str


class RunState(BaseModel):
    """The state of a run.

    Attributes:
        run_id: UUID of the run.
        model: name of the model.
        data: `dataset@version`.
        status: `running`, `succeeded`, `failed` or `canceled`.
        error: message of a failure.
        model_version: version of the published model.
        attempts: number of times the run was started.
        points: number of recorded points.
        publication: `busy` while the model waits or is being published, `done`, or `interrupted`:
            then finish the run again; null if no model was sent.
        outcome: stages of the published model version; only if the publication is `done`.
        failure: reason why no model version was published; only if the publication is `done`.
        links: name → URL of each resource of the run.
    """

    run_id: str
    model: str
    data: str
    status: str
    error: str | None
    model_version: str | None
    attempts: int
    points: int
    publication: Literal["busy", "done", "interrupted"] | None
    outcome: Outcome | None = None
    failure: PublicationFailure | None = None
    links: dict[str, str]


class Problem(BaseModel):
    """A problem document (RFC 9457); `error` names the kind of error of this platform."""

    type: str
    title: str
    status: int
    detail: str
    error: str | None = None
