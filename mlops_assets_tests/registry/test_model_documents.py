"""Documents of a model version are read as types, and written as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlops_assets.errors import IntegrityError
from mlops_assets.registry.model_documents import Metrics, OutputClass, Signature
from mlops_assets_tests.registry.rows import model_version

SCALED = (
    '{"view": "row", "shape": [2], "features": ["a", "b"], "source_features": ["b", "a", "c"],'
    ' "scaling": [{"type": "z-score", "mean": 1, "stddev": 0.5}, {"type": "scale", "value": 1.0}],'
    ' "classes": [{"name": "wheat", "value": 3}, {"name": "none", "value": "none"}],'
    ' "apply_scale": true, "architecture": "Net", "parameters": 21}'
)
PLAIN = (
    '{"view": "window", "shape": [4, 8, 8], "features": ["B02"], "scaling": null, "classes": null,'
    ' "architecture": "Net", "parameters": null, "of_a_later_release": {"kept": [1, 2.0]}}'
)


@pytest.mark.parametrize("text", [SCALED, PLAIN])
def test_a_signature_is_written_as_it_was_read(text: str) -> None:
    assert json.dumps(Signature.model_validate_json(text).document()) == text


def test_fields_that_a_signature_does_not_have_have_defaults() -> None:
    signature = Signature.model_validate_json(PLAIN)
    assert signature.source_features == signature.features == ["B02"]
    assert not signature.apply_scale
    assert Signature.model_validate_json(SCALED).classes == [
        OutputClass(name="wheat", value=3),
        OutputClass(name="none", value="none"),
    ]


@pytest.mark.parametrize(
    ("signature", "fields"),
    [
        ({"view": "row", "shape": [1], "features": "a"}, "features, source_features, architecture"),
        ({**json.loads(SCALED), "scaling": [{"mean": None}]}, "scaling"),
        ([1], "all of it"),
    ],
)
def test_a_row_with_another_document_is_named(signature: Any, fields: str) -> None:
    row = model_version("v1", "run-1")
    row.signature = signature
    with pytest.raises(IntegrityError, match=f"crops@v1 .* check {fields}; restore"):
        Signature.of(row)


def test_classes_without_test_samples_are_unmeasured() -> None:
    rows = [{"class": "wheat", "samples": 3}, {"class": "maize", "samples": 0}, {"class": "oats"}]
    assert Metrics.model_validate({"per_class": rows, "metrics": {}}).unmeasured == ["maize"]
    assert Metrics.model_validate({}).unmeasured == []
