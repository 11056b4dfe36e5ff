"""The report of a committed data version to Dagster, whatever its files come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.components.naming import DATA_VERSION, DATASET, add_data_versions, tag_run

if TYPE_CHECKING:
    from dagster._core.definitions.metadata import RawMetadataValue

    from mlops_assets.datasets.commit.commit import Commit
    from mlops_assets.datasets.commit.use import Use
    from mlops_assets.store import Store


def commit_metadata(
    context: dg.AssetExecutionContext, store: Store, committed: Commit | Use, unchanged: str
) -> dict[str, RawMetadataValue]:
    """Make a committed version a partition and tag its run; return the metadata of the event.

    Args:
        context: of the step that has committed it.
        store: has the version.
        committed: the outcome of the commit.
        unchanged: what the version is if it is not new, for the log.
    """
    row = committed.version
    add_data_versions(context.instance, store.registry, row.dataset)
    tag_run(context, store.user, {DATASET: row.dataset, DATA_VERSION: row.version})
    name = f"{row.dataset}@{row.version}"
    context.log.info(f"{name} is new" if committed.created else f"nothing new: {unchanged} {name}")
    return {
        "data_version": row.version,
        "new": committed.created,
        "digest": row.digest,
        "files": row.files,
        "samples": row.samples,
        "size": row.size,
        "notes": dg.MetadataValue.json(committed.notes),
    }
