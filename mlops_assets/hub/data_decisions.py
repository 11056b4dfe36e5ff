"""Tags and visibility of data versions that users of the hub set."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_assets.hub.views.data.datasets import VersionRow, version_row
from mlops_assets.models.approval.reason import check_reason
from mlops_assets.models.record import tag_data_version
from mlops_assets.names import Reference
from mlops_assets.principals import Visibility
from mlops_assets.stac.visibility import set_visibility
from mlops_assets.store import Store


@dataclass(frozen=True)
class VisibilityChanged:
    """Who may see a data version now, and before.

    Attributes:
        reference: `dataset@version`.
        visibility: as it is now.
        previous: as it was.
        warnings: about versions that are more visible than what they were made from.
    """

    reference: str
    visibility: Visibility
    previous: Visibility
    warnings: list[str]


def give_tag(store: Store, reference: Reference, tag: str) -> VersionRow:
    """Give a data version a tag; the same tag on the same version is no change.

    Raises:
        Conflict: the tag names another version already; tags do not move.
        Forbidden: the principal may not tag data.
        NameRefused: the tag cannot be a name.
        NotFound: there is no such version.
    """
    row = store.registry.data_version(reference)
    tag_data_version(store, row.dataset, row.version, tag)
    return version_row(row, store.registry.tags(row.dataset))


def change_visibility(
    store: Store, reference: Reference, visibility: Visibility, reason: str | None
) -> VisibilityChanged:
    """Change who may see a data version.

    Raises:
        DecisionRefused: the reason is too long, or not plain text.
        Forbidden: the principal is neither its creator nor an operator.
        NotFound: there is no such version.
    """
    check_reason(reason)
    row = store.registry.data_version(reference)
    previous = Visibility(row.visibility)
    warnings = []
    if previous != visibility:
        warnings = set_visibility(store, row, visibility, reason or None)
    return VisibilityChanged(f"{row.dataset}@{row.version}", visibility, previous, warnings)
