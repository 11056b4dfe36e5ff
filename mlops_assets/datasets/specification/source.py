"""A user's declaration of where a dataset's files arrive and how they are read.

Only declarations and the rules that need no data; rules that need data are in the layouts.
"""

from __future__ import annotations

import codecs
import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from mlops_assets.strict import Strict
from mlops_assets.text.secret_urls import redacted

SCHEMES = ("file", "s3", "az", "gs", "http", "https", "stac+http", "stac+https")


# names of vector files end in these
VECTOR_SUFFIXES = (".geojson", ".json", ".gpkg", ".shp", ".fgb", ".parquet", ".geoparquet")
UTF_8 = "utf-8"


def require_supported(url: str) -> str:
    """Return a path or URL as declared, in a validator.

    Raises:
        ValueError: its scheme is not supported, it has a secret, or leads out of the workspace.
    """
    scheme, found, _ = url.partition("://")
    if found and scheme not in SCHEMES:
        raise ValueError(
            f"{url}: landings on {scheme}:// are not supported; use {', '.join(SCHEMES)}"
        )
    if scheme == "file" and found and not url.startswith("file:///"):
        raise ValueError(f"{url}: a file URL is written file:///ABSOLUTE/PATH")
    if redacted(url) != url:
        raise ValueError(
            f"{redacted(url)}: has a secret, and a declaration ends up in records; put"
            " credentials into the environment or .env, see docs/workspace.md"
        )
    if not found and ".." in url.split("/"):
        raise ValueError(f"{url}: leads out of the workspace; give an absolute path or a URL")
    return url


def _not_given(value: object) -> bool:
    """Return whether an option is not used, so that it is left out of documents.

    Earlier versions do not have it; without it their digests stay as they are.
    """
    return value is None


class TableLayout(Strict):
    """Layout of tables (CSV, TSV, Parquet, GeoParquet): one row is one sample."""

    label: str = Field(description="Column with the class or the number to learn.")
    features: Literal["*"] | list[str] = Field(
        default="*",
        description=(
            "Feature columns; '*' takes every numeric column that has no other part to play."
        ),
    )
    exclude: list[str] = Field(
        default=[], description="Columns that '*' leaves out, such as identifiers."
    )
    group: str | None = Field(
        default=None, description="Column whose values must stay together in one split."
    )
    split: str | None = Field(
        default=None, description="Column that names the split, for 'method: column'."
    )
    time: str | None = Field(
        default=None, description="Column with the date or time, for 'method: temporal'."
    )
    id: str | None = Field(
        default=None, description="Column that identifies a sample; no value may occur twice."
    )
    longitude: str | None = Field(
        default=None, description="Column with the longitude in degrees (WGS 84)."
    )
    latitude: str | None = Field(
        default=None, description="Column with the latitude in degrees (WGS 84)."
    )
    x: str | None = Field(
        default=None,
        exclude_if=_not_given,
        description="Column with the easting, in the unit of 'crs'.",
    )
    y: str | None = Field(
        default=None,
        exclude_if=_not_given,
        description="Column with the northing, in the unit of 'crs'.",
    )
    crs: str | None = Field(
        default=None,
        exclude_if=_not_given,
        description="Reference system of the columns x and y, e.g. EPSG:32632.",
    )
    label_is: Literal["class", "number"] | None = Field(
        default=None,
        description=(
            "Whether the label is a class or a number. If not given: declared classes and texts are"
            " classes, and so are whole numbers that each occur often."
        ),
    )
    columns: list[str] | None = Field(
        default=None, description="Column names, if the files have no header line."
    )
    decimal: Literal[".", ","] = Field(default=".", description="Decimal mark of text files.")
    delimiter: str | None = Field(
        default=None, description="Field delimiter of text files; recognised if not given."
    )
    encoding: str = Field(
        default=UTF_8,
        exclude_if=lambda encoding: encoding == UTF_8,  # versions without it keep their digest
        description="Encoding of text files, by Python's name of it, e.g. cp1252.",
    )

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        try:
            known = codecs.lookup(encoding).name
            "".encode(encoding)  # not all codecs are of texts
        except LookupError as error:
            raise ValueError(
                f"{encoding!r} is not an encoding that Python knows; see its list of standard"
                " encodings"
            ) from error
        return UTF_8 if known == "utf-8" else encoding

    @model_validator(mode="after")
    def _both_coordinates(self) -> TableLayout:
        if (self.longitude is None) != (self.latitude is None):
            raise ValueError("longitude and latitude: name both columns, or neither")
        if len({self.x is None, self.y is None, self.crs is None}) > 1:
            raise ValueError(
                "x, y and crs: name both columns and their reference system, such as EPSG:32632, or"
                " none"
            )
        if self.x is not None and self.longitude is not None:
            raise ValueError(
                "x and y, or longitude and latitude: name one pair of columns, as a row has one"
                " place"
            )
        return self


class ImageFolderLayout(Strict):
    """Layout of a folder of images (GeoTIFF, PNG, JPEG, NPY): one file is one sample."""

    pattern: str = Field(
        default="{label}/*",
        description=(
            "Path of the images: '{label}' is the class, '{split}' the split, '{group}' the group,"
            " '*' anything but '/'."
        ),
    )
    size: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description=(
            "Height and width in pixels that images are cut to around their centre, or mirrored out"
            " to. Needed only where images differ in size."
        ),
    )
    date: str | None = Field(
        default=None,
        description=(
            "Date in the file's path as strptime codes, e.g. '%Y-%m-%d' or '%Y%m%dT%H%M%S'."
        ),
    )
    apply_scale: bool = Field(
        default=False,
        exclude_if=lambda applied: not applied,  # versions without it keep their digest
        description=(
            "Give physical values, by scale and offset of each file, instead of the stored numbers."
        ),
    )

    @field_validator("pattern")
    @classmethod
    def _known_parts(cls, pattern: str) -> str:
        parts = re.findall(r"\{([^}]*)\}", pattern)
        if (
            parts.count("label") != 1
            or set(parts) - {"label", "split", "group"}
            or len(set(parts)) < len(parts)
        ):
            raise ValueError(
                f"pattern {pattern!r} needs '{{label}}' once; '{{split}}' and '{{group}}' may"
                " occur once"
            )
        return pattern


class Sampling(Strict):
    """The sampling of scenes: as patches around labelled pixels, or as windows."""

    label_column: str | None = Field(
        default=None,
        description="Column of vector labels with the class (value or name) or number.",
    )
    label_is: Literal["class", "number"] = Field(
        default="class",
        description="Whether a label is a class, or a number to estimate (regression).",
    )
    unlabelled: int | None = Field(
        default=0, description="Value in the label raster that means 'unknown'."
    )
    read: Literal["patches", "windows"] = Field(
        default="patches",
        description=(
            "'patches' around labelled pixels (classification, regression), or 'windows'"
            " (segmentation)."
        ),
    )
    size: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Height and width of a patch (odd) or a window, pixels.",
    )
    apply_scale: bool = Field(
        default=False,
        exclude_if=lambda applied: not applied,  # versions without it keep their digest
        description=(
            "Give physical values, by scale and offset of each file, instead of the stored numbers."
        ),
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> Sampling:
        if self.read == "patches" and self.size % 2 == 0:
            raise ValueError(
                f"size: a patch needs an odd size to have a centre pixel, not {self.size}"
            )
        if self.read == "windows" and self.label_is == "number":
            raise ValueError(
                "label_is: numbers are estimated for patches; windows are for segmentation"
            )
        return self


class ScenesLayout(Sampling):
    """Layout of scenes (rasters of any size with labels as rasters or vectors)."""

    images: str | list[str] = Field(
        default="images/*.tif",
        description=(
            "Path of the images; '*' is the scene's name. Several paths are the files of one scene,"
            " whose bands are stacked in this order."
        ),
    )
    labels: str = Field(
        default="labels/*.tif",
        description=(
            "Path of the labels: a raster or a vector file (GeoJSON, Shapefile, GeoPackage,"
            " GeoParquet) a scene with '*' for its name, or one vector file for all scenes."
        ),
    )
    date: str | None = Field(
        default=None,
        description=(
            "Date in the scene's name as strptime codes, e.g. '%Y-%m-%d', if the files lack it."
        ),
    )

    @property
    def image_patterns(self) -> list[str]:
        """Patterns of the image files of a scene, in band order."""
        return [self.images] if isinstance(self.images, str) else list(self.images)

    @model_validator(mode="after")
    def _one_star(self) -> ScenesLayout:
        for pattern in self.image_patterns or [""]:
            if pattern.count("*") != 1:
                raise ValueError(f"images: {pattern!r} needs exactly one '*', the scene's name")
        if self.labels.count("*") > 1:
            raise ValueError(
                f"labels: {self.labels!r} needs one '*', the scene's name, or none: one file"
                " for all"
            )
        return self


class StacLayout(Sampling):
    """Layout of a STAC catalogue: Items are scenes, or images with a class each."""

    catalog: str = Field(
        default="catalog.json", description="Catalog, Collection or ItemCollection below the URL."
    )
    images: list[str] = Field(
        default=["image"],
        min_length=1,
        description=(
            "Keys of the image assets, stacked in this order; '{id}' in a key is the Item's id."
        ),
    )
    labels: str | None = Field(
        default="labels",
        description=(
            "Key of the label asset, raster or vector; on the Item itself or on one that links to"
            " it by 'source' (label extension)."
        ),
    )
    label: str | None = Field(
        default=None,
        description=(
            "Item property with the class or number of the whole image, instead of 'labels'."
        ),
    )
    group: str | None = Field(
        default=None, description="Item property whose values stay together in one split."
    )
    split: str | None = Field(
        default=None, description="Item property that names the split, e.g. 'ml-aoi:split'."
    )
    assets: Literal["copy", "reference"] = Field(
        default="copy",
        description="Copy the assets in, or leave them where they are and keep checksum and size.",
    )
    collections: list[str] | None = Field(
        default=None, description="Collections to take, all if not given."
    )
    bbox: list[float] | None = Field(
        default=None,
        min_length=4,
        max_length=4,
        description="Search of a STAC API: west, south, east, north.",
    )
    datetime: str | None = Field(
        default=None, description="Search of a STAC API: time or interval, ISO 8601."
    )
    query: str | None = Field(default=None, description="Search of a STAC API: a CQL2 text filter.")

    @model_validator(mode="after")
    def _labels_from_one_place(self) -> StacLayout:
        if (self.labels is None) == (self.label is None):
            raise ValueError(
                "labels: name the key of the label asset, or 'labels: null' and 'label: PROPERTY'"
            )
        return self


class Notifications(Strict):
    """Bucket notifications of new files, which save listing a large landing to detect changes."""

    queue: str = Field(
        description="URL of the SQS queue that the bucket's notifications arrive in."
    )
    region: str | None = Field(
        default=None, description="Region of the queue; from the environment if not given."
    )


class Source(Strict):
    """The place where a dataset's files arrive, and their layout."""

    url: str = Field(
        description=(
            "Folder of the landing: relative to the workspace, an absolute path, or a file://,"
            " s3://, az://, gs:// or https:// URL; a STAC API is written stac+https://."
        )
    )
    layout: Literal["table", "image_folder", "scenes", "stac"] = Field(
        description="How the files are read."
    )
    files: list[str] | None = Field(
        default=None, description="Files below an https:// URL, which cannot be listed."
    )
    table: TableLayout | None = Field(default=None, description="Options of 'layout: table'.")
    image_folder: ImageFolderLayout | None = Field(
        default=None, description="Options of 'layout: image_folder'."
    )
    scenes: ScenesLayout | None = Field(default=None, description="Options of 'layout: scenes'.")
    stac: StacLayout | None = Field(default=None, description="Options of 'layout: stac'.")
    notifications: Notifications | None = Field(
        default=None, description="For large landings on S3."
    )

    @property
    def table_layout(self) -> TableLayout:
        """Options of layout `table`, which the validators below require."""
        if self.table is None:
            raise ValueError(f"layout {self.layout!r} has no table options")
        return self.table

    @property
    def image_folder_layout(self) -> ImageFolderLayout:
        """Options of layout `image_folder`."""
        return self.image_folder or ImageFolderLayout()

    @property
    def scenes_layout(self) -> ScenesLayout:
        """Options of layout `scenes`."""
        return self.scenes or ScenesLayout()

    @property
    def stac_layout(self) -> StacLayout:
        """Options of layout `stac`."""
        return self.stac or StacLayout()

    @property
    def sampling(self) -> Sampling | None:
        """Sampling of scenes, or None where a file or a row is a sample."""
        if self.layout == "scenes":
            return self.scenes_layout
        return self.stac_layout if self.layout == "stac" and self.stac_layout.labels else None

    @property
    def has_vector_labels(self) -> bool:
        """True if the labels of scenes are known to be vectors, by the name of their files."""
        return self.layout == "scenes" and self.scenes_layout.labels.lower().endswith(
            VECTOR_SUFFIXES
        )

    @property
    def apply_scale(self) -> bool:
        """True if scale and offset of the files are applied to values."""
        options = self.scenes or self.stac or self.image_folder
        return options is not None and options.apply_scale

    def missing_for(self, method: str) -> str | None:
        """Return what a split method needs and this source does not declare, or None."""
        table = self.table_layout if self.layout == "table" else None
        pattern = self.image_folder_layout.pattern
        needs: dict[str, dict[str, tuple[bool, str]]] = {
            "column": {
                "table": (bool(table and table.split), "table: {split: COLUMN}"),
                "image_folder": (
                    "{split}" in pattern,
                    "image_folder: {pattern: '{split}/{label}/*'}",
                ),
                "stac": (bool(self.stac_layout.split), "stac: {split: PROPERTY}"),
                "scenes": (False, ""),
            },
            "group": {
                "table": (bool(table and table.group), "table: {group: COLUMN}"),
                "image_folder": (
                    "{group}" in pattern,
                    "image_folder: {pattern: '{label}/{group}_*'}",
                ),
            },
            "temporal": {
                "table": (bool(table and table.time), "table: {time: COLUMN}"),
            },
        }
        met, need = needs.get(method, {}).get(self.layout, (True, ""))
        if met:
            return None
        return (
            f"needs '{need}' in the source" if need else f"does not go with layout {self.layout!r}"
        )

    def unfit_for_groups_of_features(self) -> str | None:
        """Return why features of vector labels cannot group the samples, None if they can."""
        if self.layout == "table":
            return (
                "groups of rows are a column of the table; name it as 'source: {table: {group:"
                " COLUMN}}'"
            )
        if self.sampling is None:
            return "needs vector labels of scenes; this layout has one label per image"
        if self.sampling.read == "windows":
            return "needs 'read: patches'; a window may hold several features"
        if self.layout == "stac" and self.stac_layout.group:
            return "'stac: {group: PROPERTY}' names groups already; take one of them"
        return None

    @field_validator("url")
    @classmethod
    def _supported_url(cls, url: str) -> str:
        return require_supported(url)

    @model_validator(mode="after")
    def _options_fit_layout(self) -> Source:
        if self.layout == "table" and self.table is None:
            raise ValueError("layout 'table' needs 'table: {label: COLUMN}'")
        for name in ("table", "image_folder", "scenes", "stac"):
            if name != self.layout and getattr(self, name) is not None:
                raise ValueError(f"'{name}:' does not go with layout {self.layout!r}")
        if self.url.startswith("stac+") and self.layout != "stac":
            raise ValueError("a stac+https:// URL needs 'layout: stac'")
        if self.files is not None and not self.url.startswith(("http://", "https://")):
            raise ValueError("files: only a landing on a web server needs its files named")
        if self.notifications is not None and not self.url.startswith("s3://"):
            raise ValueError("notifications: only buckets on s3:// send notifications of new files")
        return self
