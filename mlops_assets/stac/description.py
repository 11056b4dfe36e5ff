"""The description of a data version in its record: title, licence, providers, place and time.

Light to import, for commands that only show a version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlops_assets.stac.catalog import has_record, read_record, record_key
from mlops_assets.text.json_changes import short_text

if TYPE_CHECKING:
    from mlops_assets.registry import DataVersion, Registry
    from mlops_assets.storage import Workspace

Description = Mapping[str, object]
FIELDS = {
    "title": "title",
    "description": "description",
    "license": "license",
    "providers": "providers",
    "sci:doi": "doi",
    "sci:citation": "citation",
    "keywords": "keywords",
    "extent": "extent",
    "item_assets": "bands",
}


def description(workspace: Workspace, registry: Registry, row: DataVersion) -> Description | None:
    """Return the description in the Collection of a data version, by names of the declaration.

    None if no Collection was published.

    Raises:
        IntegrityError: it is not as it was published.
    """
    key = record_key(row)
    if not has_record(workspace, registry, key):
        return None
    collection = read_record(workspace, registry, key)
    found = {name: collection.get(field) for field, name in FIELDS.items()}
    title = str(found["title"]).removesuffix(f", {row.version}")
    return {**found, "title": None if title == row.dataset else title}


def changes(before: Description | None, after: Description | None) -> list[str]:
    """Return the changes of a record, one line per field; none for a first record."""
    if before is None or after is None:
        return []
    return [
        f"{name}: {short_text(before[name])} → {short_text(after[name])}"
        for name in after
        if after[name] != before[name]
    ]
