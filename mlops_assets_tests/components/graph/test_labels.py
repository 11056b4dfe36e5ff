from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.components import TrainedModel, TrainingDataset
from mlops_assets.components.graph.kinds import landing_kinds, workspace_kinds
from mlops_assets.components.graph.labels import declared
from mlops_assets.components.trained_model import TrainedModelAttributes
from mlops_assets.components.training_dataset import TrainingDatasetAttributes
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.specification.source import Source
from mlops_assets.models.specification import ModelSpecification
from mlops_assets_tests.components.project import model_specification
from mlops_assets_tests.conftest import table_specification
from resources import MlflowMirror, StoreResource

LABELS = {"owners": ["ada@farm.org", "team:eo"], "tags": {"domain": "food"}}


def built(component: type[dg.Component], attributes: dict[str, object]) -> dg.Definitions:
    """The definitions of a component with these attributes, with the resources they need."""
    model = component.get_model_cls()
    assert model is not None
    context = dg.ComponentTree.for_test().load_context
    loaded = component.load(model.model_validate(attributes), context)
    resources = dg.Definitions(resources={"store": StoreResource(), "mlflow": MlflowMirror()})
    return dg.Definitions.merge(loaded.build_defs(context), resources)


def test_owners_and_tags_are_on_every_asset_of_a_dataset_and_of_a_model() -> None:
    dataset = table_specification().model_dump(mode="json") | LABELS
    model = model_specification().model_dump(mode="json") | LABELS | {"kinds": ["pytorch", "eo"]}
    nodes = {
        node.key.to_user_string(): node
        for definitions in (built(TrainingDataset, dataset), built(TrainedModel, model))
        for node in definitions.resolve_asset_graph().asset_nodes
        if node.is_materializable or node.is_observable
    }
    assert len(nodes) == 10
    for node in nodes.values():
        assert node.owners == LABELS["owners"]
        assert node.tags["domain"] == "food"
    assert nodes["crop_forest/trained_model"].kinds == {"pytorch", "eo"}
    assert nodes["fields/training_data"].kinds == {"table", "file"}


def test_what_is_stored_with_versions_and_runs_has_no_labels() -> None:
    dataset = table_specification().model_dump(mode="json")
    found = declared(
        TrainingDatasetAttributes.model_validate(dataset | LABELS), DatasetSpecification
    )
    assert found == table_specification()
    assert found.committed() == table_specification().committed()
    params = {"estimator": "sklearn.svm.SVC", "class_weight": {0: 1, 1: 5}}
    model = {**model_specification().model_dump(mode="json"), "params": params}
    declared_model = declared(
        TrainedModelAttributes.model_validate(model | LABELS), ModelSpecification
    )
    assert declared_model == model_specification(params=params)


@pytest.mark.parametrize(
    ("url", "kinds"),
    [
        ("landing/fields", {"gcs"}),
        ("/data/fields", {"file"}),
        ("s3://bucket/fields", {"s3"}),
        ("az://container/fields", {"azure"}),
        ("stac+https://catalog.org/api", {"https", "stac"}),
    ],
)
def test_a_landing_is_of_the_kind_of_its_storage(
    url: str, kinds: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_WORKSPACE", "gs://bucket/workspace")
    monkeypatch.setenv("MLOPS_REGISTRY", "postgresql+psycopg://host/registry")
    layout = "stac" if url.startswith("stac") else "image_folder"
    assert landing_kinds(Source.model_validate({"url": url, "layout": layout})) == kinds


def test_settings_that_cannot_be_used_are_an_error_of_runs_and_not_of_the_graph(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLOPS_WORKSPACE", "gs://bucket/without-a-registry")
    assert workspace_kinds() == set()
