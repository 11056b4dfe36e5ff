"""What a user declares about a dataset, as strict models; every description shows in Dagster's docs.

Only declarations and the rules that need no data; rules that need data are in the layout readers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mlops_assets.names import check_name

SPLITS = ("train", "validation", "test")
SplitMethod = Literal["column", "random", "group", "spatial_block", "temporal"]


class Strict(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TableLayout(Strict):
    """How tables (CSV, TSV, Parquet, GeoParquet) are read: one row is one sample."""

    label: str = Field(description="Column with the class or the number to learn.")
    features: Literal["*"] | list[str] = Field(
        default="*", description="Feature columns; '*' takes every numeric column that has no other part to play."
    )
    exclude: list[str] = Field(default=[], description="Columns that '*' leaves out, such as identifiers.")
    group: str | None = Field(default=None, description="Column whose values must stay together in one split.")
    split: str | None = Field(default=None, description="Column that names the split, for 'method: column'.")
    time: str | None = Field(default=None, description="Column with the date or time, for 'method: temporal'.")
    label_is: Literal["class", "number"] | None = Field(
        default=None,
        description="Whether the label is a class or a number. If not given: declared classes and texts are classes, "
        "and so are whole numbers that each occur often.",
    )
    columns: list[str] | None = Field(default=None, description="Column names, if the files have no header line.")
    decimal: Literal[".", ","] = Field(default=".", description="Decimal mark of text files.")
    delimiter: str | None = Field(default=None, description="Field delimiter of text files; recognised if not given.")


class ScenesLayout(Strict):
    """How scenes (a raster with a label raster each) are read: as patches around labelled pixels, or as windows."""

    images: str = Field(default="images/*.tif", description="Path of the images; '*' is the scene's name.")
    labels: str = Field(default="labels/*.tif", description="Path of the label rasters; '*' is the same scene's name.")
    unlabelled: int | None = Field(default=0, description="Value in the label raster that means 'nobody knows'.")
    read: Literal["patches", "windows"] = Field(
        default="patches",
        description="'patches' around labelled pixels (classification), or 'windows' (segmentation).",
    )
    size: int = Field(default=1, ge=1, le=1024, description="Height and width of a patch (odd) or a window, pixels.")

    @model_validator(mode="after")
    def _odd_patches(self) -> ScenesLayout:
        if self.read == "patches" and self.size % 2 == 0:
            raise ValueError(f"size: a patch needs an odd size to have a centre pixel, not {self.size}")
        for key, pattern in (("images", self.images), ("labels", self.labels)):
            if pattern.count("*") != 1:
                raise ValueError(f"{key}: {pattern!r} needs exactly one '*', the scene's name")
        return self


class Source(Strict):
    """Where a dataset's files arrive and how they are read."""

    url: str = Field(
        description="Folder of the landing: relative to the workspace, an absolute path, or a file:// URL."
    )
    layout: Literal["table", "scenes", "image_folder", "stac"] = Field(description="How the files are read.")
    table: TableLayout | None = Field(default=None, description="Options of 'layout: table'.")
    scenes: ScenesLayout | None = Field(default=None, description="Options of 'layout: scenes'.")

    @property
    def table_layout(self) -> TableLayout:
        """Options of layout `table`, which the checks below make sure are there."""
        if self.table is None:
            raise ValueError(f"layout {self.layout!r} has no table options")
        return self.table

    @field_validator("url")
    @classmethod
    def _supported_url(cls, url: str) -> str:
        scheme, found, _ = url.partition("://")
        if found and scheme != "file":
            raise ValueError(f"{url}: landings on {scheme}:// are not yet supported; use a folder or file://")
        if found and not url.startswith("file:///"):
            raise ValueError(f"{url}: a file URL is written file:///ABSOLUTE/PATH")
        return url

    @model_validator(mode="after")
    def _options_fit_layout(self) -> Source:
        if self.layout in ("image_folder", "stac"):
            raise ValueError(f"layout: {self.layout!r} is not yet supported; use 'table' or 'scenes'")
        if self.layout == "table" and self.table is None:
            raise ValueError("layout 'table' needs 'table: {label: COLUMN}'")
        for name in ("table", "scenes"):
            if name != self.layout and getattr(self, name) is not None:
                raise ValueError(f"'{name}:' does not go with layout {self.layout!r}")
        return self


class Split(Strict):
    """How samples are divided into train, validation and test."""

    method: SplitMethod = Field(
        default="random",
        description="'random' by content, 'group' by a column, 'column' as the data says, 'spatial_block' by place, "
        "'temporal' by date. All but 'temporal' keep a sample in its split when the dataset grows.",
    )
    fractions: dict[Literal["train", "validation", "test"], float] = Field(
        default={"train": 0.7, "validation": 0.1, "test": 0.2}, description="Share of each split; they sum to 1."
    )
    seed: int = Field(default=0, description="Another seed gives another division.")
    block: int = Field(default=32, ge=1, description="Side of a block for 'spatial_block', pixels.")
    buffer: int = Field(
        default=0,
        ge=0,
        description="Samples nearer than this to a training block are left out of the other splits, pixels.",
    )

    @field_validator("fractions")
    @classmethod
    def _sum_to_one(cls, fractions: dict[str, float]) -> dict[str, float]:
        if not all(value >= 0 for value in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-6:
            raise ValueError(f"fractions must be positive and sum to 1, not {sum(fractions.values()):g}")
        if not fractions.get("train") or not fractions.get("test"):
            raise ValueError("fractions need a 'train' and a 'test' share above 0")
        return fractions


class Extent(Strict):
    """Where and when the data was taken, if the files do not say."""

    # lists, as Dagster's docs cannot show tuples
    bbox: list[float] = Field(min_length=4, max_length=4, description="West, south, east, north; degrees.")
    interval: list[datetime | None] = Field(min_length=2, max_length=2, description="First and last time, ISO 8601.")
    approximate: bool = Field(default=False, description="The extent is known only roughly.")
    source: str | None = Field(default=None, description="Where the extent is known from.")

    @model_validator(mode="after")
    def _ordered(self) -> Extent:
        west, south, east, north = self.bbox
        if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
            raise ValueError(f"bbox {self.bbox} is not [west, south, east, north] in degrees")
        start, end = (time if time is None or time.tzinfo else time.replace(tzinfo=UTC) for time in self.interval)
        if start and end and start > end:
            raise ValueError("interval ends before it starts")
        return self


class Provider(Strict):
    """Who made, licenses or hosts the data (STAC `providers`)."""

    name: str
    roles: list[Literal["licensor", "producer", "processor", "host"]] = []
    url: str | None = None


class Bands(Strict):
    """What the bands of the scenes are."""

    names: list[str] | None = Field(default=None, description="Names, in file order; from the files if not given.")
    center_wavelengths: list[float] | None = Field(default=None, description="Centre wavelengths, in file order; µm.")


class Quality(Strict):
    """Thresholds of the blocking checks."""

    max_duplicates: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of test rows whose exact feature values also occur in training. Coarse measurements collide "
        "by nature; more than a tenth is a copy.",
    )


class SensorSettings(Strict):
    """How the landing is watched."""

    interval_seconds: int = Field(default=30, ge=5, description="Seconds between looks.")
    settle_seconds: int = Field(default=60, ge=0, description="New data must have been unchanged for so long.")


class DatasetSpecification(Strict):
    """A training dataset as declared."""

    name: str = Field(description="Name of the dataset: a letter, then letters, digits and '_'.")
    title: str | None = Field(default=None, description="One line for people.")
    description: str = Field(default="", description="What the data is and how it was made.")
    license: str = Field(default="other", description="SPDX identifier, or 'other'.")
    providers: list[Provider] = Field(default=[], description="Who made, licenses or hosts the data.")
    doi: str | None = Field(default=None, description="DOI of the data.")
    citation: str | None = Field(default=None, description="How to cite the data.")
    source: Source = Field(description="Where the files arrive and how they are read.")
    classes: dict[int | str, str] | None = Field(
        default=None, description="Label value → class name. Taken from the labels of a table if not given."
    )
    bands: Bands = Field(default=Bands(), description="What the bands of the scenes are.")
    extent: Extent | None = Field(default=None, description="Where and when, if the files do not say.")
    split: Split = Field(default=Split(), description="How samples are divided.")
    quality: Quality = Field(default=Quality(), description="Thresholds of the blocking checks.")
    sensor: SensorSettings = Field(default=SensorSettings(), description="How the landing is watched.")

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        try:
            return check_name(name, "dataset name")
        except Exception as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _split_fits_source(self) -> DatasetSpecification:
        classes = self.classes or {}
        ambiguous = {name for value, name in classes.items() for v in classes if name == str(v) and v != value}
        if ambiguous:
            raise ValueError(
                f"classes: {', '.join(sorted(ambiguous))} is both a value and another class's name; rename it"
            )
        if len(set(classes.values())) < len(classes):
            raise ValueError("classes: two values have one name; give each its own, or one value in the data")
        table = self.source.table
        column = {"column": "split", "group": "group", "temporal": "time"}.get(self.split.method)
        if column and (table is None or getattr(table, column) is None):
            raise ValueError(f"split method {self.split.method!r} needs 'table: {{{column}: COLUMN}}' in the source")
        if self.split.method == "spatial_block" and self.source.layout != "scenes":
            raise ValueError("split method 'spatial_block' needs layout 'scenes'")
        if self.source.layout == "scenes":
            scenes = self.source.scenes or ScenesLayout()
            if self.split.method not in ("spatial_block", "random"):
                raise ValueError(f"split method {self.split.method!r} does not go with layout 'scenes'")
            if self.split.method == "spatial_block" and scenes.read == "windows" and self.split.block % scenes.size:
                raise ValueError(f"split block {self.split.block} must be a multiple of the window size {scenes.size}")
            if not self.classes and scenes.read == "patches":
                raise ValueError("layout 'scenes' needs 'classes: {VALUE: NAME}'")
        return self

    def frozen(self) -> dict[str, Any]:
        """Return the declaration as it is kept with a data version; how the landing is watched is no part of it."""
        return self.model_dump(mode="json", exclude={"sensor"})
