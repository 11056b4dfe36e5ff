"""Records as another catalogue is to hold them."""

from __future__ import annotations

from mlops_assets.discovery.links import Addresses, objects, without_structural_links
from mlops_assets.discovery.registration.comparison import BETWEEN_RECORDS
from mlops_assets.registry.records.lookup import FoundRecord
from mlops_assets.stac.catalog import VERSION
from mlops_assets.text.json_values import JsonObject


def outgoing(record: FoundRecord, addresses: Addresses) -> JsonObject:
    """Return a published record as another catalogue is to hold it.

    Links that the catalogue makes itself are left out; those to other records lead to its API, and
    assets to the workspace's files.

    Args:
        record: as a principal finds it who sees what the catalogue may have, and thus without
            links to what it may not have.
        addresses: `api` of that catalogue, and where it is to find the files of the workspace.
    """
    return addresses.linked(record, ())


def withdrawn(document: JsonObject, api: str) -> JsonObject:
    """Return a Collection or Item as withdrawn: `deprecated`, as the version extension has it.

    Args:
        document: as another catalogue returns it, with links that it makes itself, which are left
            out: all to its API but those between records.
        api: URL of its STAC API, with a slash at its end.
    """
    extensions = document.get("stac_extensions")
    listed = extensions if isinstance(extensions, list) else []
    kept = without_structural_links(document)
    kept["links"] = [
        link
        for link in objects(kept["links"])
        if link.get("rel") in BETWEEN_RECORDS or not str(link.get("href")).startswith(api)
    ]
    kept["stac_extensions"] = listed if VERSION in listed else [*listed, VERSION]
    if document.get("type") == "Feature":
        properties = document.get("properties")
        kept["properties"] = {
            **(properties if isinstance(properties, dict) else {}),
            "deprecated": True,
        }
    else:
        kept["deprecated"] = True
    return kept
