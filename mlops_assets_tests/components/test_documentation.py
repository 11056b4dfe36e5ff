"""Dagster's docs tab: every attribute has a description and every layout an example."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_assets import components
from mlops_assets.components.project.declarations import read_declarations
from mlops_assets.components.project.documentation import PACKAGE, component_documentation

NAMES = [name for name in components.__all__ if isinstance(getattr(components, name), type)]


@pytest.fixture(scope="module")
def documented() -> dict[str, dict[str, Any]]:
    """Our components by name, as Dagster's web server gets them."""
    found = {
        kind["name"]: dict(kind)
        for package in component_documentation()
        for kind in package["componentTypes"]
    }
    return {name: found[f"{PACKAGE}.{name}"] for name in NAMES}


def attributes(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All attributes of a schema, those of nested models as `Model.attribute`."""
    models = {"": schema, **{f"{name}.": model for name, model in schema["$defs"].items()}}
    return {
        f"{prefix}{name}": attribute
        for prefix, model in models.items()
        for name, attribute in model.get("properties", {}).items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_attribute_has_a_description(
    documented: dict[str, dict[str, Any]], name: str
) -> None:
    found = attributes(json.loads(documented[name]["schema"]))
    assert len(found) > 5
    assert [key for key, attribute in found.items() if not attribute.get("description")] == []


def test_required_attributes_and_values_are_named(documented: dict[str, dict[str, Any]]) -> None:
    found = attributes(json.loads(documented["TrainingDataset"]["schema"]))
    assert (found["name"]["required"], found["title"]["required"]) == (True, False)
    assert found["Source.layout"]["description"].endswith(
        "One of: 'table', 'image_folder', 'scenes', 'stac'."
    )
    # it names them itself
    assert "One of" not in found["Split.method"]["description"]
    roles = found["Provider.roles"]["description"]
    assert roles.endswith("One of: 'licensor', 'producer', 'processor', 'host'.")


def test_examples_are_valid_declarations_of_every_layout(
    documented: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    # the function of a ProcessedDataset is not of this package
    names = ("TrainedModel", "TrainingDataset", "PredictionArea", "ModelService")
    text = "---\n".join(documented[name]["example"] for name in names)
    # as Dagster's own samples have instead of values
    assert "'...'" not in text
    (tmp_path / "defs.yaml").write_text(text)
    declared = read_declarations(tmp_path)
    assert declared.problems == []
    sources = [
        document["attributes"]["source"]["layout"]
        for document in yaml.safe_load_all(documented["TrainingDataset"]["example"])
    ]
    assert sources == ["table", "image_folder", "scenes", "scenes", "stac"]
