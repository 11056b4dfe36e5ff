"""The part of a monitoring document that a principal may see."""

from __future__ import annotations

from mlops_assets.monitoring.document import MonitoringDocument
from mlops_assets.paths import model_folder
from mlops_assets.store import Store


def visible(store: Store, document: MonitoringDocument) -> MonitoringDocument:
    """Return a document without the versions, and their files, that the principal may not see.

    Args:
        store: workspace and registry.
        document: as it was published.
    """
    hidden = hidden_versions(store, document.model)
    if not hidden:
        return document
    folders = tuple(f"{model_folder(document.model, version)}/" for version in sorted(hidden))
    return document.model_copy(
        update={
            "versions": [own for own in document.versions if own.version not in hidden],
            "inputs": {
                path: sha256
                for path, sha256 in document.inputs.items()
                if not path.startswith(folders)
            },
        }
    )


def hidden_versions(store: Store, model: str) -> set[str]:
    """Return the versions of a model that the principal may not see.

    Args:
        store: workspace and registry.
        model: its name.
    """
    registry = store.registry
    every = {row.version for row in registry.unrestricted().model_versions(model)}
    return every - {row.version for row in registry.model_versions(model)}
