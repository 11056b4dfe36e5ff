"""The content of Dagster's docs tab: our components with their attributes and complete examples.

Nothing of a project is loaded here.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from typing import Any

from dagster.components.core.package_entry import (
    DG_PLUGIN_ENTRY_POINT_GROUP,
    discover_package_objects,
)
from dagster.components.core.snapshot import get_package_entry_snap
from dagster_shared.serdes.objects.package_entry import (
    ComponentTypeNamespaceJson,
    json_for_all_components,
)

from mlops_assets.components.examples import examples

PACKAGE = "mlops_assets.components"


def component_documentation() -> list[ComponentTypeNamespaceJson]:
    """Return the component types of the libraries that declarations have imported.

    `load_from_defs_folder` imports every installed component library for it, whether it is used or
    not; `dagster-aws` alone takes as long as Dagster itself.
    """
    registered = importlib.metadata.entry_points(group=DG_PLUGIN_ENTRY_POINT_GROUP)
    used = sorted({entry.value for entry in registered if entry.value in sys.modules})
    snapshots = {
        key.to_typename(): get_package_entry_snap(key, entry)
        for key, entry in discover_package_objects(used).items()
    }
    found = json_for_all_components(list(snapshots.values()))
    for kind in (kind for package in found for kind in package["componentTypes"]):
        package_name, _, name = kind["name"].rpartition(".")
        if package_name == PACKAGE:
            # Dagster's own has '...' for every value and sorts the attributes by name
            kind["example"] = examples(name) or kind["example"]
            kind["schema"] = json.dumps(_shown(snapshots[kind["name"]].component_schema or {}))
    return found


def _shown(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON schema with what the docs tab would leave out.

    The tab shows name, type, description and default of an attribute, but not the values of an
    enumeration, and that it is required only where the attribute itself has this key.
    """
    definitions = schema.get("$defs", {})
    for model in (schema, *definitions.values()):
        for name, attribute in model.get("properties", {}).items():
            attribute["required"] = name in model.get("required", ())
            description = attribute.get("description", "")
            values = [repr(value) for value in _values(attribute, definitions)]
            if not all(value.strip("'") in description for value in values):
                attribute["description"] = f"{description} One of: {', '.join(values)}.".strip()
    return schema


def _values(attribute: dict[str, Any], definitions: dict[str, Any]) -> list[object]:
    """Return the values of an attribute that is an enumeration, one of several types, or a list."""
    if reference := attribute.get("$ref"):
        attribute = definitions[reference.rpartition("/")[2]]
    options = [attribute, *attribute.get("anyOf", ()), attribute.get("items", {})]
    return [value for option in options for value in option.get("enum", ())]
