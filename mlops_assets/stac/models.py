"""The STAC record of a model version: an Item with the MLM extension.

What it is made from is read in `mlm.facts`, its `mlm:` fields are made in `mlm.properties`, its
assets in `mlm.assets`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pystac

from mlops_assets.paths import (
    CATALOG_OWNER,
    catalog_root_of,
    model_collection_key,
    model_owner,
    record_owner,
)
from mlops_assets.progress import step
from mlops_assets.registry import DataVersion, ModelVersion, Registry
from mlops_assets.stac.asset_fields import bands, data_keywords, shared_bands
from mlops_assets.stac.catalog import (
    DATACUBE,
    EO,
    FILE,
    ML_AOI,
    SCIENTIFIC,
    VERSION,
    CatalogWriter,
    add_thumbnail,
    cite_as,
    is_private,
    link,
    plain,
    record_key,
)
from mlops_assets.stac.dataset_items import STAC_SPLITS
from mlops_assets.stac.extents import (
    EXTENT_NOTES,
    extent,
    extent_notes,
    footprint,
    known_bbox,
    times,
)
from mlops_assets.stac.maps.record import link_maps
from mlops_assets.stac.mlm.assets import (
    asset_name,
    code_assets,
    is_reference,
    is_signature,
    model_asset,
)
from mlops_assets.stac.mlm.facts import ModelDeclaration, ModelFacts
from mlops_assets.stac.mlm.properties import FRAMEWORKS, mlm_properties, model_input
from mlops_assets.stac.mlm.version import schema_uri
from mlops_assets.stac.version_links import link_versions, link_versions_anew
from mlops_assets.storage import FileStat, Workspace


def write_model_record(
    workspace: Workspace, registry: Registry, row: ModelVersion, declared: ModelDeclaration
) -> list[FileStat]:
    """Write the MLM Item of a model version into the catalogue and publish the stage `recorded`.

    Return its file.

    Raises:
        Conflict: another process is writing the catalogue and does not end.
        IntegrityError: a file of the version, or the record of another one, which is to be linked,
            is not as it was published.
        SettingsError: the configured schema of MLM cannot be used.
        StorageError: it cannot be written.
    """
    started = time.monotonic()
    key = record_key(row)
    with step(f"recording {row.model}@{row.version}"), registry.lock("catalog"):
        writer = CatalogWriter(workspace, registry)
        facts = ModelFacts.read(workspace, registry, row, declared)
        add_model_record(writer, facts)
        link_model(writer, facts)
        if row.stage != "recorded":
            link_maps(writer, row)
        with writer.publishing() as records:
            registry.advance(
                row, "recorded", [], seconds=time.monotonic() - started, records=records
            )
    return [writer.file(key)]


def record_signatures(workspace: Workspace, registry: Registry, row: ModelVersion) -> None:
    """Add the signatures that a recorded model version has by now to the assets of its Item.

    Raises:
        Conflict: another process is writing the catalogue and does not end.
        IntegrityError: the record is not as it was published.
        StorageError: it cannot be written.
    """
    _record_assets(workspace, registry, row, is_signature)


def record_reference(workspace: Workspace, registry: Registry, row: ModelVersion) -> None:
    """Add the reference of drift that a recorded model version got later to the assets of its Item.

    Raises:
        Conflict: another process is writing the catalogue and does not end.
        IntegrityError: the record is not as it was published.
        StorageError: it cannot be written.
    """
    _record_assets(workspace, registry, row, is_reference)


def _record_assets(
    workspace: Workspace, registry: Registry, row: ModelVersion, wanted: Callable[[str], bool]
) -> None:
    """Add published files of a recorded model version to the assets of its Item, by their paths."""
    key = record_key(row)
    with registry.lock("catalog"):
        writer = CatalogWriter(workspace, registry)
        item = cast(dict[str, dict[str, object]], writer.read(key))
        found = {
            asset_name(file.path): model_asset(key, file)
            for file in registry.files(model_owner(row.model, row.version))
            if wanted(file.path)
        }
        assets = item["assets"] | found
        writer.write(key, {**item, "assets": assets}, record_owner(row.model, row.version))
        if writer.leave_unchanged():
            with writer.publishing() as records:
                registry.add_records(records)


def add_model_record(writer: CatalogWriter, facts: ModelFacts) -> None:
    """Add the Item of a model version to a writer, without links to other versions."""
    row = facts.row
    key = record_key(row)
    writer.write(key, _item(facts, key), record_owner(row.model, row.version))
    link_model_inputs(writer, row, facts.committed.row)


def link_model(writer: CatalogWriter, facts: ModelFacts, anew: bool = False) -> None:
    """Link the record of a model version to those of its neighbours, and from the root to it.

    Args:
        writer: has the record of the version.
        facts: the version whose description the model's Collection gets.
        anew: link all versions of the model anew.
    """
    row = facts.row
    linked = link_versions_anew if anew else link_versions
    key = model_collection_key(row.model, is_private(row))
    items = linked(writer, row, key, "item")
    if anew:
        described = summaries(writer.registry.model_versions(row.model), is_private(row), {})
    else:
        before = cast(dict[str, Any], writer.read(key)) if writer.has(key) else {}
        described = summaries([row], is_private(row), before.get("summaries", {}))
    _write_collection(writer, facts, items, described)
    writer.write_root(is_private(row))


def link_model_inputs(writer: CatalogWriter, row: ModelVersion, data: DataVersion) -> None:
    """Link the record of a model version to that of its data version, once for each split.

    An imported model was only evaluated on it: its record is linked to the test split.

    Args:
        writer: has the record.
        row: the model version.
        data: its data version.
    """
    key = record_key(row)
    links: list[dict[str, object]] = []
    withheld: list[str] = []
    imported = bool(writer.registry.run(row.run_id).imported)
    reference = f"{data.dataset}@{data.version}"
    if is_private(data) and not is_private(row):
        withheld.append(reference)
    else:
        links = [
            link(
                "derived_from",
                key,
                record_key(data),
                title=f"{reference}, {count} samples of the split {split}",
                **{"ml-aoi:split": STAC_SPLITS[split], "mlops:samples": count},
            )
            for split, count in data.counts.items()
            if count and (split == "test" or not imported)
        ]
    writer.link_inputs(key, record_owner(row.model, row.version), links, withheld)


def _write_collection(
    writer: CatalogWriter,
    facts: ModelFacts,
    items: list[dict[str, object]],
    described: dict[str, list[str]],
) -> None:
    model, committed, declared = facts.row.model, facts.committed, facts.declared
    private = is_private(facts.row)
    key = model_collection_key(model, private)
    collection = pystac.Collection(
        id=model,
        title=declared.title or model,
        description=declared.description or _default_description(model, True),
        license=declared.license or "other",
        extent=extent(committed),
        keywords=_keywords(facts),
        providers=[pystac.Provider.from_dict(own) for own in declared.providers] or None,
        summaries=pystac.Summaries(described),
    )
    links = [
        link("self", key, key),
        link("root", key, catalog_root_of(key)),
        link("parent", key, catalog_root_of(key)),
        *items,
    ]
    writer.write(
        key, {**plain(collection), **extent_notes(committed), "links": links}, CATALOG_OWNER
    )


def collection_description(writer: CatalogWriter, row: ModelVersion) -> dict[str, object]:
    """Return how a model's Collection is described by the records of one of its versions.

    Args:
        writer: has the record of the version.
        row: the version.
    """
    properties = cast(dict[str, Any], writer.read(record_key(row)))["properties"]
    own = properties["description"] != _default_description(row.model)
    found = {
        "title": properties["title"].removesuffix(f", {row.version}"),
        "description": properties["description"] if own else _default_description(row.model, True),
        "license": properties.get("license") or "other",
        "keywords": properties.get("keywords"),
        "providers": properties.get("providers"),
    }
    for data in writer.registry.data_versions(row.dataset):
        if data.version == row.data_version and writer.has(key := record_key(data)):
            record = writer.read(key)
            found |= {name: record.get(name) for name in ("extent", *EXTENT_NOTES)}
    return found


def _default_description(model: str, of_all: bool = False) -> str:
    return f"Versions of the model {model}." if of_all else f"Model {model}."


def summaries(
    versions: Sequence[ModelVersion], private: bool, others: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Return the frameworks and tasks of those versions of a model that a catalogue has.

    Args:
        versions: of the model.
        private: of the catalogue of private versions.
        others: summaries of further versions that it has.
    """
    rows = [row for row in versions if is_private(row) == private]
    frameworks = {FRAMEWORKS.get(row.framework, (row.framework,))[0] for row in rows}
    found = {"mlm:framework": frameworks, "mlm:tasks": {row.task for row in rows}}
    return {name: sorted(values.union(others.get(name, ()))) for name, values in found.items()}


def _item(facts: ModelFacts, key: str) -> dict[str, object]:
    row, run, committed, declared = facts.row, facts.run, facts.committed, facts.declared
    bbox = known_bbox(committed)
    assets = {asset_name(file.path): model_asset(key, file) for file in facts.files}
    if facts.shared is not None:
        assets["model"]["href"] = facts.shared.onnx_url
    assets |= code_assets(facts, key)
    add_thumbnail(assets, ["confusion_matrix_png"])
    properties: dict[str, object] = {
        **times(committed, row.created),
        "title": f"{declared.title or row.model}, {row.version}",
        "description": declared.description or _default_description(row.model),
        "created": pystac.utils.datetime_to_str(row.created),
        "version": row.version,
        "deprecated": facts.deprecated or None,
        "keywords": _keywords(facts),
        "license": declared.license,
        "providers": declared.providers or None,
        **mlm_properties(facts),
        **_inputs(facts, assets["model"]),
        **_metrics(facts),
        **_scientific(facts),
        "mlops:run_id": run.run_id,
        "mlops:seed": run.seed,
        "mlops:trainer": run.trainer,
        "mlops:code_version": run.code_version,
        "mlops:data_version": f"{row.dataset}@{row.data_version}",
        "mlops:data_digest": row.data_digest,
        "mlops:data_license": committed.specification.license,
        "mlops:data_tags": facts.tags or None,
        "mlops:import": run.imported or None,
    }
    collection = model_collection_key(row.model, is_private(row))
    dois = (declared.doi, committed.specification.doi)
    links = [
        link("root", key, catalog_root_of(key)),
        link("parent", key, collection),
        link("collection", key, collection),
        *(cite_as(doi) for doi in dois if doi),
    ]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [
            schema_uri(),
            FILE,
            VERSION,
            ML_AOI,
            *([DATACUBE] if facts.signature.view == "row" else []),
            *([EO] if any(name.startswith("eo:") for name in _band_fields(properties)) else []),
            *([SCIENTIFIC] if any(name.startswith("sci:") for name in properties) else []),
        ],
        "id": f"{row.model}-{row.version}",
        "collection": row.model,
        "geometry": footprint(bbox),
        **({"bbox": bbox} if bbox else {}),
        "properties": properties,
        "assets": assets,
        "links": links,
    }


def _keywords(facts: ModelFacts) -> list[str]:
    """Return what catalogues find a model by that know no `mlm:` fields."""
    framework, _ = FRAMEWORKS.get(facts.row.framework, (facts.row.framework, None))
    data = [name for name in data_keywords(facts.committed) if name != "training data"]
    own = [*facts.declared.keywords, framework, "ONNX", facts.row.task, "model"]
    return list(dict.fromkeys([*own, *data]))


def _inputs(facts: ModelFacts, onnx: dict[str, object]) -> dict[str, object]:
    """Return what describes the bands or variables of the input beside `mlm:input`."""
    signature, committed = facts.signature, facts.committed
    found: dict[str, object] = {}
    if signature.view == "row":
        known = {band["name"]: band for band in bands(committed)}
        # MLM requires a definition of every variable; their dimension is the rows of a table
        found["cube:dimensions"] = {"row": {"type": "row", "extent": [0, None]}}
        found["cube:variables"] = {
            name: {
                "dimensions": ["row"],
                "type": "data",
                **({"unit": known[name]["unit"]} if "unit" in known[name] else {}),
            }
            for name in signature.features
        }
    else:
        known = {band["name"]: band for band in shared_bands(committed)}
        # STAC 1.1 allows bands in the properties only where an asset has them; MLM requires them
        # in the properties
        found["bands"] = onnx["bands"] = [known[name] for name in signature.features]
        found["mlops:patch_size"] = signature.shape[1:] or [1, 1]
        # of a patch the output is of its centre, and nothing beyond the patch is seen
        field = facts.graph.receptive_field if signature.view == "window" else None
        if signature.view in ("pixel", "patch"):
            found["mlops:receptive_field"] = signature.shape[1:] or [1, 1]
        elif field is not None:
            sides = zip(field, signature.shape[1:], strict=True)
            found["mlops:receptive_field"] = [min(own, side) for own, side in sides]
    if signature.apply_scale:
        # the input is physical: each scene's raster:scale and raster:offset come first
        found["mlops:apply_scale"] = True
    if signature.scaling:
        found["mlops:native_input"] = [model_input(facts, native=True)]
    return found


def _metrics(facts: ModelFacts) -> dict[str, object]:
    """Return the metrics on the test split, with their intervals and what was not measured."""
    found: dict[str, object] = {"mlops:metrics": facts.row.metrics}
    if facts.metrics is None:
        return found
    if facts.metrics.intervals is not None and facts.metrics.intervals.metrics:
        found["mlops:metric_intervals"] = facts.metrics.intervals.model_dump(mode="json")
    if facts.metrics.unmeasured:
        found["mlops:unmeasured_classes"] = facts.metrics.unmeasured
    return found


def _scientific(facts: ModelFacts) -> dict[str, object]:
    """Return DOI and citation of the model, and those of its data as publications."""
    declared, data = facts.declared, facts.committed.specification
    own = {"sci:doi": declared.doi, "sci:citation": declared.citation}
    publication = {"doi": data.doi, "citation": data.citation}
    found: dict[str, object] = {name: value for name, value in own.items() if value}
    if any(publication.values()):
        known = {name: value for name, value in publication.items() if value}
        found["sci:publications"] = [known]
    return found


def _band_fields(properties: dict[str, object]) -> set[str]:
    described = properties.get("bands")
    return {name for band in described for name in band} if isinstance(described, list) else set()
