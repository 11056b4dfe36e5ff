"""Checks of one data version: a partition each, so that a check of v1 stays v1's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import dagster as dg

from mlops_assets.components.naming import data_versions


def version_check(
    name: str, asset: Sequence[str], dataset: str, *, blocking: bool, description: str
) -> dg.AssetCheckSpec:
    """Return a check of an asset that has the versions of a dataset as partitions."""
    with warnings.catch_warnings():
        # partitions of checks are a preview, which is ours to follow and not the user's to read
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name,
            asset=list(asset),
            blocking=blocking,
            description=description,
            partitions_def=data_versions(dataset),
        )
