"""Properties that filters and orders can name, as JSON Schema.

They are the same for everyone, so that they tell nothing of records that are not visible. Filters
may name any other property, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from mlops_assets.text.json_values import Json, JsonObject

_TEXT: JsonObject = {"type": "string"}
_NUMBER: JsonObject = {"type": "number"}
_TIME: JsonObject = {"type": "string", "format": "date-time"}
_TEXTS: JsonObject = {"type": "array", "items": {"type": "string"}}
KNOWN: dict[str, tuple[str, JsonObject]] = {
    "id": ("Id", _TEXT),
    "collection": ("Collection", _TEXT),
    "geometry": ("Geometry", {"$ref": "https://geojson.org/schema/Geometry.json"}),
    "datetime": ("Time", _TIME),
    "start_datetime": ("Start", _TIME),
    "end_datetime": ("End", _TIME),
    "created": ("Created", _TIME),
    "updated": ("Updated", _TIME),
    "title": ("Title", _TEXT),
    "description": ("Description", _TEXT),
    "keywords": ("Keywords", _TEXTS),
    "license": ("License", _TEXT),
    "version": ("Version", _TEXT),
    "deprecated": ("Deprecated", {"type": "boolean"}),
    "platform": ("Platform", _TEXT),
    "constellation": ("Constellation", _TEXT),
    "instruments": ("Instruments", _TEXTS),
    "gsd": ("Ground sample distance in metres", _NUMBER),
    "eo:cloud_cover": ("Cloud cover in percent", {**_NUMBER, "minimum": 0, "maximum": 100}),
    "proj:code": ("Projection", _TEXT),
    "label:type": ("Type of labels", _TEXT),
    "label:tasks": ("Tasks that labels are for", _TEXTS),
    "ml-aoi:split": ("Split", {"type": "string", "enum": ["train", "test", "validate"]}),
    "mlm:name": ("Model", _TEXT),
    "mlm:architecture": ("Architecture", _TEXT),
    "mlm:framework": ("Framework", _TEXT),
    "mlm:framework_version": ("Version of the framework", _TEXT),
    "mlm:tasks": ("Tasks", _TEXTS),
    "mlm:accelerator": ("Accelerator", _TEXT),
    "mlm:total_parameters": ("Number of parameters", {"type": "integer", "minimum": 0}),
    "mlm:memory_size": ("Memory in bytes", {"type": "integer", "minimum": 0}),
    "mlm:pretrained": ("Pretrained", {"type": "boolean"}),
    "mlops:data_version": ("Data version that the model was trained on", _TEXT),
    "mlops:run_id": ("Training run", _TEXT),
}
_UNSORTED = ("geometry", "keywords", "instruments", "label:tasks", "mlm:tasks")


def schema(url: str, title: str, found: Mapping[str, Json] | None = None) -> JsonObject:
    """Return the properties that filters can name.

    Args:
        url: of the schema.
        title: of the schema.
        found: name → example of the properties that a Collection's Items have; all that are known
            if not given.
    """
    columns = ("id", "collection", "geometry", "datetime")
    names = KNOWN if found is None else dict.fromkeys((*columns, *sorted(found)))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": url,
        "type": "object",
        "title": title,
        "properties": {
            name: (
                {"title": KNOWN[name][0], **KNOWN[name][1]}
                if name in KNOWN
                else {"title": name, **_type_of((found or {})[name])}
            )
            for name in names
        },
        "additionalProperties": True,
    }


def sortables(url: str, title: str, found: Mapping[str, Json] | None = None) -> JsonObject:
    """Return the properties that Items can be sorted by, as `schema` does."""
    document = schema(url, title, found)
    properties = cast(JsonObject, document["properties"])
    kept = {name: value for name, value in properties.items() if name not in _UNSORTED}
    return {**document, "properties": kept}


def _type_of(value: Json) -> JsonObject:
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int | float):
        return {"type": "number"}
    if isinstance(value, str):
        return {"type": "string"}
    return {"type": "array" if isinstance(value, list) else "object"}
