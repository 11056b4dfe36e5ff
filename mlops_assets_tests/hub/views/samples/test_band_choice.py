"""Which bands a picture has."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import SpecificationError
from mlops_assets.hub.views.samples.band_choice import chosen_composite, composites
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification

WAVELENGTHS = [0.443, 0.492, 0.560, 0.665, 0.705, 0.833]


def committed(
    store: Store, land_scenes: Callable[..., Commit], bands: int, **declared: object
) -> CommittedDataset:
    """Scenes of so many bands, declared so."""
    land_scenes(scenes_specification(bands=declared), bands=bands)
    return CommittedDataset.open(store.workspace, store.registry, Reference("scenes", "v1"))


@pytest.mark.parametrize(
    ("bands", "declared", "true", "false"),
    [
        (6, {"center_wavelengths": WAVELENGTHS}, [3, 2, 1], [5, 3, 2]),
        (4, {"common_names": ["nir", "red", "green", "blue"]}, [1, 2, 3], [0, 1, 2]),
        (4, {"names": ["S2_B02", "S2_B03", "S2_B04", "S2_B08"]}, [2, 1, 0], [3, 2, 1]),
        # 2.2 µm is no colour, whatever is nearest
        (3, {"center_wavelengths": [1.6, 2.2, 0.56]}, None, None),
        # no more than numbers of bands
        (8, {}, None, None),
    ],
)
def test_colours_are_found_by_wavelength_common_name_or_usual_name(
    store: Store,
    land_scenes: Callable[..., Commit],
    bands: int,
    declared: dict[str, object],
    true: list[int] | None,
    false: list[int] | None,
) -> None:
    found = {one.name: one.indices for one in composites(
        committed(store, land_scenes, bands, **declared)
    )}  # fmt: skip
    assert (found.get("true"), found.get("false")) == (true, false)
    assert len(found) == (2 if true else 1)


def test_bands_may_be_named_also_with_commas_in_names(
    store: Store, land_scenes: Callable[..., Commit]
) -> None:
    names = ["a", "b,c", "d", "e"]
    version = committed(store, land_scenes, 4, names=names)
    offered = composites(version)
    assert chosen_composite("scenes@v1", names, offered, "e,b,c,a").indices == [3, 1, 0]
    assert chosen_composite("scenes@v1", names, offered, "b,c").indices == [1]
    for wrong in ("a,d", "a,d,x", "true"):
        with pytest.raises(SpecificationError, match="b,c"):
            chosen_composite("scenes@v1", names, offered, wrong)


def test_one_band_is_grey(store: Store, land_scenes: Callable[..., Commit]) -> None:
    folder = store.workspace.root / "landing/scenes"
    version = committed(store, land_scenes, 1)
    (only,) = composites(version)
    assert (only.name, only.indices) == ("grey", [0])
    with open_raster(folder / "images/a.tif") as raster:
        assert np.asarray(raster.read()).shape[0] == 1
