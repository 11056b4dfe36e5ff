"""A folder as EOTDL's client ingests models: `README.md`, and a STAC catalogue of one Item.

The client requires authors, licence and a URL in the README's front matter, and ONNX as the
framework of the Item.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from mlops_assets.errors import ExportError
from mlops_assets.integrations.model_export.folder import relocated
from mlops_assets.integrations.model_export.source import ONNX, ExportSource
from mlops_assets.models.evaluation.current_card import current_card
from mlops_assets.paths import model_folder
from mlops_assets.stac.extents import WHOLE_WORLD, footprint

if TYPE_CHECKING:
    import pystac

_WEB = ("http://", "https://")
# of the native framework, which the ONNX file does not need
_NATIVE = ("mlm:framework_version", "mlops:native_input")


def write(source: ExportSource, folder: Path) -> list[str]:
    """Write the folder, and return what it states for want of anything better.

    Raises:
        ExportError: the record lacks something that the client requires; all of it is listed.
    """
    import pystac

    metadata = _front_matter(source)
    card = current_card(source.store, source.row)
    model, item = source.row.model, _item(source)
    collection = pystac.Collection(
        id=model,
        title=str(source.properties["title"]),
        description=str(source.properties["description"]),
        license=metadata["license"],
        extent=pystac.Extent.from_items([item]),
    )
    collection.add_item(item)
    catalog = pystac.Catalog(id=model, description=f"Model {model}.")
    catalog.add_child(collection)
    catalog.normalize_hrefs(str(folder))
    catalog.save(pystac.CatalogType.SELF_CONTAINED)
    source.copy_onnx(Path(item.get_self_href() or "").with_name(ONNX))
    text = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    (folder / "README.md").write_text(f"---\n{text}---\n{card}")
    if source.record["geometry"] is None:
        return ["EOTDL requires a place, and none is known: it is stated as the whole world"]
    return []


def _front_matter(source: ExportSource) -> dict[str, Any]:
    """Return what the client requires of a README, from the providers and links of the record."""
    properties = source.properties
    providers = cast(list[dict[str, str]], properties.get("providers") or [])
    links = cast(list[dict[str, str]], source.record["links"])
    cited = [link["href"] for link in links if link["rel"] == "cite-as"]
    urls = [*cited, *(own["url"] for own in providers if "url" in own)]
    found = {
        "name": f"{source.row.model}-{source.row.version}",
        "authors": [own["name"] for own in providers],
        "license": properties.get("license"),
        "source": next((url for url in urls if url.startswith(_WEB)), None),
    }
    remedies = {
        "authors": "providers, each with a name",
        "license": "a license",
        "source": "a doi, or a provider with a url",
    }
    missing = [remedy for name, remedy in remedies.items() if not found[name]]
    if missing:
        raise ExportError(
            f"EOTDL requires what {source.reference} is recorded without: {', '.join(missing)};"
            " declare it and record the version again"
        )
    return found


def _item(source: ExportSource) -> pystac.Item:
    """Return the Item with the ONNX file as its only asset: the framework is then ONNX."""
    import pystac

    key = f"{model_folder(source.row.model, source.row.version)}/{ONNX}"
    document = relocated(source, {key: f"./{ONNX}"})
    assets = cast(dict[str, dict[str, object]], document["assets"])
    properties = cast(dict[str, object], document["properties"])
    # its client cannot read an Item that has none
    place = {
        "geometry": document["geometry"] or footprint(WHOLE_WORLD),
        "bbox": document.get("bbox", WHOLE_WORLD),
    }
    native = {"mlops:native_framework": properties["mlm:framework"]}
    others = {name: value for name, value in properties.items() if name not in _NATIVE}
    return pystac.Item.from_dict(
        {
            **document,
            **place,
            "properties": {**others, **native, "mlm:framework": "ONNX"},
            "assets": {name: asset for name, asset in assets.items() if name == "model"},
            "links": [],
        }
    )
