"""The catalogue as a reader finds it.

Valid documents, links that resolve, checksums that match, versions in order.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rasterio
from pystac.validation import validate_dict

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import SettingsError
from mlops_assets.names import Reference
from mlops_assets.paths import (
    CATALOG_ROOT,
    Owner,
    dataset_collection_key,
    model_collection_key,
    model_folder,
    model_item_key,
)
from mlops_assets.principals import local
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.stac.catalog import (
    CLASSIFICATION,
    DATACUBE,
    EO,
    FILE,
    LABEL,
    ML_AOI,
    PROJECTION,
    RASTER,
    SCIENTIFIC,
    TABLE,
    VERSION,
)
from mlops_assets.stac.dataset_items import STAC_SPLITS
from mlops_assets.stac.datasets import write_dataset_record
from mlops_assets.stac.extents import WHOLE_WORLD
from mlops_assets.stac.mlm.version import DEFAULT, schema_uri
from mlops_assets.stac.training_dml import TRAINING_DML
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import (
    crops_table,
    scenes_specification,
    table_specification,
    write_scene,
)
from mlops_assets_tests.stac.extension_schemas import validator
from mlops_assets_tests.training.example_trainers import HERE, lifecycle, model_specification

VERSION_LINKS = ("predecessor-version", "successor-version", "latest-version")
DECLARED = {
    "title": "Two scenes",
    "license": "CC-BY-4.0",
    "doi": "10.1234/scenes",
    "citation": "Somebody (2024).",
    "providers": [{"name": "Somebody", "roles": ["producer"], "url": "https://example.org"}],
    "bands": {
        "names": ["blue", "green", "red", "nir"],
        "center_wavelengths": [0.49, 0.56, 0.66, 0.84],
    },
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three versions of a table without extent and of a model on it.

    Georeferenced scenes and a net on them.
    """
    root = tmp_path_factory.mktemp("records") / "workspace"
    store = Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )
    (root / "landing/fields").mkdir(parents=True)
    for number in (1, 2, 3):
        crops_table(200 + number).to_csv(root / "landing/fields/samples.csv", index=False)
        commit(store.workspace, store.registry, table_specification(units={"ndvi_01": "1"}))
        lifecycle(store, model_specification(), f"v{number}", recorded=True)
    for name, seed in (("a", 0), ("b", 1)):
        write_scene(root / "landing/scenes", name, seed=seed, crs="EPSG:32630")
    commit(store.workspace, store.registry, scenes_specification(**DECLARED))
    lifecycle(
        store,
        model_specification("cover", dataset="scenes", trainer=f"{HERE}:network"),
        recorded=True,
    )
    write_scene(root / "landing/nowhere")
    dated = {
        "bbox": [-10, 40, -5, 45],
        "interval": ["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"],
    }
    nowhere = scenes_specification(
        "nowhere", extent={**dated, "approximate": True, "source": "a map"}
    )
    row = commit(store.workspace, store.registry, nowhere).version
    committed = CommittedDataset.open(
        store.workspace, store.registry, Reference(row.dataset, row.version)
    )
    write_dataset_record(store.workspace, store.registry, committed)
    return store


def document(store: Store, key: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.workspace.get(key))
    return found


def documents(store: Store) -> dict[str, dict[str, Any]]:
    """All STAC documents; what else lies beside them is an asset."""
    keys = sorted(store.workspace.list("catalog"))
    return {key: document(store, key) for key in keys if not key.endswith(f"/{TRAINING_DML}")}


def hrefs(store: Store, key: str, *relations: str) -> list[tuple[str, str]]:
    """(relation, key of the target) of a document's links."""
    base = posixpath.dirname(key)
    return [
        (link["rel"], posixpath.normpath(posixpath.join(base, link["href"])))
        for link in document(store, key)["links"]
        if link["rel"] in relations
    ]


def assets(store: Store) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(key of the document, key of the file, asset) of every asset in the catalogue."""
    for key, found in documents(store).items():
        for asset in found.get("assets", {}).values():
            yield (
                key,
                posixpath.normpath(posixpath.join(posixpath.dirname(key), asset["href"])),
                asset,
            )


def latest_model(store: Store, name: str) -> ModelVersion:
    return store.registry.model_version(Reference(name))


def test_the_catalogue_is_complete(store: Store) -> None:
    kinds = [found["type"] for found in documents(store).values()]
    # the root and three datasets; five data versions and two models; tables, scenes, and four model
    # versions
    assert (kinds.count("Catalog"), kinds.count("Collection"), kinds.count("Feature")) == (
        4,
        7,
        3 + 2 + 1 + 4,
    )
    assert {row.stage for row in store.registry.model_versions()} == {"recorded"}


def test_every_document_is_valid_stac(store: Store) -> None:
    for found in documents(store).values():
        assert len(validate_dict(found, extensions=[])) == 1


def test_every_link_is_relative_and_resolves(store: Store) -> None:
    for key, found in documents(store).items():
        for link in found["links"]:
            if link["rel"] == "cite-as":
                assert link["href"] == f"https://doi.org/{DECLARED['doi']}"
                continue
            assert link["href"].startswith("."), (key, link)
            target = posixpath.normpath(posixpath.join(posixpath.dirname(key), link["href"]))
            assert store.workspace.exists(target), (key, link)
            if link["rel"] == "item":
                assert document(store, target)["collection"] == found["id"]


def test_every_document_is_reached_from_the_root(store: Store) -> None:
    reached, waiting = set(), [CATALOG_ROOT]
    while waiting:
        key = waiting.pop()
        reached.add(key)
        waiting += [target for _, target in hrefs(store, key, "child", "item")]
        if key != CATALOG_ROOT:
            ((_, parent),) = hrefs(store, key, "parent")
            assert key in [target for _, target in hrefs(store, parent, "child", "item")]
            assert hrefs(store, key, "root") == [("root", CATALOG_ROOT)]
    assert reached == set(documents(store))


def test_every_document_is_registered_with_its_checksum(store: Store) -> None:
    registered = {
        file.path: file for file in store.registry.files() if file.path.startswith("catalog/")
    }
    assert registered.keys() == set(store.workspace.list("catalog"))
    assert all(store.workspace.stat(key) == file for key, file in registered.items())


def test_every_asset_has_the_checksum_and_size_of_its_bytes(store: Store) -> None:
    found = list(assets(store))
    assert len(found) > 40
    for key, target, asset in found:
        content = store.workspace.get(target)
        assert asset["href"].startswith("."), key
        assert asset["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest(), (key, target)
        assert asset["file:size"] == len(content)
        assert asset["type"] and asset["roles"]


def test_every_landed_file_of_a_data_version_is_an_asset(store: Store) -> None:
    for row in store.registry.data_versions():
        reference = Reference(row.dataset, row.version)
        committed = CommittedDataset.open(store.workspace, store.registry, reference)
        folder = posixpath.dirname(dataset_collection_key(row.dataset, row.version))
        listed = {
            asset["file:local_path"]
            for key, _, asset in assets(store)
            if key.startswith(f"{folder}/") and "file:local_path" in asset
        }
        assert listed == set(committed.manifest["path"])


@pytest.mark.parametrize("kind", ["data", "model"])
def test_three_versions_are_linked_in_order(kind: str, store: Store) -> None:
    if kind == "data":
        keys = [dataset_collection_key("fields", f"v{number}") for number in (1, 2, 3)]
    else:
        keys = [
            model_item_key("crops", row.version) for row in store.registry.model_versions("crops")
        ]
    first, second, third = keys
    expected = {
        first: [("successor-version", second)],
        second: [("predecessor-version", first), ("successor-version", third)],
        third: [("predecessor-version", second)],
    }
    assert {key: hrefs(store, key, *VERSION_LINKS) for key in keys} == expected


def test_a_single_version_has_no_links_to_others(store: Store) -> None:
    key = dataset_collection_key("scenes", "v1")
    assert hrefs(store, key, *VERSION_LINKS) == []


def test_recording_again_changes_nothing(store: Store) -> None:
    before = documents(store)
    for reference in (Reference("fields", "v2"), Reference("scenes", "v1")):
        committed = CommittedDataset.open(store.workspace, store.registry, reference)
        files = write_dataset_record(store.workspace, store.registry, committed)
        assert [store.workspace.stat(file.path) for file in files] == files
    assert documents(store) == before


def test_a_table_without_extent_is_nowhere_and_of_an_unknown_time(store: Store) -> None:
    row = store.registry.data_version(Reference("fields", "v1"))
    key = dataset_collection_key("fields", "v1")
    ((_, item),) = hrefs(store, key, "item")
    found = document(store, item)
    assert found["geometry"] is None and "bbox" not in found
    assert found["properties"]["mlops:datetime_is"] == "unknown"
    assert found["properties"]["datetime"][:19] == row.created.isoformat()[:19]
    assert found["properties"]["mlops:samples"] == row.counts
    assert document(store, key)["extent"]["spatial"]["bbox"] == [WHOLE_WORLD]


def test_a_georeferenced_scene_has_a_geometry(store: Store) -> None:
    items = [
        document(store, item)
        for _, item in hrefs(store, dataset_collection_key("scenes", "v1"), "item")
    ]
    assert [item["assets"]["image"]["file:local_path"] for item in items] == [
        "images/a.tif",
        "images/b.tif",
    ]
    for item in items:
        with rasterio.open(
            store.workspace.root / "landing/scenes" / item["assets"]["image"]["file:local_path"]
        ) as raster:
            expected = rasterio.warp.transform_bounds(raster.crs, "EPSG:4326", *raster.bounds)
            assert item["properties"]["proj:transform"] == list(raster.transform)[:6]
        assert item["bbox"] == pytest.approx(expected)
        assert (item["properties"]["proj:code"], item["properties"]["proj:shape"]) == (
            "EPSG:32630",
            [48, 48],
        )
        classes = item["assets"]["labels"]["classification:classes"]
        assert [(entry["value"], entry["name"]) for entry in classes] == [(1, "water"), (2, "land")]
    counted = [item["properties"]["mlops:samples"] for item in items]
    counts = store.registry.data_version(Reference("scenes")).counts
    assert {s: sum(c.get(s, 0) for c in counted) for s in ("train", "test")} == {
        s: counts[s] for s in ("train", "test")
    }


def test_a_declared_extent_is_used_and_no_georeference_made_up(store: Store) -> None:
    collection = document(store, dataset_collection_key("nowhere", "v1"))
    assert collection["extent"]["spatial"]["bbox"] == [[-10, 40, -5, 45]]
    assert collection["mlops:extent"] == "approximate; a map"
    ((_, item),) = hrefs(store, dataset_collection_key("nowhere", "v1"), "item")
    properties = document(store, item)["properties"]
    assert properties["datetime"] == properties["start_datetime"] == "2020-01-01T00:00:00Z"
    assert properties["end_datetime"] == "2021-01-01T00:00:00Z"
    assert "proj:code" not in properties and "proj:transform" not in properties


def test_what_was_declared_of_a_dataset_is_in_its_collection(store: Store) -> None:
    found = document(store, dataset_collection_key("scenes", "v1"))
    assert (found["license"], found["sci:doi"], found["version"]) == (
        DECLARED["license"],
        DECLARED["doi"],
        "v1",
    )
    assert found["providers"] == DECLARED["providers"]
    assert found["mlops:digest"] == store.registry.data_version(Reference("scenes")).digest


@pytest.mark.parametrize("model", ["crops", "cover"])
def test_a_model_names_its_data_by_split(model: str, store: Store) -> None:
    row = latest_model(store, model)
    key = model_item_key(model, row.version)
    counts = store.registry.data_version(Reference(row.dataset, row.data_version)).counts
    links = [link for link in document(store, key)["links"] if link["rel"] == "derived_from"]
    assert [link["ml-aoi:split"] for link in links] == [
        word for split, word in STAC_SPLITS.items() if counts[split]
    ]
    assert set(STAC_SPLITS.values()) == {"train", "validate", "test"}
    target = dataset_collection_key(row.dataset, row.data_version)
    assert set(hrefs(store, key, "derived_from")) == {("derived_from", target)}


@pytest.mark.parametrize("model", ["crops", "cover"])
def test_a_model_record_agrees_with_the_registry(model: str, store: Store) -> None:
    row = latest_model(store, model)
    run, properties = (
        store.registry.run(row.run_id),
        document(store, model_item_key(model, row.version))["properties"],
    )
    assert properties["mlops:metrics"] == row.metrics
    assert properties["mlops:data_digest"] == row.data_digest
    assert (properties["mlops:run_id"], properties["mlops:code_version"]) == (
        run.run_id,
        run.code_version,
    )
    assert properties["mlm:hyperparameters"] == {**run.parameters, "seed": run.seed}
    assert properties["mlm:architecture"] == row.signature["architecture"]
    assert properties["mlm:framework"] == {"cover": "PyTorch", "crops": "scikit-learn"}[model]


@pytest.mark.parametrize("model", ["crops", "cover"])
def test_a_model_record_follows_the_rules_of_data_records(model: str, store: Store) -> None:
    row = latest_model(store, model)
    found = document(store, model_item_key(model, row.version))
    assert found["properties"]["datetime"][:19] == row.created.isoformat()[:19]
    assert found["properties"]["mlops:datetime_is"] == "unknown"
    roles = [asset["roles"] for asset in found["assets"].values()]
    assert roles.count(["thumbnail", "graphic"]) == 1 and not any(
        "overview" in own for own in roles
    )
    collection = document(store, model_collection_key(model))
    assert collection.get("mlops:extent", "").startswith("unknown") == ("bbox" not in found)


@pytest.mark.parametrize("model", ["crops", "cover"])
def test_a_model_record_has_shapes_and_weights(model: str, store: Store) -> None:
    row = latest_model(store, model)
    found = document(store, model_item_key(model, row.version))
    (entry,), (output, *others) = (
        found["properties"]["mlm:input"],
        found["properties"]["mlm:output"],
    )
    assert entry["input"]["shape"] == [-1, *row.signature["shape"]]
    assert [own["name"] for own in (output, *others)] == {
        "crops": ["label", "scores"],
        "cover": ["scores"],
    }[model]
    scores = [output, *others][-1]
    assert scores["result"]["shape"] == [-1, len(row.signature["classes"])]
    for structure in (entry["input"], output["result"], scores["result"]):
        assert 0 not in structure["shape"] and len(structure["shape"]) == len(
            structure["dim_order"]
        )
    names = [entry["name"] for entry in row.signature["classes"]]
    assert [entry["name"] for entry in output["classification:classes"]] == names
    weights = [asset for asset in found["assets"].values() if "mlm:weights" in asset["roles"]]
    assert weights and all(asset["file:checksum"].startswith("1220") for asset in weights)
    onnx = found["assets"]["model"]
    assert (
        onnx["href"].endswith(f"{model_folder(row.model, row.version)}/model.onnx")
        and "mlm:model" in onnx["roles"]
    )
    published = store.registry.files(Owner(f"model:{model}@{row.version}"))
    assert found["assets"].keys() - {"source_code"} == {
        "model" if own.path.endswith("/model.onnx") else own.path.split("/")[-1].replace(".", "_")
        for own in published
    }


def test_bands_and_wavelengths_of_a_model_on_scenes_are_named(store: Store) -> None:
    found = document(store, model_item_key("cover", latest_model(store, "cover").version))
    (entry,) = found["properties"]["mlm:input"]
    bands: dict[str, Any] = DECLARED["bands"]  # type: ignore[assignment]
    assert [band["name"] if isinstance(band, dict) else band for band in entry["bands"]] == bands[
        "names"
    ]
    assert [band["eo:center_wavelength"] for band in found["properties"]["bands"]] == bands[
        "center_wavelengths"
    ]


def test_features_of_a_model_on_a_table_are_its_variables(store: Store) -> None:
    row = latest_model(store, "crops")
    properties = document(store, model_item_key("crops", row.version))["properties"]
    (entry,) = properties["mlm:input"]
    assert entry["variables"] == row.signature["features"] == sorted(properties["cube:variables"])
    units = {
        name: variable["unit"]
        for name, variable in properties["cube:variables"].items()
        if "unit" in variable
    }
    assert units == {"ndvi_01": "1"}
    assert entry["input"]["dim_order"] == ["batch", "variables"] and not entry["bands"]


def test_a_collection_lists_all_versions_of_a_model(store: Store) -> None:
    expected = [
        ("item", model_item_key("crops", row.version))
        for row in store.registry.model_versions("crops")
    ]
    assert hrefs(store, model_collection_key("crops"), "item") == expected


EXTENSIONS = [DEFAULT, FILE, VERSION, CLASSIFICATION, PROJECTION, ML_AOI, SCIENTIFIC, EO, LABEL]
EXTENSIONS += [TABLE, RASTER, DATACUBE]


@pytest.mark.parametrize("extension", EXTENSIONS, ids=lambda uri: uri.split("/")[3])
def test_every_document_is_valid_by_the_schemas_of_its_extensions(
    extension: str, store: Store
) -> None:
    schema = validator(extension)
    listing = {k: own for k, own in documents(store).items() if extension in _listed(own)}
    errors = [
        f"{key}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
        for key, found in listing.items()
        for error in schema.iter_errors(found)
    ]
    assert listing and errors == []


def test_no_other_extensions_are_listed(store: Store) -> None:
    assert {uri for found in documents(store).values() for uri in _listed(found)} <= set(EXTENSIONS)


def _listed(found: dict[str, Any]) -> list[str]:
    return list(found.get("stac_extensions", []))


@pytest.mark.parametrize("gone", ["mlm:input", "mlm:output", "mlm:architecture", "mlm:tasks"])
def test_the_mlm_schema_misses_required_fields(gone: str, store: Store) -> None:
    found = document(store, model_item_key("cover", latest_model(store, "cover").version))
    del found["properties"][gone]
    assert not validator(DEFAULT).is_valid(found)


@pytest.mark.parametrize("version", ["v1.6.0", "v1.5.1"])
def test_the_version_of_mlm_is_that_of_the_configured_schema(
    version: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uri = DEFAULT.replace("v1.5.2", version)
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({"$id": f"{uri}#"}))
    monkeypatch.setenv("MLOPS_MLM_SCHEMA", str(schema))
    assert schema_uri() == uri


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), ("{", "cannot be read"), ("[]", "no \\$id"), (ML_AOI, "ml-aoi")],
)
def test_a_schema_that_is_not_one_of_mlm_is_refused(
    content: str | None, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.json"
    if content is not None:
        schema.write_text(json.dumps({"$id": content}) if content == ML_AOI else content)
    monkeypatch.setenv("MLOPS_MLM_SCHEMA", str(schema))
    with pytest.raises(SettingsError, match=f"MLOPS_MLM_SCHEMA=.*{message}"):
        schema_uri()
