"""The OpenAPI document of the HTTP API, as far as FastAPI does not derive it from the routes.

FastAPI documents no body that it does not read itself, and no problem documents.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mlops_assets.hub.rest.data.schemas import CommitStart, TagGiven, VisibilityChange
from mlops_assets.hub.rest.errors import PROBLEM_TYPE
from mlops_assets.hub.rest.models.schemas import (
    AliasMove,
    Deprecation,
    ModelVisibilityChange,
    Rollback,
    VersionDecision,
)
from mlops_assets.hub.rest.runs.launch_schemas import TrainingStart
from mlops_assets.hub.rest.runs.schemas import RunNoteText, RunTagChange
from mlops_assets.hub.rest.schemas import Problem, RunFinish, RunPoints, RunStart
from mlops_assets.text.json_values import JsonObject

_REFERENCE = "#/components/schemas/{model}"
_BEARER = "bearer"


class DocumentedApp(FastAPI):
    """A FastAPI app whose OpenAPI document has request bodies, problems and bearer tokens."""

    def openapi(self) -> dict[str, Any]:
        """Return the document, with what is added to FastAPI's own once it is made."""
        document = super().openapi()
        if "security" not in document:
            _, definitions = models_json_schema(
                [
                    (RunStart, "validation"),
                    (RunPoints, "validation"),
                    (RunFinish, "validation"),
                    (TrainingStart, "validation"),
                    (VersionDecision, "validation"),
                    (AliasMove, "validation"),
                    (RunNoteText, "validation"),
                    (RunTagChange, "validation"),
                    (CommitStart, "validation"),
                    (TagGiven, "validation"),
                    (VisibilityChange, "validation"),
                    (Deprecation, "validation"),
                    (Rollback, "validation"),
                    (ModelVisibilityChange, "validation"),
                    (Problem, "serialization"),
                ],
                ref_template=_REFERENCE,
            )
            components = document["components"]
            components["schemas"].update(definitions["$defs"])
            components["securitySchemes"] = {_BEARER: {"type": "http", "scheme": "bearer"}}
            document["security"] = [{_BEARER: []}]
        return document


def json_body(model: type[BaseModel]) -> JsonObject:
    """Return the documentation of a JSON body."""
    return {"requestBody": {"required": True, "content": {"application/json": _schema(model)}}}


def file_body(media_type: str) -> JsonObject:
    """Return the documentation of an uploaded file with its checksum."""
    return {
        "parameters": [
            {
                "name": "Content-Digest",
                "in": "header",
                "required": True,
                "description": "SHA-256 of the body (RFC 9530).",
                "schema": {"type": "string", "pattern": "sha-256=:[A-Za-z0-9+/=]{44}:"},
            }
        ],
        "requestBody": {"required": True, "content": {media_type: {}}},
    }


def binary_response(description: str) -> dict[str, object]:
    """Return the documentation of a response that is a file."""
    return {"description": description, "content": {"application/octet-stream": {}}}


def problems(*statuses: int) -> dict[int | str, dict[str, object]]:
    """Return the documentation of responses that are problem documents."""
    return {status: _problem(HTTPStatus(status).phrase) for status in statuses}


def any_problem() -> dict[int | str, dict[str, object]]:
    """Return the documentation of the problems that every operation has."""
    return {**problems(401, 403, 503), "default": _problem("Any other problem")}


def _problem(description: str) -> dict[str, object]:
    return {"description": description, "content": {PROBLEM_TYPE: _schema(Problem)}}


def _schema(model: type[BaseModel]) -> JsonObject:
    return {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}


# of routes that read a document from the body
DOCUMENT_PROBLEMS = problems(400, 413, 415, 422)
