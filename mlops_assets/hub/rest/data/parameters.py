"""Parameters that routes of training data share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query

from mlops_assets.hub.rest.openapi import problems
from mlops_assets.names import Reference, check_key, check_name

READ = problems(404, 422)
PNG = "image/png"
MAX_TEXT = 500  # characters of a filter
# of a version, whose content never changes; of a tag, which may move
LASTING, MOVING, FLEETING = "private, max-age=86400", "private, no-cache", "no-store"

Page = Annotated[int, Query(ge=1, le=1_000_000, description="Which page, from 1.")]


async def _name(name: Annotated[str, Path(description="Name of a dataset.")]) -> str:
    return check_name(name, "dataset name")


Name = Annotated[str, Depends(_name)]


async def _version(
    name: Name, version: Annotated[str, Path(description="Version or tag.")]
) -> Reference:
    return Reference(name, check_key(version, "version"))


async def _other(
    name: Name, other: Annotated[str, Path(description="Other version or tag.")]
) -> Reference:
    return Reference(name, check_key(other, "version"))


Version = Annotated[Reference, Depends(_version)]
Other = Annotated[Reference, Depends(_other)]


def is_version(reference: Reference) -> bool:
    """Return whether a reference names a version by its number, which no tag can have."""
    what = reference.what or ""
    return what[:1] == "v" and what[1:].isdecimal()
