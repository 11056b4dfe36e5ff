"""Documents that callers of the API send, validated on arrival."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat

from mlops_assets.strict import Strict

MAX_POINTS = 20_000  # a request
Text = Annotated[str, Field(min_length=1, max_length=255)]
Number = Annotated[int, Field(ge=0, lt=2**31)]
Step = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Code(Strict):
    """The code of a run."""

    version: Text = "unknown"
    changes: str | None = Field(default=None, max_length=1 << 20)


class Start(Strict):
    """A run that starts, or continues."""

    run_id: Text | None = None
    model: Text
    data: Text
    parameters: dict[Text, Any] = Field(default={})
    seed: Number = 0
    tags: dict[Text, Text] = Field(default={})
    declared: dict[str, Any] = Field(default={})
    trainer: Text = "elsewhere"
    code: Code = Code()
    environment: dict[str, Any] = Field(default={})
    hardware: dict[str, Any] = Field(default={})
    host: Text = "unknown"
    pid: Number = 0
    created_by: Text = "unknown"


class Points(Strict):
    """Points of a run.

    Each is its number within the run, metric, step, value, and time, in seconds since the epoch.
    """

    points: Annotated[
        list[tuple[Number, Text, Step, FiniteFloat, FiniteFloat]], Field(max_length=MAX_POINTS)
    ]


class Finish(Strict):
    """How a run ended.

    Attributes:
        status: whether there is a model to publish.
        error: what happened.
        framework: of the native artefact that was sent, if it was no ONNX file.
        points: how many points the run has logged in all, of which none may be missing.
        phases: name → seconds.
        usage: what it took.
        seconds: how long it took.
    """

    status: Literal["succeeded", "failed", "canceled"]
    error: str | None = Field(default=None, max_length=1 << 20)
    framework: Text | None = None
    points: Number | None = None
    phases: dict[Text, FiniteFloat] = Field(default={})
    usage: dict[Text, FiniteFloat] = Field(default={})
    seconds: FiniteFloat | None = None
