"""The JSON schemas of STAC extensions, as the tests of records validate with them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from mlops_assets_tests.conftest import require_shared_data


def validator(uri: str, definition: str | None = None) -> Draft7Validator:
    """Return the validator of an extension, or of one definition of it, or skip the test.

    What its schema takes from other schemas that are not at hand is left open.
    """
    schemas = _schemas()
    if uri not in schemas:
        pytest.skip(f"needs the schema {uri}, which is not in the test data")
    chosen = schemas[uri] if definition is None else {"$ref": f"{uri}#/$defs/{definition}"}
    resources = [(own, DRAFT7.create_resource(schema)) for own, schema in schemas.items()]
    # attrs hides the argument's name from mypy
    registry = Registry(retrieve=_open).with_resources(resources)  # type: ignore[call-arg]
    return Draft7Validator(chosen, registry=registry)


def uris() -> set[str]:
    """Return the extensions whose schemas are at hand, or skip the test."""
    return set(_schemas())


def _schemas() -> dict[str, Any]:
    """Schemas by their `$id`."""
    folder = require_shared_data("stac", "schemas")
    found = (json.loads(path.read_text()) for path in sorted(folder.glob("*/schema.json")))
    return {str(schema["$id"]).rstrip("#"): schema for schema in found}


def _open(uri: str) -> Resource[Any]:
    """A schema that takes everything, at the places that others refer to."""
    places = {
        "processing/v1.1.0": ("definitions", "fields", "properties", "processing:expression"),
        "raster/v1.1.0": ("definitions", "bands", "items", "properties", "data_type"),
    }
    # what may be null is an object elsewhere in the same choice
    stub: dict[str, Any] = {"type": "object"} if "processing" in uri else {}
    place = next((own for name, own in places.items() if f"/{name}/" in uri), ())
    for part in reversed(place):
        stub = {part: stub}
    return DRAFT7.create_resource(stub)
