"""The STAC record of a model version.

It is an Item with the MLM extension, written with the extension authors' stac-model.
"""

from __future__ import annotations

import json
import re
import time
import warnings
from dataclasses import dataclass
from pathlib import PurePosixPath

import pystac
from stac_model.base import ModelHyperParameters
from stac_model.input import ModelInput
from stac_model.output import MLMClassification, ModelOutput, ModelResult
from stac_model.schema import SCHEMA_URI, MLModelProperties

from mlops_assets.datasets.io.media_types import media_type
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.paths import (
    CATALOG_OWNER,
    catalog_root_of,
    model_collection_key,
    model_owner,
    record_owner,
)
from mlops_assets.progress import step
from mlops_assets.registry import DataVersion, ModelVersion, Registry, Run
from mlops_assets.registry.files.verified_read import unmeasured_classes
from mlops_assets.registry.model_documents import Signature
from mlops_assets.stac.asset_fields import bands
from mlops_assets.stac.catalog import (
    DATACUBE,
    EO,
    FILE,
    ML_AOI,
    VERSION,
    CatalogWriter,
    add_thumbnail,
    asset,
    is_private,
    link,
    link_inputs,
    plain,
    record_key,
)
from mlops_assets.stac.dataset_items import STAC_SPLITS
from mlops_assets.stac.extents import extent, extent_notes, footprint, known_bbox, times
from mlops_assets.storage import FileStat, Workspace

DIMENSIONS = {
    "row": ["batch", "variables"],
    "pixel": ["batch", "bands"],
    "patch": ["batch", "bands", "height", "width"],
    "window": ["batch", "bands", "height", "width"],
    "image": ["batch", "bands", "height", "width"],
}

# name of the adapter → name in the record, package whose version is recorded
FRAMEWORKS = {
    "pytorch": ("PyTorch", "torch"),
    "scikit-learn": ("scikit-learn", "scikit-learn"),
    "keras": ("Keras", "keras"),
    "flax": ("Flax", "flax"),
    "xgboost": ("XGBoost", "xgboost"),
    "lightgbm": ("LightGBM", "lightgbm"),
}


def write_model_record(
    workspace: Workspace, registry: Registry, row: ModelVersion, title: str | None, description: str
) -> list[FileStat]:
    """Write the MLM Item of a model version into the catalogue and publish the stage `recorded`.

    Return its file.

    Raises:
        Conflict: another process is writing the catalogue and does not end.
        IntegrityError: the record of another version, which is to be linked, is not as it was
            published.
        StorageError: it cannot be written.
    """
    started = time.monotonic()
    committed = CommittedDataset.open(workspace, registry, Reference(row.dataset, row.data_version))
    run = registry.run(row.run_id)
    key, private = record_key(row), is_private(row)
    owner = record_owner(row.model, row.version)
    with step(f"recording {row.model}@{row.version}"), registry.lock("catalog"):
        writer = CatalogWriter(workspace, registry)
        files = registry.files(model_owner(row.model, row.version))
        unmeasured = unmeasured_classes(workspace, registry, row.model, row.version)
        record = _ModelRecord(row, run, committed, title or row.model, description, unmeasured)
        writer.write(key, _item(record, files, key), owner)
        link_model_inputs(writer, row, committed.row)
        items = writer.recorded(writer.registry.model_versions(row.model), private)
        writer.link_versions(items)
        _write_collection(writer, record, [item for item, _ in items])
        writer.write_root(private)
        with writer.publishing() as records:
            registry.advance(
                row, "recorded", [], seconds=time.monotonic() - started, records=records
            )
    return [writer.file(key)]


@dataclass(frozen=True)
class _ModelRecord:
    """A model version with all that its record describes.

    Attributes:
        row: the model version.
        run: the run that trained it.
        committed: the data version it was trained on.
        title: of the model.
        description: of the model; may be empty.
        unmeasured: classes without a sample in the test split.
    """

    row: ModelVersion
    run: Run
    committed: CommittedDataset
    title: str
    description: str
    unmeasured: list[str]


def link_model_inputs(writer: CatalogWriter, row: ModelVersion, data: DataVersion) -> None:
    """Link the record of a model version to that of its data version, once for each split.

    Args:
        writer: has the record.
        row: the model version.
        data: its data version.
    """
    key = record_key(row)
    links: list[dict[str, object]] = []
    withheld: list[str] = []
    if is_private(data) and not is_private(row):
        withheld.append(f"{data.dataset}@{data.version}")
    else:
        links = [
            link("derived_from", key, record_key(data), **{"ml-aoi:split": STAC_SPLITS[split]})
            for split, count in data.counts.items()
            if count
        ]
    before = writer.read(key)
    linked = link_inputs(before, links, withheld)
    if linked != before:
        writer.write(key, linked, record_owner(row.model, row.version))


def _write_collection(writer: CatalogWriter, record: _ModelRecord, items: list[str]) -> None:
    model, committed = record.row.model, record.committed
    key = model_collection_key(model, is_private(record.row))
    collection = pystac.Collection(
        id=model,
        title=record.title,
        description=record.description or f"Versions of the model {model}.",
        license="other",
        extent=extent(committed),
    )
    links = [
        link("root", key, catalog_root_of(key)),
        link("parent", key, catalog_root_of(key)),
        *(link("item", key, item) for item in items),
    ]
    writer.write(
        key, {**plain(collection), **extent_notes(committed), "links": links}, CATALOG_OWNER
    )


def _item(record: _ModelRecord, files: list[FileStat], key: str) -> dict[str, object]:
    row, run, committed = record.row, record.run, record.committed
    bbox = known_bbox(committed)
    properties: dict[str, object] = {
        **times(committed, row.created),
        "title": f"{record.title}, {row.version}",
        "description": record.description or f"Model {row.model}.",
        "created": pystac.utils.datetime_to_str(row.created),
        "version": row.version,
        **_mlm(row, run),
        "mlops:metrics": row.metrics,
        "mlops:run_id": run.run_id,
        "mlops:seed": run.seed,
        "mlops:trainer": run.trainer,
        "mlops:code_version": run.code_version,
        "mlops:data_version": f"{row.dataset}@{row.data_version}",
        "mlops:data_digest": row.data_digest,
    }
    if record.unmeasured:
        properties["mlops:unmeasured_classes"] = record.unmeasured
    assets = {_asset_name(file.path): _asset(key, file) for file in files}
    add_thumbnail(assets, ["confusion_matrix_png"])
    signature = Signature.of(row)
    if signature.view != "row":
        # STAC 1.1 allows bands in the properties only where an asset has them; MLM requires them
        # in the properties
        properties["bands"] = assets["model"]["bands"] = _bands(committed, signature.features)
    else:
        # MLM requires a definition of every variable; their dimension is the rows of a table
        properties["cube:dimensions"] = {"row": {"type": "row", "extent": [0, None]}}
        properties["cube:variables"] = {
            band["name"]: {
                "dimensions": ["row"],
                "type": "data",
                **({"unit": band["unit"]} if "unit" in band else {}),
            }
            for band in _bands(committed, signature.features)
        }
    if signature.apply_scale:
        # the input is physical: each scene's raster:scale and raster:offset come first
        properties["mlops:apply_scale"] = True
    if signature.scaling:
        properties["mlops:native_input"] = [_input(signature, native=True)]
    collection = model_collection_key(row.model, is_private(row))
    links = [
        link("root", key, catalog_root_of(key)),
        link("parent", key, collection),
        link("collection", key, collection),
    ]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [
            SCHEMA_URI,
            FILE,
            VERSION,
            ML_AOI,
            *([DATACUBE] if signature.view == "row" else []),
            *([EO] if committed.specification.bands.center_wavelengths else []),
        ],
        "id": f"{row.model}-{row.version}",
        "collection": row.model,
        "geometry": footprint(bbox),
        **({"bbox": bbox} if bbox else {}),
        "properties": properties,
        "assets": assets,
        "links": links,
    }


def _mlm(row: ModelVersion, run: Run) -> dict[str, object]:
    signature = Signature.of(row)
    shape, classes = signature.shape, signature.classes
    spatial = shape[1:] if signature.view == "window" else []
    result_shape = [-1, len(classes), *spatial] if classes else [-1]
    dimensions = ["batch", "class", "height", "width"][: len(result_shape)]
    result = ModelResult(shape=result_shape, dim_order=dimensions, data_type="float32")
    output = ModelOutput(
        name="scores" if classes else "value",
        tasks={row.task},
        result=result,
        classes=(
            [
                MLMClassification(
                    value=_value(entry.value, index),
                    name=entry.name,
                    description=entry.name,
                )
                for index, entry in enumerate(classes)
            ]
            if classes
            else None
        ),
    )
    framework, package = FRAMEWORKS.get(row.framework, (row.framework, row.framework))
    properties = MLModelProperties(
        name=row.model,
        architecture=signature.architecture,
        tasks={row.task},
        input=[ModelInput.model_validate(_input(signature))],
        output=[output],
        framework=framework,
        framework_version=_installed(package),
        accelerator="amd64" if run.hardware.get("machine") == "x86_64" else None,
        accelerator_constrained=False,
        pretrained=False,
        total_parameters=signature.parameters,
        hyperparameters=_hyperparameters({**run.parameters, "seed": run.seed}),
    )
    with warnings.catch_warnings():
        # stac-model's own classes do not match their declared serializers
        warnings.simplefilter("ignore")
        dumped: dict[str, object] = json.loads(properties.model_dump_json(by_alias=True))
    return dumped


def _input(signature: Signature, native: bool = False) -> dict[str, object]:
    """Return MLM's Model Input Object: of the ONNX file, or of the native artefact.

    `value_scaling` is the scaling that a caller must apply. The ONNX file scales by itself, so it
    is stated for the native artefact only: a reader would otherwise scale twice.
    """
    described: dict[str, object] = {
        "name": "input",
        "bands": signature.features if signature.view != "row" else [],
        "variables": signature.features if signature.view == "row" else [],
        "input": {
            "shape": [-1, *signature.shape],
            "dim_order": DIMENSIONS[signature.view],
            "data_type": "float32",
        },
    }
    if native:
        described |= {
            "description": (
                "The native artefact takes values scaled like this, one entry a band or feature."
            ),
            "value_scaling": signature.scaling,
        }
    elif signature.scaling:
        described["description"] = (
            "Raw values: the ONNX file scales them itself, as mlops:native_input says."
        )
    return described


def _value(value: int | float | str, index: int) -> int:
    return value if isinstance(value, int) else index


def _installed(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _hyperparameters(parameters: dict[str, object]) -> ModelHyperParameters:
    """Parameters under names the schema allows."""
    return ModelHyperParameters(
        **{re.sub(r"[^0-9a-zA-Z_.-]", "_", name): value for name, value in parameters.items()}
    )


def _bands(committed: CommittedDataset, features: list[str]) -> list[dict[str, object]]:
    known = {band["name"]: band for band in bands(committed)}
    return [known[name] for name in features]


def _asset_name(path: str) -> str:
    file = PurePosixPath(path)
    return "model" if file.name == "model.onnx" else file.name.replace(".", "_")


def _asset(key: str, file: FileStat) -> dict[str, object]:
    path = PurePosixPath(file.path)
    media = media_type(file.path)
    if path.name == "model.onnx":
        return asset(
            key, file, media, ["mlm:model"], title="ONNX model", **{"mlm:artifact_type": "onnx"}
        )
    roles = {"native": ["mlm:weights"], "figures": ["graphic"]}.get(path.parent.name, ["metadata"])
    return asset(key, file, media, roles, title=path.name)
