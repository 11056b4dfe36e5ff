"""A user's declaration of the area that models of a dataset are to map."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator, model_validator

from mlops_assets.datasets.specification.description import require_box
from mlops_assets.datasets.specification.source import require_supported
from mlops_assets.strict import Strict


class TargetArea(Strict):
    """The area to be mapped, which the test split is compared with."""

    # a list, as Dagster's docs cannot show tuples
    bbox: list[float] | None = Field(
        default=None,
        min_length=4,
        max_length=4,
        description="West, south, east, north; degrees. West > east across the antimeridian.",
    )
    area: str | None = Field(
        default=None,
        description=(
            "GeoJSON file with polygons, beside the declaration; or an absolute path, or a file://,"
            " s3://, az://, gs:// or https:// URL."
        ),
    )
    scenes: list[str] = Field(
        default=[],
        description=(
            "Scenes to be mapped: GeoTIFF files and folders of them, as paths relative to the"
            " workspace, absolute paths, or URLs."
            " With them bands are compared, too; within 'bbox' or 'area' where one is given."
        ),
    )
    max_difference: float = Field(
        default=0.5,
        ge=0,
        description=(
            "Wasserstein distance between the distances to training of test samples and of the"
            " area, as a share of the larger of their means. 0.5: one is twice the other."
        ),
    )

    @field_validator("area", "scenes")
    @classmethod
    def _supported(cls, declared: str | list[str] | None) -> str | list[str] | None:
        for url in [declared] if isinstance(declared, str) else declared or []:
            # a file may lie anywhere beside the declaration
            if isinstance(declared, str) and "://" not in url:
                continue
            if require_supported(url).startswith("stac+"):
                raise ValueError(f"{url}: a STAC API is not searched here; name files or folders")
        return declared

    def beside(self, folder: Path) -> TargetArea:
        """Return the declaration with the path of its file, if that is relative to a folder."""
        if self.area is None or "://" in self.area:
            return self
        return self.model_copy(update={"area": str(folder.absolute() / self.area)})

    @model_validator(mode="after")
    def _one_place(self) -> TargetArea:
        if self.bbox is not None:
            require_box(self.bbox)
        if self.bbox is not None and self.area is not None:
            raise ValueError("bbox and area: remove one of them")
        if self.bbox is None and self.area is None and not self.scenes:
            raise ValueError("needs a place: 'bbox', 'area' or 'scenes'")
        return self
