from __future__ import annotations

import dagster as dg

from mlops_assets.components.events.presentation import MAX_COLUMNS, schema_metadata
from mlops_assets.datasets.versions.columns import Column


def test_a_schema_of_very_many_features_still_has_the_label() -> None:
    features = [Column(f"f{i}", "float32", "feature", "") for i in range(MAX_COLUMNS + 100)]
    columns = [*features, Column("crop", "class", "label", "", rules=("one of a, b",))]
    schema = schema_metadata(columns, rows=7)["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchemaMetadataValue)
    names = [column.name for column in schema.schema.columns]
    assert len(names) == MAX_COLUMNS and names[-1] == "crop"
    assert schema.schema.constraints.other == ["101 more features are not listed"]
