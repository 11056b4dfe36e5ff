"""The shape of one sample of a data version, as `version.json` stores it under `input`."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    @property
    def counted(self) -> str:
        """The units that a class is counted in: each sample has one label."""
        return "samples"


class RowShape(_Shape):
    """One row of a table: one value per feature.

    Attributes:
        size: always 1; stored for compatibility.
    """

    kind: Literal["row"] = "row"
    size: int = 1

    @property
    def sides(self) -> tuple[int, ...]:
        """Empty: a row has no height and width."""
        return ()


class PatchShape(_Shape):
    """The square around one labelled pixel.

    Attributes:
        size: height and width, pixels.
    """

    kind: Literal["patch"] = "patch"
    size: int

    @property
    def sides(self) -> tuple[int, ...]:
        """Height and width, pixels."""
        return self.size, self.size


class WindowShape(_Shape):
    """A square tile of a scene, with a label for each pixel.

    Attributes:
        size: height and width, pixels.
    """

    kind: Literal["window"] = "window"
    size: int

    @property
    def counted(self) -> str:
        """The units that a class is counted in: each pixel has its own label."""
        return "labelled pixels"

    @property
    def sides(self) -> tuple[int, ...]:
        """Height and width, pixels."""
        return self.size, self.size


class ImageShape(_Shape):
    """A whole image with one label.

    Attributes:
        height: pixels.
        width: pixels.
    """

    kind: Literal["image"] = "image"
    height: int
    width: int

    @property
    def sides(self) -> tuple[int, ...]:
        """Height and width, pixels."""
        return self.height, self.width


SampleShape: TypeAlias = Annotated[
    RowShape | PatchShape | WindowShape | ImageShape, Field(discriminator="kind")
]
