"""Links between the records of all versions of a dataset or model.

A new version links to the one before it, which gets a link back; other records are not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlops_assets.paths import Owner, record_owner
from mlops_assets.registry import DataVersion
from mlops_assets.registry.store import version_key
from mlops_assets.stac.catalog import (
    VERSION_RELATIONS,
    CatalogWriter,
    Version,
    is_private,
    link,
    record_key,
    relative,
)

_AT_ONCE = 50  # versions that are looked through for the next record


def link_versions(
    writer: CatalogWriter, row: Version, parent: str, rel: str
) -> list[dict[str, object]]:
    """Link the record of a version, which was added, to those before and after it, and back.

    No other record is read, so that this takes as long however many there are.

    Args:
        writer: has its record.
        row: the version.
        parent: key of the catalogue of all versions.
        rel: of its links to them.

    Returns:
        The links of the catalogue to all versions, oldest first.
    """
    if not writer.has(parent):
        return link_versions_anew(writer, row, parent, rel)
    own = (record_key(row), record_owner(*version_key(row)))
    before, after = (_nearest(writer, row, later) for later in (False, True))
    relate(writer, [record for record in (before, own, after) if record], complete=False)
    links = [entry for entry in writer.read(parent)["links"] if entry["rel"] == rel]
    added = link(rel, parent, own[0])
    hrefs = [entry["href"] for entry in links]
    if added["href"] not in hrefs:
        earlier = relative(parent, before[0]) if before else None
        links.insert(hrefs.index(earlier) + 1 if earlier in hrefs else 0, added)
    return links


def link_versions_anew(
    writer: CatalogWriter, row: Version, parent: str, rel: str
) -> list[dict[str, object]]:
    """Link the records of all versions of a dataset or model, as `link_versions` does."""
    name, _ = version_key(row)
    is_data = isinstance(row, DataVersion)
    rows = writer.registry.data_versions(name) if is_data else writer.registry.model_versions(name)
    records = recorded(writer, rows, is_private(row))
    relate(writer, records, complete=True)
    return [link(rel, parent, key) for key, _ in records]


def relate(writer: CatalogWriter, records: Sequence[tuple[str, Owner]], complete: bool) -> None:
    """Set the version links between records.

    Args:
        writer: has the records.
        records: key and owner of neighbours, oldest first.
        complete: whether none is before the first or after the last; else these keep theirs.
    """
    for index, (key, owner) in enumerate(records):
        document = writer.read(key)
        related: dict[str, dict[str, object]] = {}
        if not complete:
            related = {
                str(entry["rel"]): entry
                for entry in document["links"]
                if entry["rel"] in VERSION_RELATIONS[:2]
            }
        if index:
            rel = "predecessor-version"
            related[rel] = link(rel, key, records[index - 1][0])
        if index + 1 < len(records):
            rel = "successor-version"
            related[rel] = link(rel, key, records[index + 1][0])
        links = [entry for entry in document["links"] if entry["rel"] not in VERSION_RELATIONS]
        links += [related[rel] for rel in VERSION_RELATIONS if rel in related]
        if links != document["links"]:
            writer.write(key, {**document, "links": links}, owner)


def _nearest(writer: CatalogWriter, row: Version, later: bool) -> tuple[str, Owner] | None:
    """Return key and owner of the nearest record of another version of the same catalogue."""
    while some := writer.registry.versions_beside(row, later, _AT_ONCE):
        published = {file.path for file in writer.registry.files_at(*map(record_key, some))}
        for other in some:
            if (key := record_key(other)) in published and writer.has(key):
                return key, record_owner(*version_key(other))
        row = some[-1]
    return None


def recorded(
    writer: CatalogWriter, rows: Iterable[Version], private: bool
) -> list[tuple[str, Owner]]:
    """Return key and owner of the records that a catalogue has, of some versions.

    Args:
        writer: has or reads the records.
        rows: the versions.
        private: of the catalogue of private versions.
    """
    return [
        (key, record_owner(*version_key(row)))
        for row in rows
        if is_private(row) == private and writer.has(key := record_key(row))
    ]
