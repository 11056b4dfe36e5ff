from typing import Any

import pytest
from pydantic import TypeAdapter

from mlops_assets.datasets.versions.sample_shape import (
    ImageShape,
    PatchShape,
    RowShape,
    SampleShape,
    WindowShape,
)

SHAPES: TypeAdapter[SampleShape] = TypeAdapter(SampleShape)


@pytest.mark.parametrize(
    ("stored", "shape", "sides"),
    [
        ({"kind": "row", "size": 1}, RowShape(), ()),
        ({"kind": "patch", "size": 5}, PatchShape(size=5), (5, 5)),
        ({"kind": "window", "size": 8}, WindowShape(size=8), (8, 8)),
        ({"kind": "image", "height": 3, "width": 4}, ImageShape(height=3, width=4), (3, 4)),
    ],
)
def test_shapes_of_samples(
    stored: dict[str, Any], shape: SampleShape, sides: tuple[int, ...]
) -> None:
    assert SHAPES.validate_python(stored) == shape
    assert shape.model_dump() == stored
    assert shape.sides == sides
