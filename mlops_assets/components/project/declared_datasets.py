"""The datasets that definitions declare, as the core has them."""

from __future__ import annotations

import dagster as dg

from mlops_assets.components.project.definitions import declarations_of, left_out
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.processing.declared_datasets import DeclaredDatasets
from mlops_assets.processing.specification import ProcessedDatasetSpecification


def declared_datasets(definitions: dg.Definitions) -> DeclaredDatasets:
    """Return the datasets that definitions declare, by name."""
    landing = map(DatasetSpecification.model_validate, declarations_of(definitions, "landing"))
    processed = map(
        ProcessedDatasetSpecification.model_validate, declarations_of(definitions, "processed")
    )
    return DeclaredDatasets(
        {found.name: found for found in landing},
        {found.name: found for found in processed},
        left_out(definitions),
    )
