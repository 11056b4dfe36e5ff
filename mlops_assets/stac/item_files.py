"""The files of a data version, grouped by Item: a scene with its labels, an image, or a table.

The documents that describe them are made in `dataset_items` and `training_dml`.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypedDict, cast

import pandas as pd

from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.manifest import MAIN_ROLES, item_id


class ManifestRow(TypedDict):
    """One row of the manifest; None where unknown. `FILE_COLUMNS` documents the fields."""

    path: str
    sha256: str
    size: int
    href: str | None
    pack: str | None
    role: str
    scene: str | None
    part: int | None
    height: int | None
    width: int | None
    count: int | None
    dtype: str | None
    nodata: float | None
    crs: str | None
    transform: list[float] | None
    bbox: list[float] | None
    datetime: pd.Timestamp | None
    source: str | None
    bands: list[int] | None
    scales: list[float | None] | None
    offsets: list[float | None] | None


@dataclass
class ItemFiles:
    """Files that make one Item.

    Attributes:
        name: id of the Item: name of the scene or id of the source Item, or made of the path of the
            file.
        main: the images, in band order, or the table.
        others: labels and what belongs to them.
    """

    name: str
    main: list[ManifestRow] = field(default_factory=list)
    others: list[ManifestRow] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Path of the first file, by which samples name it."""
        return str(self.main[0]["path"])

    @property
    def paths(self) -> list[str]:
        """Paths of all files."""
        return [row["path"] for row in (*self.main, *self.others)]

    @property
    def labels(self) -> list[ManifestRow]:
        """The label files, without what belongs to them."""
        return [row for row in self.others if row["role"] == "labels"]


def main_files(committed: CommittedDataset) -> pd.DataFrame:
    """Return the manifest rows of images and tables.

    Labels and sidecars have the place and time of those.
    """
    return committed.manifest[committed.manifest["role"].isin(MAIN_ROLES)]


def group_count(committed: CommittedDataset) -> int:
    """Return how many Items a data version has."""
    main = main_files(committed)
    return int(main["scene"].nunique() + main["scene"].isna().sum())


def groups(
    committed: CommittedDataset, touched: AbstractSet[str] | None = None
) -> Iterator[ItemFiles]:
    """Yield the files of each Item of a data version, in manifest order.

    Only those with a file among `touched`.
    """
    manifest = committed.manifest[committed.manifest["role"] != "catalog"]
    main, alone = manifest["role"].isin(MAIN_ROLES), manifest["scene"].isna()
    shared, scenes, single = manifest[~main & alone], manifest[~alone], manifest[main & alone]
    if touched is not None:
        if touched.isdisjoint(shared["path"]):  # a file that labels many scenes touches them all
            scenes = scenes[
                scenes["scene"].isin(
                    scenes.loc[scenes["path"].isin(list(touched)), "scene"].unique()
                )
            ]
        single = single[single["path"].isin(list(touched))]
    found: dict[str, ItemFiles] = {}
    for row in _plain(scenes):
        scene = str(row["scene"])
        group = found.setdefault(scene, ItemFiles(scene))
        (group.main if row["role"] in MAIN_ROLES else group.others).append(row)
    for group in found.values():
        group.main.sort(key=lambda row: row["part"] or 0)
        if not group.labels:
            group.others += _plain(shared)
        yield group
    for row in _plain(single):
        yield ItemFiles(item_id(row["path"]), [row])


def _plain(rows: pd.DataFrame) -> list[ManifestRow]:
    known = rows.astype(object).where(rows.notna(), None)
    return cast(list[ManifestRow], known.to_dict("records"))
