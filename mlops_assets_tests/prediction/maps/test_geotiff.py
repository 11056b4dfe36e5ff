"""The GeoTIFFs of a map."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.prediction.maps.geotiff import (
    MapClass,
    MapGrid,
    class_layer,
    open_layer,
    write_cog,
    write_rows,
)


def test_a_map_of_classes_is_written_without_an_error_of_gdal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layer = class_layer([MapClass(1, "water", (0, 0, 255)), MapClass(2, "forest", (0, 128, 0))])
    grid = MapGrid(4, 5, None, None)
    with caplog.at_level(logging.INFO, "rasterio"):
        with open_layer(tmp_path / "plain.tif", grid, layer, {}) as raster:
            write_rows(raster, 0, np.ones((1, 4, 5), np.uint8))
        write_cog(tmp_path / "plain.tif", tmp_path / "map.tif", layer)
    # they are in the log of a run
    assert "GDAL signalled an error" not in caplog.text
    with open_raster(tmp_path / "map.tif") as raster:
        assert raster.colormap(1)[1] == (0, 0, 255, 255)
