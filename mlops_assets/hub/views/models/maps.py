"""Maps that versions of a model have made, with pictures of them and of their applicability."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING

from mlops_assets.errors import NotFound, StorageError
from mlops_assets.names import Reference
from mlops_assets.paths import map_key
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.registry.records.maps import MapFilter
from mlops_assets.store import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_PAGE = 60
PAGE = 12
_SIDE = 512  # pixels of a picture's longer side
# as RGBA; told apart without red and green, too: Okabe and Ito, https://jfly.uni-koeln.de/color/
_INSIDE, _OUTSIDE, _NO_DATA = (86, 180, 233, 255), (213, 94, 0, 255), (0, 0, 0, 0)


@dataclass(frozen=True)
class ShownMap:
    """A map.

    Attributes:
        name: of the map.
        version: of the model that has made it.
        data: `dataset@version` that the model was trained on.
        area: that it is of; None for a map of scenes alone.
        day: of acquisition; None if unknown.
        created: when it was made.
        created_by: by whom.
        outside: share of the predicted pixels outside the area of applicability; None if unknown.
        digest: sha256 over its files.
        files: end of the name → key of the workspace.
        collection: id of the STAC Collection that it is in.
        item: id of its STAC Item.
    """

    name: str
    version: str
    data: str
    area: str | None
    day: str | None
    created: datetime
    created_by: str
    outside: float | None
    digest: str
    files: dict[str, str]
    collection: str
    item: str

    @property
    def picture(self) -> str | None:
        """The key of its picture; None if it has none."""
        return self.files.get(".png")

    @property
    def has_applicability(self) -> bool:
        """Whether it states where it is applicable."""
        return _APPLICABILITY in self.files


_APPLICABILITY = ".applicability.tif"
_ENDS = (".png", ".tif", _APPLICABILITY, ".tif.aux.xml", ".map.json")


def maps_of(
    store: Store, model: str, version: str | None = None, page: int = 1, size: int = PAGE
) -> list[ShownMap]:
    """Return maps that a model has made, newest first.

    Args:
        store: workspace and registry.
        model: its name.
        version: only of this version; of all if None.
        page: number of the page, from 1; one beyond the last is empty.
        size: maps of a page, `MAX_PAGE` at most.
    """
    size = max(1, min(size, MAX_PAGE))
    rows = store.registry.maps(
        MapFilter(model=model, version=version), size, (max(1, page) - 1) * size
    )
    keys = {
        map_key(row.model, row.version, row.name, end): (row.version, row.name, end)
        for row in rows
        for end in _ENDS
    }
    files: dict[tuple[str, str], dict[str, str]] = {}
    for path in sorted(file.path for file in store.registry.files_at(*keys)):
        owner, name, end = keys[path]
        files.setdefault((owner, name), {})[end] = path
    return [
        ShownMap(
            name=row.name,
            version=row.version,
            data=f"{row.dataset}@{row.data_version}",
            area=row.area,
            day=row.day,
            created=row.created,
            created_by=row.created_by,
            outside=row.outside,
            digest=row.digest,
            files=files.get((row.version, row.name), {}),
            collection=row.collection,
            item=row.item,
        )
        for row in rows
    ]


def applicability_picture(store: Store, reference: Reference, name: str) -> bytes:
    """Return where a map is inside and outside the area of applicability, as a PNG.

    The published raster is read at a lower resolution, from its overviews where it has them.

    Args:
        store: workspace and registry.
        reference: to the model version that has made the map.
        name: of the map.

    Raises:
        IntegrityError: the raster is not as it was published.
        NotFound: there is no such map, or it does not state its applicability.
        StorageError: it cannot be read.
    """
    import rasterio
    from rasterio.errors import RasterioError

    row = store.registry.model_version(reference)
    key = map_key(row.model, row.version, name, _APPLICABILITY)
    if not store.registry.files_at(key):
        raise NotFound(f"the map {name!r} of {row.model}@{row.version} has no {_APPLICABILITY}")
    path = published_path(store.workspace, store.registry, key)
    try:
        with rasterio.open(path) as source:
            scale = max(1.0, max(source.shape) / _SIDE)
            shape = tuple(max(1, round(side / scale)) for side in source.shape)
            band = list(source.descriptions).index("aoa") + 1 if "aoa" in source.descriptions else 2
            inside = source.read(band, out_shape=shape)
    except RasterioError as error:
        raise StorageError(f"{key} cannot be read as a raster: {error}") from error
    return _png(inside)


def _png(inside: NDArray[np.float32]) -> bytes:
    """Draw an array of 1 (inside), 0 (outside) and NaN (no data)."""
    import numpy as np
    from PIL import Image

    pixels = np.empty((*inside.shape, 4), dtype=np.uint8)
    pixels[:] = _OUTSIDE
    pixels[inside > 0] = _INSIDE
    pixels[~np.isfinite(inside)] = _NO_DATA
    target = BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()
