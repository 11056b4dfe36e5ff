"""What was declared of a data or model version, read back from its record.

A record has what was declared when it was written last, which need not be what is declared now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.stac.asset_fields import data_keywords
from mlops_assets.stac.catalog import has_record, read_record, record_key
from mlops_assets.stac.extents import extent, extent_notes
from mlops_assets.storage import Workspace


def described_by_record(
    workspace: Workspace, registry: Registry, committed: CommittedDataset
) -> CommittedDataset:
    """Return a data version described as its record says; without a record, as it is.

    Raises:
        IntegrityError: the record is not as it was published.
    """
    row = committed.row
    key = record_key(row)
    if not has_record(workspace, registry, key):
        return committed
    record = cast(Mapping[str, Any], read_record(workspace, registry, key))
    specification = committed.specification
    own: dict[str, Any] = {
        "title": _own(record["title"].removesuffix(f", {row.version}"), row.dataset, None),
        "description": _own(record["description"], f"Training data {row.dataset}.", ""),
        "license": record["license"],
        "providers": record.get("providers", []),
        "doi": record.get("sci:doi"),
        "citation": record.get("sci:citation"),
    }
    if "keywords" in record:
        without = specification.model_copy(update={"keywords": []})
        derived = data_keywords(committed.described_as(without))
        own["keywords"] = [name for name in record["keywords"] if name not in derived]
    bands = record.get("item_assets", {}).get("image", {}).get("bands", [])
    if len(bands) == len(committed.document.features):
        own["units"] = {band["name"]: band["unit"] for band in bands if "unit" in band}
        waves = [band.get("eo:center_wavelength") for band in bands]
        own["bands"] = {
            **specification.bands.model_dump(mode="json"),
            "center_wavelengths": waves if None not in waves else None,
        }
    notes = {name: record[name] for name in ("mlops:extent", "mlops:datetime_is") if name in record}
    found = {"extent": record["extent"], **notes}
    if found != {"extent": extent(committed).to_dict(), **extent_notes(committed)}:
        own["extent"] = _extent(record["extent"], notes)
    described = {**specification.model_dump(mode="json"), **own}
    return committed.described_as(DatasetSpecification.model_validate(described))


def _own(text: str, default: str, absent: str | None) -> str | None:
    return absent if text == default else text


def _extent(found: Mapping[str, Any], notes: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the declared extent that a record has; None where it states that it is unknown."""
    note = notes.get("mlops:extent", "")
    if note.startswith("unknown"):
        return None
    known = "mlops:datetime_is" not in notes
    source = note.removeprefix("approximate; ")
    return {
        "bbox": found["spatial"]["bbox"][0],
        "interval": found["temporal"]["interval"][0] if known else [None, None],
        "approximate": bool(note),
        "source": None if source in ("", "as declared") else source,
    }


def declared_in(record: Mapping[str, Any], row: ModelVersion) -> dict[str, Any]:
    """Return the fields of a `ModelDeclaration` that the Item of a model version has."""
    properties = record["properties"]
    return {
        "title": _own(properties["title"].removesuffix(f", {row.version}"), row.model, None),
        "description": _own(properties["description"], f"Model {row.model}.", ""),
        "license": properties.get("license"),
        "providers": properties.get("providers", []),
        "doi": properties.get("sci:doi"),
        "citation": properties.get("sci:citation"),
        "keywords": properties.get("keywords", []),
        "pretrained": properties.get("mlm:pretrained_source"),
    }
