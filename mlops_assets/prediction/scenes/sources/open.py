"""Scenes brought here: whole files with their checksums, as one raster of the bands of a model."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from mlops_assets.datasets.io.raster_formats import is_vrt
from mlops_assets.datasets.io.rasters import band_names, open_raster
from mlops_assets.datasets.sources.base import together
from mlops_assets.errors import SpecificationError
from mlops_assets.prediction.scenes.bands import Wanted, asset_bands, file_bands, find_bands
from mlops_assets.prediction.scenes.found import FoundScene, LocalScene, SourceFile
from mlops_assets.prediction.scenes.sources.files import (
    CallerLimits,
    Own,
    Stated,
    fetch,
    local_path,
)
from mlops_assets.prediction.scenes.sources.grids import PixelGrid, chosen, declared
from mlops_assets.prediction.scenes.sources.item_bands import (
    AssetBand,
    stated_nodata,
    wanted_assets,
)
from mlops_assets.prediction.scenes.sources.items import raster_assets
from mlops_assets.prediction.scenes.sources.stack import Codes, StackedBand, stack
from mlops_assets.text.listing import named
from mlops_assets.text.secret_urls import redacted

if TYPE_CHECKING:
    from mlops_assets.datasets.io.rasterio_types import Raster
    from mlops_assets.prediction.scenes.reading import Mask, Reading
    from mlops_assets.store import Store

# keys of codes that catalogues describe without classes: of Sentinel-2, of Landsat, of HLS
_CODES = frozenset({"scl", "qa", "fmask"})
_EMBEDDINGS = frozenset({"embedding", "embeddings"})  # roles


def open_scene(
    store: Store,
    found: FoundScene,
    wanted: Wanted,
    reading: Reading,
    folder: Path,
    caller: CallerLimits | None = None,
) -> LocalScene:
    """Bring a scene here, with the bands of a model on one grid.

    Remote files are copied whole, so that a map can be traced to every byte; files of this machine
    are read where they are. Bands are taken by name, else by common name or wavelength. Their grid
    is the declared one, else that of the finest of them, or of those nearest to the resolution that
    the model was trained on, cut to the area.

    Args:
        store: its workspace may hold the files.
        found: as `find_scenes` returned it.
        wanted: the bands of the model.
        reading: grid, mask and area.
        folder: an empty folder for copies and resampled bands; the raster needs it.
        caller: limits of what a caller of a server has named or sent; None for the user's scenes.

    Raises:
        SpecificationError: bands or the mask are missing, or no pixel is left.
        StorageError: a file cannot be read.
        IntegrityError: a file is not as its Item states.
        ValueError: a file is not a raster, or is damaged.
    """
    own = Own(found.href, store.workspace.url, caller)
    return _Opening(found, wanted, reading, folder, own).scene()


@dataclass(frozen=True)
class _Bands:
    """The bands of a scene, in the order of the model.

    Attributes:
        bands: with their files.
        files: all files that were read.
        notes: remarks for people.
    """

    bands: list[StackedBand]
    files: list[SourceFile]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Opening:
    found: FoundScene
    wanted: Wanted
    reading: Reading
    folder: Path
    own: Own

    def scene(self) -> LocalScene:
        found, reading = self.found, self.reading
        if found.item is None and reading.mask is not None:
            raise SpecificationError(
                f"{found.name} is a file without a STAC Item, so it has no asset"
                f" {reading.mask.asset!r} for the mask; leave out the mask, or name an Item"
            )
        if found.item is None and reading.grid is None and reading.area is None:
            path, file = self._fetched("", found.href, {})
            return LocalScene(found, path, (file, *self._sidecars(path)))
        taken = self._of_file() if found.item is None else self._of_item(found.item)
        hidden = None if reading.mask is None else self._codes(reading.mask, taken.files)
        grid = self._grid(taken.bands)
        area = None if reading.area is None else grid.in_crs(reading.area, found.name)
        with _of_scene(found.name):
            raster = stack(taken.bands, grid, hidden, area, self.folder)
        if raster is None:
            raise SpecificationError(
                f"{found.name} has no pixel with data in all bands, within the area and outside of"
                " the mask; name another scene"
            )
        return LocalScene(found, raster, tuple(taken.files), taken.notes)

    def _of_file(self) -> _Bands:
        path, file = self._fetched("", self.found.href, {})
        bands, note = self._by_file(path, "")
        return _Bands(bands, [file, *self._sidecars(path)], note)

    def _by_file(self, path: Path, asset: str) -> tuple[list[StackedBand], tuple[str, ...]]:
        """Return the bands of one file that has all, as the file and its Item describe them."""
        item = self.found.item
        stated = None if item is None else asset_bands(item, asset)
        with _of_scene(self.found.name, asset), open_raster(path) as raster:
            roles = find_bands(raster, path, self.wanted, self.reading.by_position, stated)
            bands = [
                self._band(raster, number, name, asset)
                for number, name in zip(roles.roles.measured, self.wanted.features, strict=True)
            ]
        return bands, () if roles.note is None else (roles.note,)

    def _of_item(self, item: Mapping[str, object]) -> _Bands:
        mask = self.reading.mask
        features = self.wanted.features
        others = () if mask is None or mask.asset in features else (mask.asset,)
        chosen = wanted_assets(self.found, self.wanted, others)
        assets = raster_assets(item)
        if isinstance(chosen, str):
            path, file = self._fetched(chosen, str(assets[chosen]["href"]), assets[chosen])
            bands, notes = self._by_file(path, chosen)
            return _Bands(bands, [file], notes)
        keys = list(dict.fromkeys(band.asset for band in chosen))
        several = together(
            lambda key: self._fetched(key, str(assets[key]["href"]), assets[key]), keys
        )
        fetched = dict(zip(keys, several, strict=True))
        bands = [
            self._stacked(fetched[band.asset][0], band, name)
            for band, name in zip(chosen, self.wanted.features, strict=True)
        ]
        return _Bands(bands, [file for _, file in fetched.values()])

    def _stacked(self, path: Path, band: AssetBand, name: str) -> StackedBand:
        """Return a band of an asset; its file's own names count more than the Item's order.

        Raises:
            SpecificationError: the file has another number of bands than the Item states.
        """
        item = cast("Mapping[str, object]", self.found.item)
        with _of_scene(self.found.name, band.asset), open_raster(path) as raster:
            own = [entry.name for entry in file_bands(raster, ())]
            stated = asset_bands(item, band.asset)
            if not band.single and own.count(band.band.name) == 1:
                number = own.index(band.band.name) + 1
            elif raster.count == max(len(stated), 1):
                number = band.place + 1
            elif band.single and len(band_names(raster)) == 1:
                number = 1
            else:
                raise SpecificationError(
                    f"{self.found.name}: asset {band.asset} has {raster.count} bands, and its Item"
                    f" describes {max(len(stated), 1)}; correct the Item"
                )
            return self._band(raster, number, name, band.asset)

    def _band(self, raster: Raster, number: int, name: str, asset: str) -> StackedBand:
        """Return a band of an open file, with what its Item states of it."""
        item = self.found.item
        nodata = None if item is None else stated_nodata(item, asset, number - 1)
        codes = self._is_coded(raster, number, asset)
        return StackedBand(Path(raster.name), number, name, codes, nodata)

    def _is_coded(self, raster: Raster, number: int, asset: str) -> bool:
        """Return whether values of a band are codes or embeddings."""
        from rasterio.enums import ColorInterp

        if raster.colorinterp[number - 1] == ColorInterp.palette:
            return True
        if self.found.item is None:
            return False
        if asset.lower().split("_")[0] in _CODES:
            return True
        entry = raster_assets(self.found.item)[asset]
        bands = entry.get("bands") or entry.get("raster:bands")
        described = bands[number - 1] if isinstance(bands, list) and number <= len(bands) else {}
        roles = entry.get("roles")
        return (
            "classification:classes" in entry
            or (isinstance(described, dict) and "classification:classes" in described)
            or (isinstance(roles, list) and any(role in _EMBEDDINGS for role in roles))
        )

    def _codes(self, mask: Mask, files: list[SourceFile]) -> Codes:
        """Return the raster of the mask, and add its file to those that were read.

        Raises:
            SpecificationError: the Item does not have it.
        """
        item = cast("Mapping[str, Mapping[str, Mapping[str, object]]]", self.found.item)
        asset = item["assets"].get(mask.asset)
        if asset is None:
            raise SpecificationError(
                f"Item {self.found.name} has no asset {mask.asset!r} for the mask that may be read;"
                " there are"
                f" {named(sorted(item['assets']))}"
            )
        path, file = self._fetched(mask.asset, str(asset["href"]), asset)
        if all(file.href != other.href for other in files):
            files.append(file)
        nodata = stated_nodata(item, mask.asset, 0)
        return Codes(path, mask.invalid if nodata is None else (*mask.invalid, nodata))

    def _grid(self, bands: list[StackedBand]) -> PixelGrid:
        name = self.found.name
        grids = []
        for path in dict.fromkeys(band.path for band in bands):
            with _of_scene(name), open_raster(path) as raster:
                grids.append(PixelGrid.of(raster))
        grid = chosen(grids, self.wanted.resolution)
        if self.reading.grid is not None:
            grid = declared(self.reading.grid, grid, name)
        return grid if self.reading.area is None else grid.cropped(self.reading.area, name)

    def _fetched(self, key: str, href: str, asset: Mapping[str, object]) -> tuple[Path, SourceFile]:
        checksum, size = asset.get("file:checksum"), asset.get("file:size")
        stated = Stated(
            checksum if isinstance(checksum, str) else None, size if isinstance(size, int) else None
        )
        # names of others do not become names of files
        digest = hashlib.sha256(f"{key}\n{href}".encode()).hexdigest()[:16]
        ending = posixpath.splitext(urlsplit(href).path)[1]
        target = self.folder / f"{digest}{ending if ending[1:].isalnum() else ''}"
        path, sha256, size_read = fetch(href, self.own, target, stated)
        self._require_small(path, key)
        if (self.found.item is not None or path == target) and is_vrt(path):
            raise SpecificationError(
                f"{redacted(href)} of {self.found.name} is a VRT, which may name any file of this"
                " machine; only a local VRT without an Item is read, so convert it to GeoTIFF"
            )
        return path, SourceFile(key, href, sha256, size_read)

    def _require_small(self, path: Path, asset: str) -> None:
        """Refuse a raster that is larger than a caller of a server may have read.

        Raises:
            SpecificationError: it is.
        """
        limits = self.own.caller
        if limits is None:
            return
        with _of_scene(self.found.name, asset), open_raster(path) as raster:
            size = raster.width * raster.height
        if size > limits.pixels:
            raise SpecificationError(
                f"{self.found.name} has {size:,} pixels, and at most {limits.pixels:,} are taken"
                " here; send a part of it, or map it with 'mlops predict'"
            )

    def _sidecars(self, path: Path) -> list[SourceFile]:
        """Return the files beside a raster that GDAL reads with it."""
        if local_path(self.found.href) is None:
            return []
        with _of_scene(self.found.name), open_raster(path) as raster:
            others = [Path(file) for file in raster.files if Path(file) != path]
        beside = [other.absolute().as_uri() for other in others if other.is_file()]
        return [SourceFile("", href, *fetch(href, self.own, path, Stated())[1:]) for href in beside]


@contextmanager
def _of_scene(name: str, asset: str = "") -> Iterator[None]:
    """Name the scene in the errors of its files.

    Raises:
        ValueError: a file is not a raster, or is damaged.
    """
    where = f"asset {asset} of {name}" if asset else name
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
