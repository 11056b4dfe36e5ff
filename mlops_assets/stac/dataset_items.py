"""Items of a data version: one a scene with its images and labels, one an image, or one a table.

The Collection they belong to is in `datasets`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

import pandas as pd

from mlops_assets.datasets.specification.dataset import SPLITS
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.contents import DescribedAsset, DescribedScenes, bands_read
from mlops_assets.datasets.versions.manifest import CRS_CODE, STAC_VERSION, item_id
from mlops_assets.paths import catalog_root_of
from mlops_assets.stac.asset_fields import (
    LABEL_PROPERTY,
    class_fields,
    label_properties,
    raster_fields,
    table_fields,
)
from mlops_assets.stac.catalog import (
    CLASSIFICATION,
    EO,
    FILE,
    LABEL,
    ML_AOI,
    PROJECTION,
    RASTER,
    TABLE,
    VERSION,
    file_asset,
    link,
)
from mlops_assets.stac.extents import footprint, known_bbox, times, true_footprint
from mlops_assets.stac.item_files import ItemFiles, ManifestRow, groups

# values of `ml-aoi:split`
STAC_SPLITS = {
    "train": "train",
    "validation": "validate",
    "test": "test",
}
# Each Item is a file to write, and a request for every reader. Beyond this number readers use the
# manifest, which is stac-geoparquet and one read; the Collection then states so.
MAX_ITEMS = 1000
_PREFIXES = {
    "file": FILE,
    "classification": CLASSIFICATION,
    "proj": PROJECTION,
    "ml-aoi": ML_AOI,
    "eo": EO,
    "label": LABEL,
    "table": TABLE,
    "raster": RASTER,
}


class ItemMaker:
    """Makes the Items of one data version."""

    def __init__(self, committed: CommittedDataset, collection: str) -> None:
        """Make Items of the Collection at the key `collection`."""
        self.committed = committed
        self.collection = collection

    def items(self) -> Iterator[tuple[str, dict[str, object]]]:
        """Yield key and document of each Item."""
        folder = self.collection.rpartition("/")[0]
        for group in groups(self.committed):
            name = item_id(group.name)
            yield f"{folder}/{name}/{name}.json", self._item(group, f"{folder}/{name}/{name}.json")

    @cached_property
    def _split_counts(self) -> pd.Series:
        return self.committed.samples.groupby(["path", "split"]).size()

    @cached_property
    def _label_counts(self) -> pd.Series:
        return self.committed.samples.groupby(["path", "label"]).size()

    @cached_property
    def _described(self) -> dict[str, DescribedScenes]:
        """Platform and bands by the source Items, by scene.

        Versions of earlier releases do not have them.
        """
        entries = self.committed.document.described
        return {scene: entry for entry in entries for scene in entry.scenes}

    def _item(self, group: ItemFiles, key: str) -> dict[str, object]:
        committed, first = self.committed, group.main[0]
        collection = f"{committed.row.dataset}-{committed.row.version}"
        bbox = first["bbox"] or known_bbox(committed)
        links = [
            link(rel, key, target)
            for rel, target in (
                ("root", catalog_root_of(key)),
                ("parent", self.collection),
                ("collection", self.collection),
            )
        ]
        if first["source"]:
            links.append({"rel": "via", "href": first["source"], "type": "application/geo+json"})
        described = self._described.get(group.name)
        properties: dict[str, object] = {
            "title": group.name,
            **times(committed, committed.row.created, group.main),
            "version": committed.row.version,
            "license": committed.specification.license,
            **(described.properties if described else {}),
            **self._split(group.path),
            **self._labels(group),
        }
        document: dict[str, object] = {
            "type": "Feature",
            "stac_version": STAC_VERSION,
            # unique in a whole catalogue: some keep one Item of an id
            "id": (f"{collection}-{group.name}"),
            "collection": collection,
            "geometry": true_footprint(first) if first["bbox"] else footprint(bbox),
            **({"bbox": bbox} if bbox else {}),
            "properties": properties,
            "assets": self._assets(group, key),
            "links": links,
        }
        if first["role"] == "table":
            properties |= table_fields(committed, first["path"])
        else:
            properties |= _projection(first)
        return {**document, "stac_extensions": extensions(document)}

    def _split(self, path: str) -> dict[str, object]:
        found = self._split_counts.get(path, pd.Series(dtype=int))
        counts = {name: int(found[name]) for name in SPLITS if name in found}
        one = {"ml-aoi:split": STAC_SPLITS[next(iter(counts))]} if len(counts) == 1 else {}
        return {"mlops:samples": counts, **one}

    def _labels(self, group: ItemFiles) -> dict[str, object]:
        """Return the fields of the label extension.

        They are what is labelled, with which classes, and how often each occurs.
        """
        committed = self.committed
        found = self._label_counts.get(group.path, pd.Series(dtype=int))
        paths = [row["path"] for row in group.labels]
        fields = class_fields(committed, paths)
        properties = label_properties(committed, paths)
        if committed.classes and len(found):
            counts = [
                {"name": e["name"], "count": int(found.get(str(e["value"]), 0))}
                for e in committed.classes
            ]
            key = {"property_key": properties[0]} if properties else {}
            fields["label:overviews"] = [{**key, "counts": counts}]
        if properties == [LABEL_PROPERTY]:
            names = {str(entry["value"]): entry["name"] for entry in committed.classes or []}
            if len(found) == 1:
                fields[LABEL_PROPERTY] = names.get(found.index[0], found.index[0])
        return fields

    def _assets(self, group: ItemFiles, key: str) -> dict[str, object]:
        assets: dict[str, object] = {}
        offset = 0
        described = self._described.get(group.name)
        source = described.assets if described else []
        for number, row in enumerate(group.main):
            name = f"image-{number + 1}" if number else "image"
            fields: dict[str, object] = {}
            if row["role"] == "table":
                name = "table"
            else:
                fields = raster_fields(self.committed, row, offset)
            if number < len(source):
                fields = _with_source(fields, source[number])
            offset += len(bands_read(row)) if row["count"] else 0
            assets[name] = file_asset(key, row, ["data"], **{"ml-aoi:role": "feature"}, **fields)
        for row in group.others:
            labels = row["role"] == "labels"
            name = (
                "labels"
                if labels and "labels" not in assets
                else re.sub("[^A-Za-z0-9_-]", "_", row["path"])
            )
            fields = (
                {"ml-aoi:role": "label", **raster_fields(self.committed, row, None)}
                if labels
                else {}
            )
            assets[name] = file_asset(key, row, ["labels" if labels else "metadata"], **fields)
        return assets


def _with_source(fields: dict[str, object], source: DescribedAsset) -> dict[str, object]:
    """Return fields of an image, completed by its source asset.

    Fields of the file or the declaration take precedence.
    """
    found = {**source.model_dump(), **fields}
    bands = fields.get("bands")
    if isinstance(bands, list) and len(bands) == len(source.bands):
        found["bands"] = [
            {**other, **band} for band, other in zip(bands, source.bands, strict=True)
        ]
    return found


def extensions(document: dict[str, object]) -> list[str]:
    """Return the schemas of the extensions that a document's fields belong to."""
    found = {VERSION}

    def visit(value: object) -> None:
        if isinstance(value, dict):
            for name, entry in value.items():
                prefix, colon, _ = name.partition(":")
                found.update([_PREFIXES[prefix]] if colon and prefix in _PREFIXES else [])
                visit(entry)
        elif isinstance(value, list):
            for entry in value:
                visit(entry)

    visit(
        {
            name: document[name]
            for name in ("properties", "assets", "item_assets", "summaries")
            if name in document
        }
    )
    return sorted(found)


def _projection(row: ManifestRow) -> dict[str, object]:
    """The fields of the projection extension, as far as they are known."""
    if row["height"] is None:
        return {}
    crs = row["crs"]
    by_code = crs is not None and CRS_CODE.fullmatch(crs)
    fields: dict[str, object] = {"proj:shape": [row["height"], row["width"]]}
    if crs is not None:
        fields["proj:code" if by_code else "proj:wkt2"] = crs
    if row["transform"]:
        fields["proj:transform"] = row["transform"]
    return fields
