"""The MLM schema, as the tests of records validate with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from referencing import Registry as Schemas
from referencing.jsonschema import DRAFT7

from mlops_assets_tests.conftest import require_shared_data


def mlm_validator(definition: str | None = None) -> Draft7Validator:
    """The MLM schema v1.5.2 as if it were v1.6.0, or one definition of it.

    What it takes from others is left open.
    """
    path: Path = require_shared_data("stac", "mlm", "json-schema", "schema.json")
    schema = json.loads(path.read_text().replace("/mlm/v1.5.2/", "/mlm/v1.6.0/"))
    places = {
        "classification/v1.1.0": ("definitions", "fields", "properties", "classification:classes"),
        "processing/v1.1.0": ("definitions", "fields", "properties", "processing:expression"),
        "raster/v1.1.0": ("definitions", "bands", "items", "properties", "data_type"),
    }
    stubs = []
    for name, place in places.items():
        # the schema itself allows null
        stub: Any = {"type": "object"} if name.startswith("processing") else {}
        for part in reversed(place):
            stub = {part: stub}
        uri = f"https://stac-extensions.github.io/{name}/schema.json"
        stubs.append((uri, DRAFT7.create_resource(stub)))
    whole = (schema["$id"], DRAFT7.create_resource(schema))
    chosen = schema if definition is None else {"$ref": f"{schema['$id']}#/$defs/{definition}"}
    return Draft7Validator(chosen, registry=Schemas().with_resources([*stubs, whole]))
