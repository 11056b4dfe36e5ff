"""Owners, tags and kinds of the assets of a component, as declared.

They are checked by Dagster's own rules, and are no part of what is stored with a data version or a
run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, TypeVar

import dagster as dg
from dagster._core.definitions.utils import is_valid_owner
from dagster._core.storage.tags import SYSTEM_TAG_PREFIX
from dagster._utils.tags import is_valid_strict_tag_value, is_valid_tag_key
from pydantic import AfterValidator, BaseModel, Field, field_validator

from mlops_assets.strict import Strict

# Dagster's UI shows no more of them on an asset
MAX_KINDS = 3

Core = TypeVar("Core", bound=BaseModel)


def _owner(owner: str) -> str:
    if not is_valid_owner(owner):
        raise ValueError(
            f"{owner!r} is not a valid owner; write an e-mail address, or 'team:NAME' for a team"
        )
    return owner


def _tag_value(value: str) -> str:
    if not is_valid_strict_tag_value(value):
        raise ValueError(
            f"{value!r} is not a valid value of a tag; take letters, digits, '_', '-' and '.', 63"
            " characters at most"
        )
    return value


def _kind(kind: str) -> str:
    if not is_valid_tag_key(kind) or "/" in kind:
        raise ValueError(
            f"{kind!r} is not a valid kind; take letters, digits, '_', '-' and '.', 1 to 63"
            " characters"
        )
    return kind


class Labels(Strict):
    """The attributes that every component has for Dagster's graph."""

    owners: list[Annotated[str, AfterValidator(_owner)]] = Field(
        default=[],
        description="Who answers for its assets: e-mail addresses, or 'team:NAME' for a team.",
    )
    tags: dict[str, Annotated[str, AfterValidator(_tag_value)]] = Field(
        default={},
        description="Tags of its assets, to filter and select by, e.g. {domain: agriculture}.",
    )
    kinds: list[Annotated[str, AfterValidator(_kind)]] | None = Field(
        default=None,
        max_length=MAX_KINDS,
        description=(
            "At most three words shown on its main asset, with icons for those that Dagster knows,"
            " instead of framework or layout, and storage."
        ),
    )

    @field_validator("tags")
    @classmethod
    def _keys(cls, tags: dict[str, str]) -> dict[str, str]:
        for key in tags:
            if key.startswith(SYSTEM_TAG_PREFIX):
                raise ValueError(
                    f"{key!r}: keys that begin with {SYSTEM_TAG_PREFIX!r} are Dagster's own; choose"
                    " another key, and for kinds use 'kinds'"
                )
            if not is_valid_tag_key(key):
                raise ValueError(
                    f"{key!r} is not a valid key of a tag; take letters, digits, '_', '-' and '.',"
                    " 1 to 63 characters, after a namespace and '/' if you like"
                )
        return tags

    def kinds_or(self, default: set[str]) -> set[str]:
        """Return the kinds that are declared, else the default."""
        return default if self.kinds is None else set(self.kinds)

    def labelled(self, assets: Iterable[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
        """Return assets with these owners and tags."""
        return [
            asset.map_asset_specs(
                lambda spec: spec.merge_attributes(owners=self.owners, tags=self.tags)
            )
            for asset in assets
        ]


def declared(attributes: BaseModel, core: type[Core]) -> Core:
    """Return the part of checked attributes that is the core's, which is what gets stored."""
    return core.model_construct(
        attributes.model_fields_set & core.model_fields.keys(),
        **{name: getattr(attributes, name) for name in core.model_fields},
    )
