"""Git LFS pointers where rasters are opened that nobody has landed.

Landings are in the contract of the layouts.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.datasets.io.rasters import open_raster


def test_a_raster_that_is_a_git_lfs_pointer_is_named_as_such(tmp_path: Path) -> None:
    scene = tmp_path / "scene.tif"
    scene.write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    )
    with (
        pytest.raises(
            ValueError, match=r"^is a Git LFS pointer, not the data itself; run 'git lfs pull'"
        ),
        open_raster(scene),
    ):
        pass
    scene.write_text("version 1")
    with (
        pytest.raises(ValueError, match=r"^cannot be read or written as a raster"),
        open_raster(scene),
    ):
        pass
